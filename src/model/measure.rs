//! Measures: one value of a check and the limits that it is judged against.

use std::{borrow::Cow, fmt};

use serde::Serialize;

use super::{
    units::Unit,
    words::{Outcome, Reason},
};

/// One value and the limits it was judged against, in base units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// What was measured: `p95`, `age`, `utilization`.
    pub name: Cow<'static, str>,
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
    /// The end of a sentence about the value: the limit that it is beyond, or the next one that it is within.
    #[must_use]
    pub fn against(&self) -> LimitPhrase<'_> {
        LimitPhrase(self)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}{}", self.name, self.unit.shown(self.value), self.against())
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
            (_, Bound::Max) => "within the limit of",
            (_, Bound::Min) => "no less than",
        };
        write!(f, ", {word} {}", measure.unit.shown(limit))
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
}

impl Bound {
    /// The word as it stands in configuration and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    pub(super) fn is_beyond(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Max => value > limit,
            Self::Min => value < limit,
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
