//! The board: the latest state of every probe and check, and the only place where it lives.
//!
//! The scheduler writes it; the metrics, the pages and the API read snapshots. A snapshot is a copy of pointers: a
//! probe's state is replaced as a whole when something happens to it, so readers never wait and never see half of it.

mod check;
mod probe;

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

pub use self::{
    check::{CheckState, MAX_RECENT_RUNS, Resume},
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

/// See the module.
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

/// The board at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Grows with each change of the board.
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
    /// Puts every probe of a configuration on the board, all pending; what `keep` says is unchanged stays as it is,
    /// what is no longer there goes.
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
        self.update(probe, |_| true, |state, _| state.skip(because, now))
    }

    /// Records a skipped run unless a reload has replaced or removed the probe.
    pub fn skip_if_current(&self, info: &Arc<ProbeInfo>, because: &str, now: Timestamp) -> Vec<StatusChange> {
        self.update(&info.name, |state| Arc::ptr_eq(&state.info, info), |state, _| state.skip(because, now))
    }

    /// Writes down that a run was left out because the one before had not ended.
    pub fn add_overruns(&self, probe: &str, runs: u64) {
        self.update(
            probe,
            |_| true,
            |state, _| {
                state.overruns += runs;
                Vec::new()
            },
        );
    }

    /// Turns what is older than three intervals into `unknown`; gives what changed, with the probe's name. To be
    /// called about once a second.
    pub fn expire_stale(&self, now: Timestamp) -> Vec<(String, StatusChange)> {
        let mut inner = self.lock();
        let mut changes = Vec::new();
        for state in inner.probes.iter_mut().filter(|state| state.is_stale(now) && state.has_verdicts()) {
            let state = Arc::make_mut(state);
            changes.extend(state.mark_stale(now).into_iter().map(|change| (state.info.name.clone(), change)));
        }
        if !changes.is_empty() {
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

    /// Replaces a probe's state by what survived a restart.
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

    /// One probe's state.
    pub fn probe(&self, name: &str) -> Option<Arc<ProbeState>> {
        let inner = self.lock();
        inner.by_name.get(name).and_then(|at| inner.probes.get(*at)).cloned()
    }

    /// Everything, at one moment.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        Snapshot { version: *self.version.borrow(), probes: inner.probes.clone(), daemon: Arc::clone(&self.daemon) }
    }

    /// Wakes whoever waits for a change; the value grows with each.
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

    /// Tells the watchers; takes the guard so that it happens under the lock and versions match states.
    fn notify(&self, guard: MutexGuard<'_, BoardState>) {
        self.version.send_modify(|version| *version += 1);
        drop(guard);
    }
}

/// A status that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The check's name.
    pub check: String,
    /// The status before.
    pub from: Status,
    /// The status now.
    pub to: Status,
    /// Why, in a sentence.
    pub summary: String,
}

impl Snapshot {
    /// Every check with its probe.
    pub fn checks(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.probes.iter().flat_map(|probe| probe.checks.iter().map(move |check| (&**probe, check)))
    }

    /// What stands in the way of being ready: see [`CheckState::blocks`].
    pub fn blockers(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.checks().filter(|(_, check)| check.blocks_readiness())
    }

    /// The same, the worst first; of those alike, the one that broke last: it is the news.
    #[must_use]
    pub fn blockers_worst_first(&self) -> Vec<(&ProbeState, &CheckState)> {
        let mut blockers: Vec<_> = self.blockers().collect();
        blockers.sort_by_key(|(_, check)| (check.status.display_order(), check.info.severity, Reverse(check.since)));
        blockers
    }

    /// The overall verdict.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.blockers().next().is_none()
    }

    /// Whether every probe has run, been skipped or timed out once.
    #[must_use]
    pub fn all_probes_attempted(&self) -> bool {
        self.probes.iter().all(|probe| probe.was_attempted())
    }
}

/// How much a check counts in the score.
#[must_use]
pub fn score_weight(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 4.0,
        Severity::Warning => 2.0,
        Severity::Info => 1.0,
    }
}
