//! Validates interval, timeout and retry interval.

use std::time::Duration;

use super::inherit::{Level, find};
use crate::model::{failure::Invalid, observation::Timing, units::Period};

/// Shortest interval; a shorter one would be a load test and exceed the timer resolution.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Longest interval.
const MAX_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// Time between the starts of two runs, unless the configuration sets another.
pub(super) const DEFAULT_INTERVAL: Period = Period(Duration::from_secs(30));
/// Maximum duration of a run, unless the configuration sets another.
pub(super) const DEFAULT_TIMEOUT: Period = Period(Duration::from_secs(5));

/// Returns the timing of a probe. `levels` begins with the nearest level.
///
/// A timeout or retry interval from a farther level than the interval is reduced to the interval. A nearer one that is
/// longer than the interval is an error of its level, which [`Level::validate`] reports.
pub(super) fn resolve(levels: &[&Level]) -> Timing {
    let interval = find(levels, |keys| keys.interval).map_or(DEFAULT_INTERVAL, |(interval, _)| interval);
    let within = |period: Option<(Period, usize)>| period.map(|(period, _)| period.min(interval));
    Timing {
        interval: interval.0,
        retry_interval: within(find(levels, |keys| keys.retry_interval)).unwrap_or(interval).0,
        timeout: within(find(levels, |keys| keys.timeout)).unwrap_or(DEFAULT_TIMEOUT.min(interval)).0,
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
    use crate::{document::Diagnostics, settings::inherit::InheritedKeys};

    /// Interval, timeout and retry interval in milliseconds, or the errors of the nearest level.
    fn timing_of(levels: &[[&str; 3]]) -> Result<(u128, u128, u128), String> {
        let period = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let level = |[interval, timeout, retry_interval]: &[&str; 3]| Level {
            keys: InheritedKeys {
                interval: period(interval),
                timeout: period(timeout),
                retry_interval: period(retry_interval),
                ..InheritedKeys::default()
            },
            ..Level::default()
        };
        let levels: Vec<_> = levels.iter().map(level).collect();
        let levels: Vec<&Level> = levels.iter().collect();
        let mut problems = Diagnostics::default();
        levels[0].validate(&levels[1..], &mut problems);
        if !problems.is_empty() {
            return Err(problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; "));
        }
        let timing = resolve(&levels);
        Ok((timing.interval.as_millis(), timing.timeout.as_millis(), timing.retry_interval.as_millis()))
    }

    #[test]
    fn timings_are_filled_in_and_held_to_the_interval() {
        assert_eq!(timing_of(&[["", "", ""]]), Ok((30_000, 5_000, 30_000)));
        assert_eq!(timing_of(&[["2s", "", ""]]), Ok((2_000, 2_000, 2_000)));
        assert_eq!(timing_of(&[["10s", "10s", "1s"]]), Ok((10_000, 10_000, 1_000)));
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
            assert_eq!(timing_of(&[[interval, timeout, retry]]), Err(message.to_owned()));
        }
    }

    #[test]
    fn the_nearest_timing_wins_and_a_farther_one_gives_way_to_a_short_interval() {
        let defaults = ["1m", "20s", "10s"];
        assert_eq!(timing_of(&[["", "", ""], defaults]), Ok((60_000, 20_000, 10_000)));
        assert_eq!(timing_of(&[["", "3s", ""], ["2m", "", "30s"], defaults]), Ok((120_000, 3_000, 30_000)));
        assert_eq!(timing_of(&[["5s", "", ""], defaults]), Ok((5_000, 5_000, 5_000)));
        let too_long = "`timeout: 90s` is longer than the interval, which is 1m";
        assert_eq!(timing_of(&[["", "1m30s", ""], defaults]), Err(too_long.replace("90s", "1m30s")));
    }
}
