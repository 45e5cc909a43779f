//! Vocabulary of observing: what a probe is, what one run of it brings back and the reasons why it may not.
//!
//! All I/O of the program's purpose happens behind [`Probe::observe`]. A probe never judges: that is `check`'s work.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    check::Offer,
    family::Sample,
    secret::{Held, Hidden},
    sentence::sentence,
    shared::Shared,
};

/// A kind of probe as it stands in the configuration: `http: {url: ..}` is `Http`, a [`Kind`].
///
/// The struct is what was written; [`Kind::acquire`] turns it into what runs. To add a kind, write one file under
/// `probes/` and add one line to `probes.rs`.
pub trait Kind: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// Configuration key, file name and value of the label `kind`.
    const NAME: &'static str;
    /// The phases of a run in their order, so that their series exist from the first scrape.
    const PHASES: &'static [Phase];
    /// What runs.
    type Probe: Probe;

    /// Every check that these facts can feed; `health` is among them.
    fn checks() -> Vec<Offer<FactsOf<Self>>>;

    /// Rules that a type alone can't hold, and that may depend on the timing.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let _ = timing;
        Ok(())
    }

    /// Refuses what its checks want and these settings can never bring.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn validate_wants(&self, wants: &[WantOf<Self>]) -> Result<(), Invalid> {
        let _ = wants;
        Ok(())
    }

    /// The secrets among the settings that a run tells its target: nothing that quotes the target shows them. Those in
    /// files are told to [`Context::hide`] when they are read.
    fn hidden(&self) -> Hidden {
        Hidden::default()
    }

    /// Makes the probe. `wants` is what its checks ask of the facts, so that nothing is fetched in vain.
    ///
    /// Files that may rotate (keys, passwords, CA bundles) are read at use, not here.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn acquire(self, wants: Vec<WantOf<Self>>, shared: &Arc<Shared>) -> Result<Self::Probe, Invalid>;
}

/// The facts of a kind of probe.
pub type FactsOf<K> = <<K as Kind>::Probe as Probe>::Facts;
/// What checks can ask of the facts of a kind of probe.
pub type WantOf<K> = <FactsOf<K> as Facts>::Want;

/// Something that observes one thing, again and again.
pub trait Probe: Send + Sync + 'static {
    /// What one run brings back.
    type Facts: Facts;

    /// The host it talks to: runs against one host are bounded together. `None` for local work.
    fn host(&self) -> Option<&str> {
        None
    }

    /// Fills in the labels of a check's limit that only the probe knows, such as where its backups are.
    fn label_limit(&self, limit: &mut Sample) {
        let _ = limit;
    }

    /// One run. It changes nothing at the other end and may be dropped at any await: dropping is cancellation,
    /// and nothing of it goes on afterwards.
    fn observe(&self, cx: &Context) -> impl Future<Output = Result<Self::Facts, Broken<Self::Facts>>> + Send;
}

/// Facts of one kind: what was seen, without a verdict. Serializable for `explain`.
pub trait Facts: Serialize + Send + Sync + 'static {
    /// What a check may ask a probe to fetch for it; `()` where every run brings everything.
    type Want: Send + 'static;

    /// Samples that belong to the facts themselves rather than to a check, labelled by probe.
    fn samples(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Whether there is so much to look through that the checks judge it on a thread of its own: the thread that runs
    /// all probes and serves all clients must not be held up by what one target sends.
    fn is_heavy(&self) -> bool {
        false
    }
}

/// When a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Timing {
    /// From start to start.
    pub interval: Duration,
    /// From start to start while the last run failed; never longer than `interval`.
    pub retry_interval: Duration,
    /// How long one run may take; never longer than `interval`.
    pub timeout: Duration,
}

/// A rule broken by otherwise well-formed settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The key that carries the mistake, where it is one.
    pub key: Option<&'static str>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Invalid {
    /// A mistake at a key.
    pub fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key: Some(key), message: message.into() }
    }
}

/// What a run is given, beside its own settings.
pub struct Context {
    /// How long the whole run may take; the scheduler drops it then.
    pub timeout: Duration,
    /// What is shared between probes: TLS roots, resolver.
    pub shared: Arc<Shared>,
    start: Instant,
    phases: Mutex<Vec<(Phase, Duration)>>,
    held: Mutex<Vec<Held>>,
}

impl Context {
    /// A context for one run.
    #[must_use]
    pub fn new(timeout: Duration, shared: Arc<Shared>) -> Self {
        Self { timeout, shared, start: Instant::now(), phases: Mutex::default(), held: Mutex::default() }
    }

    /// Keeps what was read just now out of everything that any run brings back from now on, until it is read again
    /// and for a while after that. To be called before it is sent anywhere.
    pub fn hide(&self, add: impl FnOnce(&mut Hidden)) {
        let mut hidden = Hidden::default();
        add(&mut hidden);
        let held = self.shared.registry.hold(hidden);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(held);
    }

