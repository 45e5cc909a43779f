//! The state of one probe.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{CheckState, MAX_RECENT_RUNS, StatusChange};
use crate::{
    daemon_metrics::DaemonMetrics,
    kind::RunReport,
    model::{
        check::CheckLimits,
        failure::Failure,
        metric::Sample,
        words::{Phase, Reason, Status},
    },
    settings::ProbeInfo,
};

/// The state of one probe with its checks.
#[derive(Debug, Clone)]
pub struct ProbeState {
    /// What the configuration says of it.
    pub info: Arc<ProbeInfo>,
    /// Its checks, in the order of the configuration.
    pub checks: Vec<CheckState>,
    /// Runs so far.
    pub runs: u64,
    /// Failed runs so far by reason, in the order of [`Reason::ALL`].
    pub failures: [u32; Reason::ALL.len()],
    /// Runs left out because the one before had not ended.
    pub overruns: u64,
    /// The last run, unless a restart forgot it.
    pub last: Option<LastRun>,
    /// When it last ran or was skipped; `None` before.
    pub last_attempt: Option<Timestamp>,
    /// The last runs, oldest first.
    pub recent: VecDeque<PastRun>,
    /// Samples of facts that stay true though the probe fails now.
    pub retained: Vec<Sample>,
}

/// The last run of a probe.
#[derive(Debug, Clone)]
pub struct LastRun {
    /// When it started.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Seconds from its planned to its real start.
    pub lateness: f64,
    /// Where the time went.
    pub phases: Vec<(Phase, Duration)>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Samples of its facts.
    pub samples: Vec<Sample>,
}

/// One run of the past, for the strip on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastRun {
    /// When it started, in whole seconds since the epoch.
    pub at: u32,
    /// How long it took, in seconds; 0 for a run that was skipped.
    pub duration: f32,
}

impl ProbeState {
    pub(super) fn new(info: Arc<ProbeInfo>, limits: Vec<CheckLimits>, now: Timestamp) -> Self {
        let mut limits = limits.into_iter();
        let checks = info
            .checks
            .iter()
            .map(|check| CheckState::new(Arc::clone(check), limits.next().unwrap_or_default(), now))
            .collect();
        Self {
            info,
            checks,
            runs: 0,
            failures: [0; Reason::ALL.len()],
            overruns: 0,
            last: None,
            last_attempt: None,
            // At once as large as it gets: memory that grows with the runs would lie scattered among what they need.
            recent: VecDeque::with_capacity(MAX_RECENT_RUNS),
            retained: Vec::new(),
        }
    }

    /// Failed runs so far with a reason.
    #[must_use]
    pub fn failures(&self, reason: Reason) -> u64 {
        self.failures.get(reason as usize).copied().unwrap_or_default().into()
    }

    /// Whether the thing itself is broken, thresholds applied: what depends on this probe is skipped meanwhile. A
    /// probe that is skipped itself counts too, so that a whole chain rests.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.checks.iter().any(|check| {
            check.info.kind == "health" && check.info.enabled && matches!(check.status, Status::Fail | Status::Skipped)
        })
    }

    /// Whether it has run or was skipped at least once, or never will.
    #[must_use]
    pub fn was_attempted(&self) -> bool {
        self.last_attempt.is_some() || !self.info.enabled
    }

    /// Older than three intervals.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        let limit = SignedDuration::try_from(self.info.timing.interval * 3).unwrap_or(SignedDuration::MAX);
        self.last_attempt.is_some_and(|at| now.duration_since(at) > limit)
    }

    /// Records a run and counts the panics that were caught in it.
    pub(super) fn count_and_record(
        &mut self,
        report: RunReport,
        lateness: f64,
        daemon: &DaemonMetrics,
    ) -> Vec<StatusChange> {
        daemon.panics.inc_by(u64::from(report.panics));
        self.record(report, lateness)
    }

    fn record(&mut self, report: RunReport, lateness: f64) -> Vec<StatusChange> {
        let at = report.at;
        self.runs += 1;
        if let Some(count) = report.failure.as_ref().and_then(|failure| self.failures.get_mut(failure.reason as usize))
        {
            *count = count.saturating_add(1);
        }
        self.push_recent_run(at, report.duration);
        let (retained, samples): (Vec<_>, Vec<_>) = report.samples.into_iter().partition(|s| s.family.retained);
        if !retained.is_empty() {
            self.retained = retained;
        }
        self.last_attempt = Some(at);
        // In the memory of the run before, for the same reason.
        let mut phases = self.last.take().map(|last| last.phases).unwrap_or_default();
        phases.clone_from(&report.phases);
        self.last = Some(LastRun { at, duration: report.duration, lateness, phases, failure: report.failure, samples });
        self.checks.iter_mut().zip(report.verdicts).filter_map(|(check, verdict)| check.record(verdict, at)).collect()
    }

    pub(super) fn skip(&mut self, because: &str, now: Timestamp) -> Vec<StatusChange> {
        self.last_attempt = Some(now);
        // Its checks remember the skip too: runs and results stay side by side.
        self.push_recent_run(now, Duration::ZERO);
        let note = format!("skipped while {because} fails");
        self.checks.iter_mut().filter_map(|check| check.mark_unjudged(Status::Skipped, note.clone(), now)).collect()
    }

    /// Whether any check says something that could get too old.
    pub(super) fn has_verdicts(&self) -> bool {
        self.checks.iter().any(CheckState::is_judged)
    }

    fn push_recent_run(&mut self, at: Timestamp, duration: Duration) {
        if self.recent.len() == MAX_RECENT_RUNS {
            self.recent.pop_front();
        }
        let at = u32::try_from(at.as_second()).unwrap_or_default();
        self.recent.push_back(PastRun { at, duration: duration.as_secs_f32() });
    }

    pub(super) fn mark_stale(&mut self, now: Timestamp) -> Vec<StatusChange> {
        let interval = crate::model::units::Period(self.info.timing.interval);
        let note = format!("no result for more than three intervals of {interval}");
        let judged = self.checks.iter_mut().filter(|check| check.is_judged());
        judged.filter_map(|check| check.mark_unjudged(Status::Unknown, note.clone(), now)).collect()
    }
}
