//! The state of one probe.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Cause, CheckState, MAX_RECENT_RUNS, StatusChange};
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

/// State of one probe with its checks.
#[derive(Debug, Clone)]
pub struct ProbeState {
    /// The probe's configuration.
    pub info: Arc<ProbeInfo>,
    /// The checks, in the order of the configuration.
    pub checks: Vec<CheckState>,
    /// Number of runs.
    pub runs: u64,
    /// Number of failed runs by reason, in the order of [`Reason::ALL`].
    pub failures: [u32; Reason::ALL.len()],
    /// Runs left out because the previous run had not ended.
    pub overruns: u64,
    /// The last run; `None` before the first run after a start.
    pub last: Option<LastRun>,
    /// Time of the last run or skip; `None` before the first.
    pub last_attempt: Option<Timestamp>,
    /// The failing dependency because of which the last attempt was skipped; `None` after a run.
    pub skipped_because: Option<String>,
    /// Whether the last run describes the present: no skip followed it, and it is not older than three intervals.
    pub is_current: bool,
    /// The recent runs, oldest first.
    pub recent: VecDeque<PastRun>,
    /// Samples of the facts that stay valid while the probe fails.
    pub retained: Vec<Sample>,
}

/// The last run of a probe.
#[derive(Debug, Clone)]
pub struct LastRun {
    /// Start time.
    pub at: Timestamp,
    /// Duration of the run.
    pub duration: Duration,
    /// Delay of the start against the schedule, in seconds.
    pub lateness: f64,
    /// Duration of each phase.
    pub phases: Vec<(Phase, Duration)>,
    /// The failure, if the run failed.
    pub failure: Option<Failure>,
    /// Samples of the facts.
    pub samples: Vec<Sample>,
}

/// Summary of a past run, for the history strip of the status page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastRun {
    /// Start time in whole seconds since the epoch.
    pub at: u32,
    /// Duration in seconds; 0 for a skipped run.
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
            skipped_because: None,
            is_current: false,
            // Allocated at full size: a buffer that grows would fragment the heap.
            recent: VecDeque::with_capacity(MAX_RECENT_RUNS),
            retained: Vec::new(),
        }
    }

    /// Number of failed runs with a reason.
    #[must_use]
    pub fn failures(&self, reason: Reason) -> u64 {
        self.failures.get(reason as usize).copied().unwrap_or_default().into()
    }

    /// Whether the probe has run or been skipped at least once, or is disabled.
    #[must_use]
    pub fn was_attempted(&self) -> bool {
        self.last_attempt.is_some() || !self.info.enabled
    }

    /// Whether the last attempt is older than three intervals.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.last_attempt.is_some_and(|at| self.is_older_than_three_intervals(at, now))
    }

    fn is_older_than_three_intervals(&self, at: Timestamp, now: Timestamp) -> bool {
        let limit = SignedDuration::try_from(self.info.timing.interval * 3).unwrap_or(SignedDuration::MAX);
        now.duration_since(at) > limit
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
        self.runs = self.runs.saturating_add(1);
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
        self.skipped_because = None;
        self.is_current = true;
        // Reuses the buffer of the previous run, to avoid heap fragmentation.
        let mut phases = self.last.take().map(|last| last.phases).unwrap_or_default();
        phases.clone_from(&report.phases);
        self.last = Some(LastRun { at, duration: report.duration, lateness, phases, failure: report.failure, samples });
        self.checks.iter_mut().zip(report.verdicts).filter_map(|(check, verdict)| check.record(verdict, at)).collect()
    }

    pub(super) fn skip(&mut self, cause: &Cause, now: Timestamp) -> Vec<StatusChange> {
        self.last_attempt = Some(now);
        self.skipped_because = Some(cause.name.clone());
        // The checks record the skip too, so that runs and results correspond.
        self.push_recent_run(now, Duration::ZERO);
        let note = format!("skipped while {} fails", cause.name);
        let is_recent = self.last.as_ref().is_some_and(|last| !self.is_older_than_three_intervals(last.at, now));
        let keeps_judgement = is_recent && !cause.confirmed;
        self.is_current = false;
        self.checks.iter_mut().filter_map(|check| check.skip(note.clone(), keeps_judgement, now)).collect()
    }

    /// Whether anything on the board can become stale: the last run, or the judgement of a check.
    pub(super) fn can_become_stale(&self) -> bool {
        self.is_current || self.checks.iter().any(CheckState::is_judged)
    }

    fn push_recent_run(&mut self, at: Timestamp, duration: Duration) {
        if self.recent.len() == MAX_RECENT_RUNS {
            self.recent.pop_front();
        }
        let at = u32::try_from(at.as_second()).unwrap_or_default();
        self.recent.push_back(PastRun { at, duration: duration.as_secs_f32() });
    }

    pub(super) fn mark_stale(&mut self, now: Timestamp) -> Vec<StatusChange> {
        self.is_current = false;
        let interval = crate::model::units::Period(self.info.timing.interval);
        let note = format!("no result for more than three intervals of {interval}");
        let judged = self.checks.iter_mut().filter(|check| check.is_judged());
        judged.filter_map(|check| check.mark_unjudged(Status::Unknown, note.clone(), now)).collect()
    }
}
