//! The context of one run: its timeout, the shared resources, its phases, and the secrets that it has read from files.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::resources::Resources;
use crate::model::{
    failure::Failure,
    redaction::{RegisteredSecrets, SentSecrets},
    units::Period,
    words::{Phase, Reason},
};

/// Context of one run.
pub struct Context {
    /// Timeout of the whole run. The runner drops the run at the timeout.
    pub timeout: Duration,
    /// Resources that all probes share.
    pub shared: Arc<Resources>,
    start: Instant,
    phases: Mutex<Vec<(Phase, Duration)>>,
    /// The phase that the run has entered last.
    latest_phase: Mutex<Option<Phase>>,
    held: Mutex<Vec<RegisteredSecrets>>,
}

impl Context {
    /// Creates the context of a run that starts now.
    #[must_use]
    pub fn new(timeout: Duration, shared: Arc<Resources>) -> Self {
        Self {
            timeout,
            shared,
            start: Instant::now(),
            phases: Mutex::default(),
            latest_phase: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// Registers secrets that the run has read from files, so that they are redacted in the findings of all probes
    /// until the next run reads them again, and for an hour afterwards. Must be called before a secret is sent.
    pub fn register_secrets(&self, add: impl FnOnce(&mut SentSecrets)) {
        let mut secrets = SentSecrets::default();
        add(&mut secrets);
        let held = self.shared.registry.register(secrets);
        self.held.lock().push(held);
    }

    /// Keeps the registration of secrets of a nested context.
    pub(crate) fn hold_secrets(&self, held: RegisteredSecrets) {
        self.held.lock().push(held);
    }

    /// Takes the registered secrets. The caller keeps them until the next run.
    pub(crate) fn take_registered_secrets(&self) -> Vec<RegisteredSecrets> {
        std::mem::take(&mut self.held.lock())
    }

    /// Remaining time until the timeout, for probes that divide it among several attempts.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.timeout.saturating_sub(self.start.elapsed())
    }

    /// Drives the work of a probe until the timeout of the run. Unlike the runner, which drops the whole run at the
    /// timeout, a probe that uses this function keeps the facts that it has collected before.
    ///
    /// # Errors
    /// The failure of the work, or [`Context::timeout_failure`].
    pub async fn until_timeout<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout_at(self.start + self.timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timeout_failure()),
        }
    }

    /// The failure of a run that did not end within its timeout.
    #[must_use]
    pub fn timeout_failure(&self) -> Failure {
        let phase = *self.latest_phase.lock();
        let during = match phase {
            Some(phase) => format!(" (in phase {phase})"),
            None => " (before its first phase: files with secrets or certificates are read then)".to_owned(),
        };
        let failure = Failure::new(Reason::Timeout, format!("not done within {}{during}", Period(self.timeout)));
        match phase {
            Some(phase) => failure.with_meaning(timeout_meaning(phase)),
            None => failure.of_exporter("a secret file or certificate file was not read within the timeout"),
        }
    }

    /// Measures a phase of the run. The duration of an interrupted phase is the time until the interruption. The
    /// durations of a phase that is entered several times (after a redirect) add up.
    pub async fn phase<T>(&self, phase: Phase, work: impl Future<Output = T>) -> T {
        struct Clock<'a>(&'a Context, Phase, Instant);
        impl Drop for Clock<'_> {
            fn drop(&mut self) {
                let spent = self.2.elapsed();
                let mut phases = self.0.phases.lock();
                match phases.iter_mut().find(|(phase, _)| *phase == self.1) {
                    Some((_, total)) => *total += spent,
                    None => phases.push((self.1, spent)),
                }
            }
        }
        *self.latest_phase.lock() = Some(phase);
        let _clock = Clock(self, phase, Instant::now());
        work.await
    }

    /// Phases until now, in the order in which they were first entered.
    #[must_use]
    pub fn phases(&self) -> Vec<(Phase, Duration)> {
        self.phases.lock().clone()
    }
}

/// Explains a timeout by the phase that did not end.
fn timeout_meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "the name was not resolved within the timeout",
        Phase::Connect => "the target did not accept the connection within the timeout",
        Phase::Tls => "the TLS handshake did not end within the timeout",
        Phase::Login => "the login did not end within the timeout",
        Phase::Request => "the target did not answer the request within the timeout",
        Phase::Response => "the response did not end within the timeout",
        Phase::Query => "the queries did not end within the timeout",
        Phase::List => "the files were not listed within the timeout",
        Phase::Read => "the files were not read within the timeout",
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
