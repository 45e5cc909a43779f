//! Measures: one value of a check and the limits that it is judged against.

use std::{borrow::Cow, fmt};

use serde::Serialize;

use super::{
    metric::Family,
    text,
    units::Unit,
    words::{Outcome, Reason},
};

/// One value and the limits it was judged against, in base units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// The measure's word from the closed list of its check kind: `p95`, `age`, `utilization`. Becomes a label.
    pub name: &'static str,
    /// Which of several things was measured: a pool, a JSON path. For sentences and the API, never a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    /// The value.
    pub value: f64,
    /// How it is written for people.
    pub unit: Unit,
    /// Which side is bad.
    pub bound: Bound,
    /// Beyond it the check warns.
    pub warn: Option<f64>,
    /// Beyond it the check fails.
    pub fail: Option<f64>,
}

impl Measure {
    /// The same measure, of one of several things. A long subject is cut.
    #[must_use]
    pub fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(text::name(subject).into());
        self
    }

    /// The name for people, with the subject where there is one.
    #[must_use]
    pub fn label(&self) -> Cow<'static, str> {
        match &self.subject {
            Some(subject) => format!("{} of {subject}", self.name).into(),
            None => self.name.into(),
        }
    }

    /// The steps that are set with their `level` label, in the base unit.
    pub fn levels(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        [("warn", self.warn), ("fail", self.fail)].into_iter().filter_map(|(level, at)| Some((level, at?)))
    }

    /// The end of a sentence about the value: the limit that it is beyond, or the next one that it is within.
    #[must_use]
    pub fn against(&self) -> LimitPhrase<'_> {
        LimitPhrase(self)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}{}", self.label(), self.unit.shown(self.value), self.against())
    }
}

/// See [`Measure::against`].
#[derive(Clone, Copy, Debug)]
pub struct LimitPhrase<'a>(&'a Measure);

impl fmt::Display for LimitPhrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(measure) = self;
        if measure.value.is_nan() {
            return f.write_str(", which no limit can judge");
        }
        let limit = match measure.outcome() {
            Outcome::Fail(_) => measure.fail,
            Outcome::Warn => measure.warn,
            _ => measure.warn.or(measure.fail),
        };
        let Some(limit) = limit else { return Ok(()) };
        let word = match (measure.outcome(), measure.bound) {
            (Outcome::Warn | Outcome::Fail(_), Bound::Max) => "above the limit of",
            (Outcome::Warn | Outcome::Fail(_), Bound::Min) => "below the limit of",
            (Outcome::Warn | Outcome::Fail(_), Bound::Equals) => "expected",
            (_, Bound::Max) => "within the limit of",
            (_, Bound::Min) => "no less than",
            (_, Bound::Equals) => "as expected:",
        };
        write!(f, ", {word} {}", measure.unit.shown(limit))
    }
}

/// One measure that a check kind may report: an entry of its closed list.
#[derive(Clone, Copy, Debug)]
pub struct MeasureInfo {
    /// Value of the label `measure`.
    pub name: &'static str,
    /// The base unit, which chooses the generic family.
    pub unit: Unit,
    /// One sentence: the value's meaning.
    pub help: &'static str,
    /// The named family that serves its value, instead of the generic one of its unit.
    pub value_family: Option<&'static Family>,
    /// The named family that serves its limits, instead of the generic one of its unit.
    pub limit_family: Option<&'static Family>,
}

impl MeasureInfo {
    /// A measure that the generic families serve.
    #[must_use]
    pub const fn new(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, unit, help, value_family: None, limit_family: None }
    }

    /// Its value is served by a named family.
    #[must_use]
    pub const fn valued_by(mut self, family: &'static Family) -> Self {
        self.value_family = Some(family);
        self
    }

    /// Its limits are served by a named family.
    #[must_use]
    pub const fn limited_by(mut self, family: &'static Family) -> Self {
        self.limit_family = Some(family);
        self
    }
}

/// Which side of a limit is the bad one; also the `bound` label of a limit's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Above is bad.
    Max,
    /// Below is bad.
    Min,
    /// Any other value is bad.
    Equals,
}

impl Bound {
    /// The word as it stands in configuration and labels.
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
    /// How this value stands against its limits. NaN satisfies no limit and so can't be judged.
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

    /// The share of the limit that is left: 1 far from it, 0 at it, negative beyond it; the failing step counts,
    /// or the warning one where it is alone.
    ///
    /// For an upper limit L it is `1 - v/L`, for a lower one `1 - L/v` above it and `v/L - 1` below it. Limits of
    /// zero leave no share to speak of: 1 on the good side, -1 on the bad one. Never below -1000, so that one
    /// infinite value doesn't flatten a whole panel.
    #[must_use]
    pub fn headroom(&self) -> Option<f64> {
        let limit = self.fail.or(self.warn)?;
        if self.value.is_nan() {
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
