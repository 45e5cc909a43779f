//! Recognition of counters that belong to several processes.
//!
//! A service with several worker processes, or a load balancer, may answer each scrape with the counters of another
//! process. Two facts reveal it: the start time of the process changes without a restart, and counters decrease again
//! and again.

use std::collections::HashMap;

use jiff::Timestamp;

use super::reading::SeriesHash;
use crate::{
    model::{
        text,
        units::Period,
        verdict::Verdict,
        words::{Outcome, Reason},
    },
    probes::metrics::exposition_format::series::Series,
};

/// Number of decreases of one series in a window from which they are no restarts.
const MIN_FALLS: usize = 3;
/// Minimum share of the scrapes of a window with a decrease: one of five.
const SCRAPES_PER_FALL: usize = 5;
/// Number of changes between processes in a window from which the verdict is unknown. A single change starts counting
/// again: a load balancer may have changed its target once.
const MIN_CHANGES: usize = 2;
/// Maximum number of series with decreases, and of remembered times.
const MAX_FALLING: usize = 1_000;
/// Tolerance for two statements of one start time, which some clients compute from ticks, in seconds.
const MAX_START_JITTER: f64 = 2.0;
/// Tolerance for the clocks of the target and of the daemon in milliseconds.
const MAX_CLOCK_SKEW: f64 = 60_000.0;

/// Changes between processes in a window.
#[derive(Debug, Default)]
pub(super) struct ProcessChanges {
    /// Start time of the process at the previous scrape, in seconds since the epoch.
    start: Option<f64>,
    /// Times at which the page was that of another process, in milliseconds since the epoch.
    changes: Vec<i64>,
    falls: HashMap<SeriesHash, Falls>,
}

/// Decreases of one series.
#[derive(Debug, Default)]
struct Falls {
    /// Name of the series for findings.
    name: String,
    /// Times in milliseconds since the epoch.
    times: Vec<i64>,
}

impl ProcessChanges {
    /// Compares the start time of the process with that of the previous scrape. Returns whether the process has
    /// restarted since; `None` if the page is that of another process.
    pub(super) fn next_scrape(
        &mut self,
        at: Timestamp,
        previous: Option<i64>,
        start: Option<f64>,
        window: Period,
    ) -> Option<bool> {
        let before = self.start;
        self.start = start.or(before);
        let (Some(start), Some(previous)) = (start, previous) else { return Some(false) };
        let Some(before) = before else { return Some(start * 1e3 >= previous as f64) };
        if (start - before).abs() <= MAX_START_JITTER {
            return Some(false);
        }
        // A process that restarted since the previous scrape started later than the previous scrape.
        let has_restarted = start > before && start * 1e3 + MAX_CLOCK_SKEW >= previous as f64;
        if has_restarted {
            return Some(true);
        }
        let now = at.as_millisecond();
        self.changes.retain(|change| u128::from(now.abs_diff(*change)) < window.0.as_millis());
        if self.changes.len() < MAX_FALLING {
            self.changes.push(now);
        }
        None
    }

    /// Notes that a series has decreased.
    pub(super) fn fell(&mut self, hash: SeriesHash, series: &Series, at: i64) {
        if self.falls.len() >= MAX_FALLING && !self.falls.contains_key(&hash) {
            return;
        }
        let falls = self
            .falls
            .entry(hash)
            .or_insert_with(|| Falls { name: text::bounded_name(&*series.id), times: Vec::new() });
        // A series may belong to several sets.
        if falls.times.len() < MAX_FALLING && falls.times.last() != Some(&at) {
            falls.times.push(at);
        }
    }

    /// Forgets the changes before the window.
    pub(super) fn end_scrape(&mut self, oldest: i64) {
        self.changes.retain(|change| *change > oldest);
        self.falls.retain(|_, falls| {
            falls.times.retain(|time| *time > oldest);
            !falls.times.is_empty()
        });
    }

    /// Verdict while the window contains counters of several processes.
    pub(super) fn problem(&self, scrapes: usize, window: Period) -> Option<Verdict> {
        let advice = "scrape each process at an address of its own, or let them share their counters";
        if self.changes.len() >= MIN_CHANGES {
            let count = self.changes.len();
            let text = format!(
                "the start time of the process changed {count} times in {window} without a restart: several processes \
                 behind one port? Then {advice}"
            );
            return Some(Verdict::new(Outcome::Unknown(Reason::Body), text));
        }
        let most = self.falls.values().max_by_key(|falls| falls.times.len())?;
        let count = most.times.len();
        if count < MIN_FALLS || count * SCRAPES_PER_FALL < scrapes {
            return None;
        }
        let text = format!(
            "`{}` went back {count} times in {window}: several processes behind one port? Then {advice}. A process that \
             restarts again and again, or a gauge, looks the same",
            most.name
        );
        Some(Verdict::new(Outcome::Unknown(Reason::Body), text))
    }
}
