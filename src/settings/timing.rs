//! Validates interval, timeout and retry interval.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{failure::Invalid, observation::Timing, units::Period};

/// Shortest interval; a shorter one would be a load test and exceed the timer resolution.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Longest interval.
const MAX_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// Default values for probes and checks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Defaults {
    /// Time between the starts of two runs.
    pub interval: Period,
    /// Maximum duration of a run; the interval if it is shorter.
    pub timeout: Period,
    /// Number of consecutive worse results before the status gets worse.
    pub failure_threshold: u32,
    /// Number of consecutive better results before the status gets better.
    pub success_threshold: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        let seconds = |seconds| Period(Duration::from_secs(seconds));
        Self { interval: seconds(30), timeout: seconds(5), failure_threshold: 1, success_threshold: 1 }
    }
}

/// The timing keys of a probe.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimingKeys {
    pub interval: Option<Period>,
    pub retry_interval: Option<Period>,
    pub timeout: Option<Period>,
}

impl TimingKeys {
    /// Returns the timing with defaults, and the errors of the keys.
    pub(super) fn with_defaults(self, defaults: &Defaults) -> (Timing, Vec<Invalid>) {
        let whole = self.interval.unwrap_or(defaults.interval);
        let written = [("timeout", self.timeout), ("retry_interval", self.retry_interval)];
        let mut invalid: Vec<_> = self.interval.and_then(check_interval).into_iter().collect();
        invalid.extend(written.into_iter().filter_map(|(key, period)| check_within_interval(key, period?, whole)));
        let timing = Timing {
            interval: whole.0,
            retry_interval: self.retry_interval.unwrap_or(whole).0,
            timeout: self.timeout.unwrap_or(defaults.timeout.min(whole)).0,
        };
        (timing, invalid)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn timing_of(interval: &str, timeout: &str, retry: &str) -> Result<(u128, u128, u128), String> {
        let period = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let written =
            TimingKeys { interval: period(interval), retry_interval: period(retry), timeout: period(timeout) };
        match written.with_defaults(&Defaults::default()) {
            (timing, invalid) if invalid.is_empty() => {
                Ok((timing.interval.as_millis(), timing.timeout.as_millis(), timing.retry_interval.as_millis()))
            }
            (_, invalid) => Err(invalid.into_iter().map(|invalid| invalid.message).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn timings_are_filled_in_and_held_to_the_interval() {
        assert_eq!(timing_of("", "", ""), Ok((30_000, 5_000, 30_000)));
        assert_eq!(timing_of("2s", "", ""), Ok((2_000, 2_000, 2_000)));
        assert_eq!(timing_of("10s", "10s", "1s"), Ok((10_000, 10_000, 1_000)));
        for (interval, timeout, retry, message) in [
            ("0s", "", "", "an interval of 0s is out of range: it can be 100ms to 7d"),
            ("99ms", "", "", "an interval of 99ms is out of range: it can be 100ms to 7d"),
            ("8d", "", "", "an interval of 8d is out of range: it can be 100ms to 7d"),
            ("10s", "11s", "", "`timeout: 11s` is longer than the interval, which is 10s"),
            ("", "31s", "", "`timeout: 31s` is longer than the interval, which is 30s"),
            ("", "0s", "", "`timeout` must be longer than zero"),
            ("10s", "", "20s", "`retry_interval: 20s` is longer than the interval, which is 10s"),
            ("10s", "", "0s", "`retry_interval` must be longer than zero"),
        ] {
            assert_eq!(timing_of(interval, timeout, retry), Err(message.to_owned()));
        }
    }
}
