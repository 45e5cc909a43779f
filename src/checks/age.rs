//! Ages of points in time that a target reports, for checks with the settings `max_age` and `min_age`.

use jiff::Timestamp;

use crate::model::{
    limit::{Max, Min, Range},
    measure::{Measure, MeasureInfo},
    units::{Period, Unit},
};

/// Maximum time by which a reported time may be in the future: clocks differ a little.
const MAX_CLOCK_SKEW_SECONDS: f64 = 300.0;

/// The measure of a check that limits one age.
pub const AGE: MeasureInfo = MeasureInfo::new("age", Unit::Seconds, "Time since the reported point in time.");

/// Limits on an age; each may be missing.
#[derive(Clone, Copy, Debug)]
pub struct AgeLimits {
    /// Lower limit.
    pub min: Option<Min<Period>>,
    /// Upper limit.
    pub max: Option<Max<Period>>,
}

impl AgeLimits {
    /// Whether any limit is set.
    #[must_use]
    pub fn are_set(&self) -> bool {
        !self.range().is_unbounded()
    }

    /// Rejects limits that no age can meet.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if self.range().is_crossed() {
            return Err(("min_age", "no age is above `min_age` and below `max_age`: exchange them"));
        }
        if self.max.is_some_and(|limit| limit.levels().any(|(_, at)| at <= 0.0)) {
            return Err(("max_age", "every age is above 0: raise the limit"));
        }
        Ok(())
    }

    /// The age compared with each limit; NaN for the limits alone.
    #[must_use]
    pub fn measures(&self, name: &'static str, age: f64) -> Vec<Measure> {
        self.range().measures(name, age)
    }

    fn range(&self) -> Range<Period> {
        Range { min: self.min, max: self.max }
    }
}

/// Returns the age in seconds of a point in time, both in seconds since the epoch. A time that is less than five minutes in
/// the future has the age 0.
///
/// # Errors
/// A message if the time is further in the future: a clock, a time zone or the unit is wrong, so the age is unknown.
pub fn age(time: f64, now: f64) -> Result<f64, String> {
    if time.is_nan() || time > now + MAX_CLOCK_SKEW_SECONDS {
        let hint = if time > 100.0 * now.abs() { "; a time is in seconds, not in milliseconds" } else { "" };
        return Err(format!("the time {} is in the future{hint}", time_text(time)));
    }
    Ok((now - time).max(0.0))
}

/// A time in seconds since the epoch as text, as in `2026-11-27 01:10:00 UTC`.
#[must_use]
pub fn time_text(time: f64) -> String {
    if time == 0.0 { "0 (never)".to_owned() } else { Unit::Timestamp.format_value(time) }
}

/// Reads a time as RFC 3339 (`2026-11-27T01:10:00Z`) or, as HTTP headers have it, RFC 2822 (`Fri, 27 Nov 2026 01:10:00
/// GMT`), in seconds since the epoch.
#[must_use]
pub fn parse_time(text: &str) -> Option<f64> {
    let text = text.trim();
    let rfc_2822 = || jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let time: Timestamp = text.parse().ok().or_else(rfc_2822)?;
    Some(time.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_never_negative_and_a_time_in_the_future_has_none() {
        assert_eq!(age(1_000.0, 1_060.0), Ok(60.0));
        assert_eq!(age(1_200.0, 1_000.0), Ok(0.0), "clocks differ a little");
        assert_eq!(age(1_301.0, 1_000.0), Err("the time 1970-01-01 00:21:41 UTC is in the future".to_owned()));
        let millis = age(1_795_000_000_000.0, 1_795_000_000.0).unwrap_err();
        assert!(millis.ends_with("is in the future; a time is in seconds, not in milliseconds"), "{millis}");
        assert!(age(f64::NAN, 1_000.0).is_err());
        assert_eq!(age(0.0, 1_000.0), Ok(1_000.0), "what never happened is older than everything");
    }

    #[test]
    fn times_are_read_in_both_notations() {
        for text in ["2026-11-27T01:10:00Z", "2026-11-27T02:10:00+01:00", "Fri, 27 Nov 2026 01:10:00 GMT"] {
            assert_eq!(parse_time(text), Some(1_795_741_800.0), "{text}");
        }
        for text in ["", "yesterday", "2026-11-27", "1795741800"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn limits_that_no_age_meets_are_rejected() {
        let period = |text: &str| text.parse::<Period>().unwrap();
        let limits = |min: Option<&str>, max: Option<&str>| AgeLimits {
            min: min.map(|text| Min::single(period(text))),
            max: max.map(|text| Max::single(period(text))),
        };
        assert_eq!(limits(Some("2h"), Some("1h")).validate().unwrap_err().0, "min_age");
        assert_eq!(limits(None, Some("0s")).validate().unwrap_err().0, "max_age");
        assert!(limits(Some("1h"), Some("1h")).validate().is_ok() && !limits(None, None).are_set());
    }
}
