//! Confirmation of failures: a failure of a probe is published only after its dependencies have run again.
//!
//! A dependency may have failed after its last run. Without a new run, the dependent would be reported for a failure
//! that it did not cause.

use std::{sync::OnceLock, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Permits, Task};
use crate::{
    board::Cause,
    kind::{Detail, RunReport},
    model::{verdict::Verdict, words::Status},
};

/// Time for dependencies to run in addition to twice the longest timeout: a run in progress ends, then the requested
/// run takes place.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(10);

impl Task {
    /// Runs the probe. If the run fails or a check gets worse, waits until the dependencies have run again. Returns the
    /// report, or the failing dependency because of which the run is not judged, and the time at which the run ended.
    pub(super) async fn run_confirmed(&self, permits: Permits) -> (Result<RunReport, Cause>, Instant) {
        if self.info.depends_on.is_empty() {
            return (Ok(self.job.run(Detail::Verdicts).await), Instant::now());
        }
        let (started, cause, ended) = (Instant::now(), OnceLock::new(), OnceLock::new());
        let may_judge = async {
            // The dependencies may need the permits.
            drop(permits);
            let _ = ended.set(Instant::now());
            match self.find_cause(started, self.can_get_worse()).await {
                Some(found) => cause.set(found).is_err(),
                None => true,
            }
        };
        let report = self.job.run_if(Detail::Verdicts, Box::pin(may_judge)).await;
        let ended = ended.get().copied().unwrap_or_else(Instant::now);
        let result = match (report, cause.into_inner()) {
            (Some(report), None) => {
                let needs_confirmation = report.failure.is_none() && self.gets_worse(&report.verdicts);
                self.find_cause(started, needs_confirmation).await.map_or(Ok(report), Err)
            }
            (_, Some(cause)) => Err(cause),
            // A job that refuses to judge without having asked has no other cause than itself.
            (None, None) => Err(Cause { name: self.info.name.clone(), confirmed: true }),
        };
        (result, ended)
    }

    /// Returns the cause if a dependency fails or has failed since the start of the run, optionally after each
    /// dependency has run once more.
    async fn find_cause(&self, started: Instant, runs_again: bool) -> Option<Cause> {
        let dependencies = self.board.all_dependencies(&self.info.depends_on);
        let failing = || {
            let found = self.board.failing_dependency(&self.info.depends_on, Timestamp::now());
            found.or_else(|| {
                let has_failed = |probe: &str| self.requests.has_failed_since(probe, started);
                let failed = dependencies.iter().find(|other| !other.is_check && has_failed(&other.probe))?;
                Some(Cause { name: failed.probe.clone(), confirmed: false })
            })
        };
        let found = failing();
        if found.is_some() || !runs_again {
            return found;
        }
        let wanted = Instant::now();
        let longest = dependencies.iter().map(|dependency| dependency.timing.timeout).max().unwrap_or_default();
        let deadline = wanted + longest * 2 + CONFIRMATION_TIMEOUT;
        let mut attempts = self.requests.subscribe();
        for dependency in &dependencies {
            self.requests.request(&dependency.probe, wanted);
        }
        loop {
            let is_satisfied = |probe: &str| self.requests.is_satisfied(probe, wanted);
            let complete = dependencies.iter().all(|dependency| is_satisfied(&dependency.probe));
            // Read after the attempts: the result of an attempt is on the board before the attempt counts.
            let found = failing();
            if found.is_some() || complete {
                return found;
            }
            tokio::select! {
                _ = attempts.changed() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let probe = &*self.info.name;
                    tracing::debug!(probe, "a failure is published although a dependency has not run again in time");
                    return None;
                }
                () = self.stop.cancelled() => return None,
            }
        }
    }

    /// Whether a failed run can make a check worse than it is.
    fn can_get_worse(&self) -> bool {
        let Some(state) = self.board.probe(&self.info.name) else { return false };
        let is_bad = |status| matches!(status, Status::Fail | Status::Unknown);
        state.checks.iter().any(|check| check.info.enabled && !is_bad(check.status))
    }

    /// Whether a verdict is worse than the status of its check.
    fn gets_worse(&self, verdicts: &[Verdict]) -> bool {
        let Some(state) = self.board.probe(&self.info.name) else { return false };
        state.checks.iter().zip(verdicts).any(|(check, verdict)| {
            let result = verdict.outcome.status();
            let is_bad = matches!(result, Status::Warn | Status::Fail | Status::Unknown);
            check.info.enabled && is_bad && result.severity_order() > check.status.severity_order()
        })
    }
}
