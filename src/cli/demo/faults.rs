//! The faults of the demo, their schedule and their announcements.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Active faults, read by the service and the backup job.
#[derive(Debug, Default)]
pub(super) struct Faults {
    slow: AtomicBool,
    broken: AtomicBool,
    no_backups: AtomicBool,
    calls: AtomicU64,
}

/// A fault of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Responses take most of a second.
    Slow,
    /// Every fifth response is a 500.
    Errors,
    /// The connections of the pool are held.
    Pool,
    /// The backup job has stopped.
    Backups,
}

/// One step of the script.
#[derive(Debug)]
pub(super) struct Act {
    /// Duration of the step.
    pub(super) duration: Duration,
    /// The active fault, if any.
    pub(super) fault: Option<Fault>,
    /// Announcement on the terminal.
    pub(super) announcement: &'static str,
}

const fn new_act(seconds: u64, fault: Option<Fault>, announcement: &'static str) -> Act {
    Act { duration: Duration::from_secs(seconds), fault, announcement }
}

/// The script takes about three minutes and then repeats.
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
    /// Activates the fault of a step.
    pub(super) fn set(&self, fault: Option<Fault>) {
        self.slow.store(fault == Some(Fault::Slow), Relaxed);
        self.broken.store(fault == Some(Fault::Errors), Relaxed);
        self.no_backups.store(fault == Some(Fault::Backups), Relaxed);
    }

    /// Duration of work under the current fault.
    pub(super) fn scaled_duration(&self, normally: Duration) -> Duration {
        if self.slow.load(Relaxed) { normally * 3 } else { normally }
    }

    /// Delay of a response under the current fault.
    pub(super) fn answer_delay(&self) -> Duration {
        Duration::from_millis(if self.slow.load(Relaxed) { 700 } else { 15 })
    }

    /// Whether the next response is an error: every fifth while the fault is active.
    pub(super) fn fails_next_answer(&self) -> bool {
        self.broken.load(Relaxed) && self.calls.fetch_add(1, Relaxed).is_multiple_of(5)
    }

    /// Whether the backup job runs.
    pub(super) fn is_backup_enabled(&self) -> bool {
        !self.no_backups.load(Relaxed)
    }
}
