//! The board holds the latest state of every probe and check. It is the only place where this state lives.
//!
//! The scheduler writes to it; metrics, pages and API read snapshots. A snapshot is a list of pointers: an update
//! replaces the whole state of a probe, so a reader never waits and never sees a partial update.

mod cause;
mod check;
mod dependency;
mod gate;
mod history;
mod probe;

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

pub use self::{
    cause::{CauseIndex, ProbeCheck},
    check::{CheckState, MAX_RECENT_RUNS, MAX_RETAINED_SAMPLES, Resume},
    dependency::{Cause, Dependency, DependencyState, split_dependency},
    gate::GateRules,
    history::{ChangeHistory, MAX_STATUS_CHANGES, MAX_VALUE_SERIES, PastChange, ValueHistory, ValueSeries},
    probe::{LastRun, PastRun, ProbeState},
};
use crate::{
    daemon_metrics::DaemonMetrics,
    kind::RunReport,
    model::{
        check::CheckLimits,
        words::{Severity, Status},
    },
    settings::ProbeInfo,
};

/// Shared, thread-safe board; see the module documentation.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<BoardState>,
    daemon: Arc<DaemonMetrics>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct BoardState {
    probes: Vec<Arc<ProbeState>>,
    by_name: HashMap<String, usize>,
}

/// Immutable copy of the board.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Version of the board; every change increments it.
    pub version: u64,
    /// Every probe, in the order of the configuration.
    pub probes: Vec<Arc<ProbeState>>,
    /// The daemon's metrics about itself. They are live: their values may be newer than the rest of the snapshot.
    pub daemon: Arc<DaemonMetrics>,
}

impl Default for Board {
    fn default() -> Self {
        Self { inner: Mutex::default(), daemon: Arc::default(), version: watch::Sender::new(0) }
    }
}

impl Board {
    /// Replaces the set of probes after a configuration was loaded. Probes for which `keep` returns true retain their
    /// state, all others start as pending, and removed probes disappear.
    pub fn replace_probes(
        &self,
        probes: Vec<(Arc<ProbeInfo>, Vec<CheckLimits>)>,
        keep: impl Fn(&str) -> bool,
        now: Timestamp,
    ) {
        let mut inner = self.lock();
        let old = std::mem::take(&mut *inner);
        for (info, limits) in probes {
            let kept = old.by_name.get(&info.name).filter(|_| keep(&info.name)).and_then(|at| old.probes.get(*at));
            let state = kept.cloned().unwrap_or_else(|| Arc::new(ProbeState::new(info, limits, now)));
            let at = inner.probes.len();
            inner.by_name.insert(state.info.name.clone(), at);
            inner.probes.push(state);
        }
        self.notify(inner);
    }

    /// Records one run of a probe; returns the status changes, for the log.
    pub fn record(&self, probe: &str, report: RunReport, lateness: f64) -> Vec<StatusChange> {
        self.update(probe, |_| true, |state, daemon| state.count_and_record(report, lateness, daemon))
    }

    /// Records one run of a probe unless a reload has replaced or removed the probe since the run started.
    pub fn record_if_current(&self, info: &Arc<ProbeInfo>, report: RunReport, lateness: f64) -> Vec<StatusChange> {
        let is_current = |state: &ProbeState| Arc::ptr_eq(&state.info, info);
        self.update(&info.name, is_current, |state, daemon| state.count_and_record(report, lateness, daemon))
    }

    /// Records that a probe was not run because a probe that it depends on fails.
    pub fn skip(&self, probe: &str, because: &str, now: Timestamp) -> Vec<StatusChange> {
        let cause = Cause { name: because.to_owned(), confirmed: true };
        self.update(probe, |_| true, |state, _| state.skip(&cause, now))
    }

    /// Records a skipped run unless a reload has replaced or removed the probe.
    pub fn skip_if_current(&self, info: &Arc<ProbeInfo>, cause: &Cause, now: Timestamp) -> Vec<StatusChange> {
        self.update(&info.name, |state| Arc::ptr_eq(&state.info, info), |state, _| state.skip(cause, now))
    }

    /// Ends the time in which a skipped probe counts for the gate as before: the failure of its dependency is confirmed.
    pub fn confirm_skip_if_current(&self, info: &Arc<ProbeInfo>) {
        let is_current = |state: &ProbeState| {
            Arc::ptr_eq(&state.info, info) && state.checks.iter().any(|check| check.before_skip.is_some())
        };
        self.update(&info.name, is_current, |state, _| {
            state.checks.iter_mut().for_each(|check| check.before_skip = None);
            Vec::new()
        });
    }