    /// What was told to [`Context::hide`], to be held until the next run.
    pub(crate) fn take_held(&self) -> Vec<Held> {
        std::mem::take(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much of the timeout is left: for a probe that has several tries to share out.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.timeout.saturating_sub(self.start.elapsed())
    }

    /// Times a part of the run. A phase that is cut short by the timeout counts with the time it had; one that is
    /// entered twice (a redirect) adds up.
    pub async fn phase<T>(&self, phase: Phase, work: impl Future<Output = T>) -> T {
        struct Clock<'a>(&'a Context, Phase, Instant);
        impl Drop for Clock<'_> {
            fn drop(&mut self) {
                let spent = self.2.elapsed();
                let mut phases = self.0.phases.lock().unwrap_or_else(PoisonError::into_inner);
                match phases.iter_mut().find(|(phase, _)| *phase == self.1) {
                    Some((_, total)) => *total += spent,
                    None => phases.push((self.1, spent)),
                }
            }
        }
        let _clock = Clock(self, phase, Instant::now());
        work.await
    }

    /// The phases so far, in the order in which they were entered.
    #[must_use]
    pub fn phases(&self) -> Vec<(Phase, Duration)> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Everything that one run brought back, for the checks to judge.
#[derive(Debug)]
pub struct Observation<F> {
    /// Wall-clock time of the start; the only clock that checks know.
    pub at: Timestamp,
    /// How long the run took; a run that timed out took its timeout.
    pub duration: Duration,
    /// The probe's timing.
    pub timing: Timing,
    /// Where the time went.
    pub phases: Vec<(Phase, Duration)>,
    /// What was seen. A run that failed late may have seen some of it.
    pub facts: Option<F>,
    /// Why the run failed; `None` when it worked.
    pub failure: Option<Failure>,
}

impl<F> Observation<F> {
    /// Seconds since the epoch at the start of the run.
    #[must_use]
    pub fn epoch(&self) -> f64 {
        self.at.as_duration().as_secs_f64()
    }
}

/// A run that failed, perhaps after it had seen something: an expired certificate is still a certificate.
#[derive(Debug)]
pub struct Broken<F> {
    /// Why.
    pub failure: Failure,
    /// What was seen before.
    pub facts: Option<F>,
}

impl<F> From<Failure> for Broken<F> {
    fn from(failure: Failure) -> Self {
        Self { failure, facts: None }
    }
}

/// Why something could not be observed: a word for labels, prose for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// From the closed list; becomes a label.
    pub reason: Reason,
    /// For the log and the API; never a label, never a secret.
    pub detail: String,
}

impl Failure {
    /// A failure with its story.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: sentence(detail) }
    }

    /// A failure with the story of an error and of what caused it.
    pub fn from_error(reason: Reason, what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut detail = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries repeat the cause in their own text already.
            if !detail.contains(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
            cause = error.source();
        }
        Self::new(reason, detail)
    }
}

/// Declares an enum of words that are fixed by the contract, with the list of all of them.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }
        impl $name {
            /// Every word, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word as it stands in labels and configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// A part of a run that is timed on its own.
    Phase {
        /// From a name to addresses.
        Resolve = "resolve",
        /// Until the connection stands.
        Connect = "connect",
        /// The TLS handshake.
        Tls = "tls",
        /// Authentication and session set-up.
        Login = "login",
        /// From sending to the first byte of the answer.
        Request = "request",
        /// From the first byte of the answer to its end.
        Response = "response",
        /// Queries.
        Query = "query",
        /// Looking what is there.
        List = "list",
        /// Reading contents.
        Read = "read",
    }
}

words! {
    /// Why something failed: the closed list of the contract.
    Reason {
        /// The name has no address.
        Resolve = "resolve",
        /// The other end said no to the connection.
        Refused = "refused",
        /// No way to the other end.
        Unreachable = "unreachable",
        /// It did not finish in time.
        Timeout = "timeout",
        /// The TLS handshake failed for another reason than the certificate.
        Tls = "tls",
        /// The certificate is expired, not trusted or for another name.
        Certificate = "certificate",
        /// The other end does not speak the protocol.
        Protocol = "protocol",
        /// Credentials are missing or wrong.
        Auth = "auth",
        /// An answer with a status that was not expected.
        Status = "status",
        /// The content is not what was expected.
        Body = "body",
        /// More than the limit allows.
        TooLarge = "too_large",
        /// Known to the other end, but not allowed.
        Permission = "permission",
        /// It isn't there.
        NotFound = "not_found",
        /// The server refused or failed the query.
        Query = "query",
        /// The content can't be read as what it should be.
        Parse = "parse",
        /// A value is beyond its limit.
        Limit = "limit",
        /// Nothing there to judge.
        Empty = "empty",
        /// Given up from our side.
        Canceled = "canceled",
        /// A bug of this program.
        Internal = "internal",
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
