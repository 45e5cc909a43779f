//! What goes wrong in the demo, when, and what to look for then.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Switches that the service and the backup job look at.
#[derive(Debug, Default)]
pub(super) struct Faults {
    slow: AtomicBool,
    broken: AtomicBool,
    no_backups: AtomicBool,
    calls: AtomicU64,
}

/// One thing that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Answers take most of a second.
    Slow,
    /// Every fifth answer is a 500.
    Errors,
    /// Something holds on to the connections of the pool.
    Pool,
    /// The backup job has stopped.
    Backups,
}

/// An act of the script.
#[derive(Debug)]
pub(super) struct Act {
    /// How long it lasts.
    pub(super) duration: Duration,
    /// What is wrong; nothing in the calm between.
    pub(super) fault: Option<Fault>,
    /// What to tell whoever watches.
    pub(super) announcement: &'static str,
}

const fn new_act(seconds: u64, fault: Option<Fault>, announcement: &'static str) -> Act {
    Act { duration: Duration::from_secs(seconds), fault, announcement }
}

/// About three minutes; then it begins again.
pub(super) const SCRIPT: &[Act] = &[
    new_act(25, None, "all is well: every check turns to pass as it has seen enough"),
    new_act(
        25,
        Some(Fault::Slow),
        "answers get slow: api/latency and orders/latency warn, then fail; nothing else does",
    ),
    new_act(20, None, "answers are quick again: the windows run out and the latency checks recover"),
    new_act(
        25,
        Some(Fault::Errors),
        "every fifth answer is an error: api/error_rate and orders/error_rate warn, then fail",
    ),
    new_act(20, None, "no more errors: the error rates sink"),
    new_act(
        25,
        Some(Fault::Pool),
        "something holds the database connections: orders/pool and orders/queue fail, then the orders that give up",
    ),
    new_act(15, None, "the connections are given back"),
    new_act(
        35,
        Some(Fault::Backups),
        "the backup job has stopped: dumps/freshness fails when the last dump is 20s old",
    ),
];

impl Faults {
    /// Switches to what an act says.
    pub(super) fn set(&self, fault: Option<Fault>) {
        self.slow.store(fault == Some(Fault::Slow), Relaxed);
        self.broken.store(fault == Some(Fault::Errors), Relaxed);
        self.no_backups.store(fault == Some(Fault::Backups), Relaxed);
    }

    /// How long work takes that normally takes so long.
    pub(super) fn scaled_duration(&self, normally: Duration) -> Duration {
        if self.slow.load(Relaxed) { normally * 3 } else { normally }
    }

    /// How long an answer is held back.
    pub(super) fn answer_delay(&self) -> Duration {
        Duration::from_millis(if self.slow.load(Relaxed) { 700 } else { 15 })
    }

    /// Whether the next answer is an error: every fifth while the fault lasts.
    pub(super) fn fails_next_answer(&self) -> bool {
        self.broken.load(Relaxed) && self.calls.fetch_add(1, Relaxed).is_multiple_of(5)
    }

    /// Whether the backup job runs.
    pub(super) fn is_backup_enabled(&self) -> bool {
        !self.no_backups.load(Relaxed)
    }
}