    /// Records runs that were left out because the previous run had not ended.
    pub fn add_overruns(&self, probe: &str, runs: u64) {
        self.update(
            probe,
            |_| true,
            |state, _| {
                state.overruns = state.overruns.saturating_add(runs);
                Vec::new()
            },
        );
    }

    /// Marks results older than three intervals as `unknown`. Returns the status changes with the probe names. The
    /// caller runs it about once a second.
    pub fn expire_stale(&self, now: Timestamp) -> Vec<(String, StatusChange)> {
        let mut inner = self.lock();
        let (mut changes, mut is_changed) = (Vec::new(), false);
        for state in inner.probes.iter_mut().filter(|state| state.is_stale(now) && state.can_become_stale()) {
            let state = Arc::make_mut(state);
            is_changed = true;
            changes.extend(state.mark_stale(now).into_iter().map(|change| (state.info.name.clone(), change)));
        }
        if is_changed {
            self.notify(inner);
        }
        changes
    }

    /// Updates metrics of the daemon that its pages show; cached pages are rendered again.
    pub fn update_daemon(&self, update: impl FnOnce(&DaemonMetrics)) {
        let inner = self.lock();
        update(&self.daemon);
        self.notify(inner);
    }

    /// The daemon's metrics about itself.
    pub fn daemon(&self) -> &DaemonMetrics {
        &self.daemon
    }

    /// Replaces a probe's state by the state that survived a restart.
    pub fn restore(&self, probe: &str, restore: impl FnOnce(&mut ProbeState)) {
        self.update(
            probe,
            |_| true,
            |state, _| {
                restore(state);
                Vec::new()
            },
        );
    }

    /// Returns the state of one probe.
    pub fn probe(&self, name: &str) -> Option<Arc<ProbeState>> {
        let inner = self.lock();
        inner.by_name.get(name).and_then(|at| inner.probes.get(*at)).cloned()
    }

    /// Returns a consistent copy of the whole board.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        Snapshot { version: *self.version.borrow(), probes: inner.probes.clone(), daemon: Arc::clone(&self.daemon) }
    }

    /// Returns a receiver that is notified of every change with the new version.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn update(
        &self,
        probe: &str,
        is_current: impl FnOnce(&ProbeState) -> bool,
        change: impl FnOnce(&mut ProbeState, &DaemonMetrics) -> Vec<StatusChange>,
    ) -> Vec<StatusChange> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        // A run may end just after a reload removed its probe.
        let Some(state) = inner.by_name.get(probe).and_then(|at| inner.probes.get_mut(*at)) else { return Vec::new() };
        if !is_current(state) {
            return Vec::new();
        }
        let changes = change(Arc::make_mut(state), &self.daemon);
        self.notify(guard);
        changes
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.inner.lock()
    }

    /// Notifies subscribers. It takes the guard so that versions match states.
    fn notify(&self, guard: MutexGuard<'_, BoardState>) {
        self.version.send_modify(|version| *version += 1);
        drop(guard);
    }
}

/// One status change of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// Name of the check.
    pub check: String,
    /// Status before the change.
    pub from: Status,
    /// Status after the change.
    pub to: Status,
    /// Explanation in one sentence.
    pub summary: String,
}

impl Snapshot {
    /// Iterates over all checks with their probes.
    pub fn checks(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.probes.iter().flat_map(|probe| probe.checks.iter().map(move |check| (&**probe, check)))
    }

    /// Returns the blockers sorted by status, severity and recency, worst first.
    #[must_use]
    pub fn blockers_worst_first(&self) -> Vec<(&ProbeState, &CheckState)> {
        let mut blockers: Vec<_> = self.blockers().collect();
        blockers.sort_by_key(|(_, check)| (check.status.display_order(), check.info.severity, Reverse(check.since)));
        blockers
    }

    /// Whether every probe has run, timed out or been skipped at least once.
    #[must_use]
    pub fn all_probes_attempted(&self) -> bool {
        self.probes.iter().all(|probe| probe.was_attempted())
    }
}

/// Weight of a check in the score.
#[must_use]
pub fn score_weight(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 4.0,
        Severity::Warning => 2.0,
        Severity::Info => 1.0,
    }
}
