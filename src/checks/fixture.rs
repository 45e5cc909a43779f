//! Runs without facts, for the tests of checks that need none.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{
    failure::Failure,
    observation::{Facts, Observation, Timing},
    words::Reason,
};

/// No facts at all.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing;

impl Facts for Nothing {
    type Request = ();
}

/// Every 10 s, at most 2 s.
pub(crate) const TIMING: Timing = Timing {
    interval: Duration::from_secs(10),
    retry_interval: Duration::from_secs(10),
    timeout: Duration::from_secs(2),
};

/// A run at a second of the epoch that worked and took so many milliseconds.
pub(crate) fn worked(at: i64, millis: u64) -> Observation<Nothing> {
    let at = Timestamp::from_second(at).unwrap();
    let duration = Duration::from_millis(millis);
    Observation { at, duration, timing: TIMING, phases: Vec::new(), facts: Some(Nothing), failure: None }
}

/// A run at a second of the epoch that failed at once.
pub(crate) fn failed(at: i64, reason: Reason) -> Observation<Nothing> {
    Observation { facts: None, failure: Some(Failure::new(reason, "it failed")), ..worked(at, 1) }
}
