//! Validates interval, timeout and retry interval.

use std::time::Duration;

use crate::model::{failure::Invalid, units::Period};

/// Shortest interval; a shorter one would be a load test and exceed the timer resolution.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Longest interval.
pub(super) const MAX_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// Time between the starts of two runs, unless the configuration sets another.
pub(super) const DEFAULT_INTERVAL: Period = Period(Duration::from_secs(30));
/// Maximum duration of a run, unless the configuration sets another.
pub(super) const DEFAULT_TIMEOUT: Period = Period(Duration::from_secs(5));

/// Rejects an interval out of range.
pub(super) fn check_interval(interval: Period) -> Option<Invalid> {
    let bad = !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval.0);
    bad.then(|| Invalid::at("interval", format!("an interval of {interval} is out of range: it can be 100ms to 7d")))
}

/// Rejects a duration that is zero or longer than the interval.
pub(super) fn check_within_interval(key: &'static str, part: Period, interval: Period) -> Option<Invalid> {
    if part.0.is_zero() {
        return Some(Invalid::at(key, format!("`{key}` must be longer than zero")));
    }
    (part > interval)
        .then(|| Invalid::at(key, format!("`{key}: {part}` is longer than the interval, which is {interval}")))
}
