//! Measures: the values of a check and their limits.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use serde::Serialize;

use super::{
    metric::Family,
    text,
    units::Unit,
    words::{Outcome, Reason},
};

/// One value and its limits, in base units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// Name from the closed list of the check kind: `p95`, `age`, `utilization`. It becomes a label.
    pub name: &'static str,
    /// The measured object, if a check measures several: a pool, a JSON path. For texts and the API, never a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    /// The value.
    pub value: f64,
    /// Unit of the value.
    pub unit: Unit,
    /// Direction of the limits.
    pub bound: Bound,
    /// Warning step.
    pub warn: Option<f64>,
    /// Failing step.
    pub fail: Option<f64>,
}

impl Measure {
    /// A code, and the codes that are expected: exactly one, or a range.
    #[must_use]
    pub fn of_code(name: &'static str, code: u16, expected: RangeInclusive<u16>) -> Vec<Self> {
        let measure = |bound, limit: u16| Self {
            name,
            subject: None,
            value: f64::from(code),
            unit: Unit::Code,
            bound,
            warn: None,
            fail: Some(f64::from(limit)),
        };
        match (*expected.start(), *expected.end()) {
            (only, last) if only == last => vec![measure(Bound::Equals, only)],
            (first, last) => vec![measure(Bound::Min, first), measure(Bound::Max, last)],
        }
    }

    /// A code that is one of several expected ones, which no limit can express.
    #[must_use]
    pub fn of_unlimited_code(name: &'static str, code: u16) -> Self {
        Self {
            name,
            subject: None,
            value: f64::from(code),
            unit: Unit::Code,
            bound: Bound::Equals,
            warn: None,
            fail: None,
        }
    }

    /// Sets the measured object. A long name is cut.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(text::bounded_name(subject).into());
        self
    }

    /// The name for people, with the subject where there is one. The subject makes the number in a name like `value_2`
    /// superfluous.
    #[must_use]
    pub fn display_name(&self) -> Cow<'static, str> {
        match &self.subject {
            Some(subject) => {
                let word = self.name.rsplit_once('_').filter(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
                format!("{} of {subject}", word.map_or(self.name, |(word, _)| word)).into()
            }
            None => self.name.into(),
        }
    }

    /// The configured steps in the base unit, each with its value of the label `level`.
    pub fn levels(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        [("warn", self.warn), ("fail", self.fail)].into_iter().filter_map(|(level, at)| Some((level, at?)))
    }

    /// The limit that the value is beyond, or the next one that it is within.
    #[must_use]
    pub fn decisive_limit(&self) -> Option<f64> {
        match self.outcome() {
            Outcome::Fail(_) => self.fail,
            Outcome::Warn => self.warn,
            _ => self.warn.or(self.fail),
        }
    }

    /// The measure with the worst outcome; of equally bad ones that with the least headroom.
    #[must_use]
    pub fn worst(measures: &[Self]) -> Option<&Self> {
        measures.iter().max_by(|a, b| {
            let by_outcome = a.outcome().severity_order().cmp(&b.outcome().severity_order());
            let room = |measure: &Self| measure.headroom().unwrap_or(f64::INFINITY);
            by_outcome.then_with(|| room(b).total_cmp(&room(a)))
        })
    }

    /// End of a sentence about the value: the exceeded limit, or the next limit that the value meets.
    #[must_use]
    pub fn limit_phrase(&self) -> LimitPhrase<'_> {
        LimitPhrase(self)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}{}", self.display_name(), self.unit.display_value(self.value), self.limit_phrase())
    }
}

/// See [`Measure::limit_phrase`].
#[derive(Clone, Copy, Debug)]
pub struct LimitPhrase<'a>(&'a Measure);

