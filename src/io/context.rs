//! The context of one run: its time budget, the resources that probes share, and the secrets that it has read.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::resources::Resources;
use crate::model::redaction::Held;
use crate::model::{redaction::SentSecrets, words::Phase};

/// What a run is given, beside its own settings.
pub struct Context {
    /// How long the whole run may take; the scheduler drops it then.
    pub timeout: Duration,
    /// What is shared between probes: TLS roots, resolver.
    pub shared: Arc<Resources>,
    start: Instant,
    phases: Mutex<Vec<(Phase, Duration)>>,
    held: Mutex<Vec<Held>>,
}

impl Context {
    /// A context for one run.
    #[must_use]
    pub fn new(timeout: Duration, shared: Arc<Resources>) -> Self {
        Self { timeout, shared, start: Instant::now(), phases: Mutex::default(), held: Mutex::default() }
    }

    /// Keeps what was read just now out of everything that any run brings back from now on, until it is read again
    /// and for a while after that. To be called before it is sent anywhere.
    pub fn hide(&self, add: impl FnOnce(&mut SentSecrets)) {
        let mut hidden = SentSecrets::default();
        add(&mut hidden);
        let held = self.shared.registry.hold(hidden);
        self.held.lock().push(held);
    }

    /// What was told to [`Context::hide`], to be held until the next run.
    pub(crate) fn take_held(&self) -> Vec<Held> {
        std::mem::take(&mut self.held.lock())
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
                let mut phases = self.0.phases.lock();
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
        self.phases.lock().clone()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
