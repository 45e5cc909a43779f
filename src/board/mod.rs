//! The board holds the latest state of every probe and check. It is the only place where this state lives.
//!
//! The scheduler writes to it; metrics, pages and API read snapshots. A snapshot is a list of pointers: an update
//! replaces the whole state of a probe, so a reader never waits and never sees a partial update.

mod check;
mod probe;

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

pub use self::{
    check::{CheckState, MAX_RECENT_RUNS, Resume},
    probe::{LastRun, PastRun, ProbeState},
};
use crate::{
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
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct BoardState {
    probes: Vec<Arc<ProbeState>>,
    by_name: HashMap<String, usize>,
    daemon: DaemonStats,
}

/// Statistics of the daemon itself.
#[derive(Debug, Clone, Default)]
pub struct DaemonStats {
    /// Whether the last attempt to load the configuration succeeded.
    pub reload_successful: bool,
    /// Time of the last successful load, in seconds since the epoch.
    pub reloaded_at: f64,
    /// Panics caught in probes and checks.
    pub panics: u64,
    /// State files written.
    pub state_writes: u64,
    /// State files that could not be written.
    pub state_failures: u64,
}

/// Immutable copy of the board.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Version of the board; every change increments it.
    pub version: u64,
    /// Every probe, in the order of the configuration.
    pub probes: Vec<Arc<ProbeState>>,
    /// Statistics of the daemon.
    pub daemon: DaemonStats,
}

impl Default for Board {
    fn default() -> Self {
        Self { inner: Mutex::default(), version: watch::Sender::new(0) }
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
        inner.daemon = old.daemon;
        for (info, limits) in probes {
            let kept = old.by_name.get(&info.name).filter(|_| keep(&info.name)).and_then(|at| old.probes.get(*at));
            let state = kept.cloned().unwrap_or_else(|| Arc::new(ProbeState::new(info, limits, now)));
            let at = inner.probes.len();
            inner.by_name.insert(state.info.name.clone(), at);
            inner.probes.push(state);
        }
        self.notify(inner);
    }

    /// Records one run of a probe. Returns the status changes for the log.
    pub fn record(&self, probe: &str, report: RunReport, lateness: f64) -> Vec<StatusChange> {
        let panics = u64::from(report.panics);
        self.update(probe, |state, daemon| {
            daemon.panics += panics;
            state.record(report, lateness)
        })
    }

    /// Records that a probe was skipped because the probe `because`, on which it depends, fails.
    pub fn skip(&self, probe: &str, because: &str, now: Timestamp) -> Vec<StatusChange> {
        self.update(probe, |state, _| state.skip(because, now))
    }

    /// Records runs that were left out because the previous run had not ended.
    pub fn add_overruns(&self, probe: &str, runs: u64) {
        self.update(probe, |state, _| {
            state.overruns += runs;
            Vec::new()
        });
    }

    /// Marks results older than three intervals as `unknown`. Returns the status changes with the probe names. The
    /// caller runs it about once a second.
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

    /// Updates the statistics of the daemon.
    pub fn update_daemon(&self, change: impl FnOnce(&mut DaemonStats)) {
        let mut inner = self.lock();
        change(&mut inner.daemon);
        self.notify(inner);
    }

    /// Updates a probe's state with the state saved before a restart.
    pub fn restore(&self, probe: &str, restore: impl FnOnce(&mut ProbeState)) {
        self.update(probe, |state, _| {
            restore(state);
            Vec::new()
        });
    }

    /// Returns the state of one probe.
    pub fn probe(&self, name: &str) -> Option<Arc<ProbeState>> {
        let inner = self.lock();
        inner.by_name.get(name).and_then(|at| inner.probes.get(*at)).cloned()
    }

    /// Returns a consistent copy of the whole board.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        Snapshot { version: *self.version.borrow(), probes: inner.probes.clone(), daemon: inner.daemon.clone() }
    }

    /// Returns a receiver that is notified of every change with the new version.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn update(
        &self,
        probe: &str,
        change: impl FnOnce(&mut ProbeState, &mut DaemonStats) -> Vec<StatusChange>,
    ) -> Vec<StatusChange> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        // A run may end just after a reload has removed its probe.
        let Some(state) = inner.by_name.get(probe).and_then(|at| inner.probes.get_mut(*at)) else { return Vec::new() };
        let changes = change(Arc::make_mut(state), &mut inner.daemon);
        self.notify(guard);
        changes
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        // No code panics while it holds the lock; if it did, the state would still be the previous one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Iterates over the checks that prevent readiness: see [`CheckState::blocks_readiness`].
    pub fn blockers(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.checks().filter(|(_, check)| check.blocks_readiness())
    }

    /// Returns the blockers sorted by status, severity and recency, worst first.
    #[must_use]
    pub fn blockers_worst_first(&self) -> Vec<(&ProbeState, &CheckState)> {
        let mut blockers: Vec<_> = self.blockers().collect();
        blockers.sort_by_key(|(_, check)| (check.status.rank(), check.info.severity, Reverse(check.since)));
        blockers
    }

    /// Whether the overall verdict is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.blockers().next().is_none()
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