impl fmt::Display for LimitPhrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(measure) = self;
        if measure.value.is_nan() {
            return f.write_str(", which no limit can judge");
        }
        let Some(limit) = measure.decisive_limit() else { return Ok(()) };
        let word = match (measure.outcome(), measure.bound) {
            (Outcome::Warn | Outcome::Fail(_), Bound::Max) => "above the limit of",
            (Outcome::Warn | Outcome::Fail(_), Bound::Min) => "below the limit of",
            (Outcome::Warn | Outcome::Fail(_), Bound::Equals) => "expected",
            (_, Bound::Max) => "within the limit of",
            (_, Bound::Min) => "no less than",
            (_, Bound::Equals) => "as expected:",
        };
        write!(f, ", {word} {}", measure.unit.display_value(limit))
    }
}

/// Declaration of a measure in the closed list of a check kind.
#[derive(Clone, Copy, Debug)]
pub struct MeasureInfo {
    /// Value of the label `measure`.
    pub name: &'static str,
    /// Base unit. It selects the generic family.
    pub unit: Unit,
    /// Meaning of the value in one sentence.
    pub help: &'static str,
    /// Named family that serves the value instead of the generic family.
    pub value_family: Option<&'static Family>,
    /// Named family that serves the limits instead of the generic family.
    pub limit_family: Option<&'static Family>,
}

impl MeasureInfo {
    /// Declares a measure that the generic families serve.
    #[must_use]
    pub const fn new(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, unit, help, value_family: None, limit_family: None }
    }

    /// Selects a named family for the value.
    #[must_use]
    pub const fn valued_by(mut self, family: &'static Family) -> Self {
        self.value_family = Some(family);
        self
    }

    /// Selects a named family for the limits.
    #[must_use]
    pub const fn limited_by(mut self, family: &'static Family) -> Self {
        self.limit_family = Some(family);
        self
    }
}

/// Direction of a limit, and value of the label `bound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Values above the limit fail.
    Max,
    /// Values below the limit fail.
    Min,
    /// Values other than the limit fail.
    Equals,
}

impl Bound {
    /// The word in the configuration and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
            Self::Equals => "equals",
        }
    }

    pub(super) fn is_beyond(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Max => value > limit,
            Self::Min => value < limit,
            Self::Equals => value != limit,
        }
    }
}

impl Measure {
    /// Compares the value with its limits. NaN can't be compared and results in `unknown`.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let beyond = |limit: Option<f64>| limit.is_some_and(|limit| self.bound.is_beyond(self.value, limit));
        match () {
            () if self.value.is_nan() => Outcome::Unknown(Reason::Empty),
            () if beyond(self.fail) => Outcome::Fail(Reason::Limit),
            () if beyond(self.warn) => Outcome::Warn,
            () => Outcome::Pass,
        }
    }

    /// Relative distance to the limit: 1 far from the limit, 0 at the limit, negative beyond it. The limit is the
    /// failing step, or the warning step if no other is set.
    ///
    /// For a value `v`, the headroom to an upper limit `L` is `1 - v/L`. The headroom to a lower limit is `1 - L/v`
    /// above the limit and `v/L - 1` below it. A limit of zero has no relative distance: the headroom is 1 within the
    /// limit and -1 beyond it. The minimum is -1000, so that one infinite value does not flatten a whole panel. A code
    /// has no distance from its limit, and so no headroom.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        let limit = self.fail.or(self.warn)?;
        if self.value.is_nan() || self.unit == Unit::Code {
            return None;
        }
        let beyond = self.bound.is_beyond(self.value, limit);
        let share = match self.bound {
            Bound::Equals => {
                if beyond {
                    -1.0
                } else {
                    1.0
                }
            }
            _ if limit <= 0.0 => {
                if beyond {
                    -1.0
                } else {
                    1.0
                }
            }
            Bound::Max => 1.0 - self.value / limit,
            Bound::Min if beyond => self.value / limit - 1.0,
            Bound::Min => 1.0 - limit / self.value,
        };
        Some(share.clamp(-1_000.0, 1.0))
    }
}
