//! The board: the latest state of every probe and check, and the only place where it lives.
//!
//! The scheduler writes it; the metrics, the pages and the API read snapshots. A snapshot is a copy of pointers: a
//! probe's state is replaced as a whole when something happens to it, so readers never wait and never see half of it.

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

/// See the module.
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

/// What the daemon says about itself.
#[derive(Debug, Clone, Default)]
pub struct DaemonStats {
    /// Whether the last attempt to load the configuration worked.
    pub reload_successful: bool,
    /// When it last worked, in seconds since the epoch.
    pub reloaded_at: f64,
    /// Panics caught in probes and checks.
    pub panics: u64,
    /// State files written.
    pub state_writes: u64,
    /// State files that could not be written.
    pub state_failures: u64,
}

/// The board at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Grows with each change of the board.
    pub version: u64,
    /// Every probe, in the order of the configuration.
    pub probes: Vec<Arc<ProbeState>>,
    /// The daemon itself.
    pub daemon: DaemonStats,
}

impl Default for Board {
    fn default() -> Self {
        Self { inner: Mutex::default(), version: watch::Sender::new(0) }
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

    /// Writes down one run of a probe; gives what changed its status, for the log.
    pub fn record(&self, probe: &str, report: RunReport, lateness: f64) -> Vec<StatusChange> {
        let panics = u64::from(report.panics);
        self.update(probe, |state, daemon| {
            daemon.panics += panics;
            state.record(report, lateness)
        })
    }

    /// Writes down that a probe was not run because one that it depends on fails.
    pub fn skip(&self, probe: &str, because: &str, now: Timestamp) -> Vec<StatusChange> {
        self.update(probe, |state, _| state.skip(because, now))
    }

    /// Writes down that a run was left out because the one before had not ended.
    pub fn add_overruns(&self, probe: &str, runs: u64) {
        self.update(probe, |state, _| {
            state.overruns += runs;
            Vec::new()
        });
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

    /// Changes what the daemon says about itself.
    pub fn update_daemon(&self, change: impl FnOnce(&mut DaemonStats)) {
        let mut inner = self.lock();
        change(&mut inner.daemon);
        self.notify(inner);
    }

    /// Replaces a probe's state by what survived a restart.
    pub fn restore(&self, probe: &str, restore: impl FnOnce(&mut ProbeState)) {
        self.update(probe, |state, _| {
            restore(state);
            Vec::new()
        });
    }

    /// One probe's state.
    pub fn probe(&self, name: &str) -> Option<Arc<ProbeState>> {
        let inner = self.lock();
        inner.by_name.get(name).and_then(|at| inner.probes.get(*at)).cloned()
    }

    /// Everything, at one moment.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        Snapshot { version: *self.version.borrow(), probes: inner.probes.clone(), daemon: inner.daemon.clone() }
    }

    /// Wakes whoever waits for a change; the value grows with each.
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
        // A run may end just after a reload took its probe away.
        let Some(state) = inner.by_name.get(probe).and_then(|at| inner.probes.get_mut(*at)) else { return Vec::new() };
        let changes = change(Arc::make_mut(state), &mut inner.daemon);
        self.notify(guard);
        changes
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        // Nothing panics while it holds the lock; if it did, the state would still be the one before.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        blockers.sort_by_key(|(_, check)| (check.status.rank(), check.info.severity, Reverse(check.since)));
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
