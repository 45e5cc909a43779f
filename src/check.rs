//! Vocabulary of judging: what a check is, what it says and what it needs to say it.
//!
//! A check is pure: facts in, verdict out. It may keep a window of what it saw, and knows no clock but the
//! observation's.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    family::Sample,
    limit::Bound,
    node::{Node, Problems},
    probe::{Facts, Failure, Invalid, Observation, Reason, Timing, words},
    sentence::sentence,
    units::Unit,
};

/// Judges facts of the type `F`; to add one, write one file and add one line to the list of each probe kind that
/// can feed it ([`crate::probe::Kind::checks`]).
pub trait Check<F: Facts>: Send + Sync {
    /// The verdict on one run. Every run is shown to every check, failed runs too.
    fn judge(&mut self, seen: &Observation<F>) -> Verdict;

    /// What the probe must bring for this check, beyond what it brings anyway.
    fn wants(&self) -> Vec<F::Want> {
        Vec::new()
    }

    /// The limits as samples: they exist from the first scrape, whether anything was measured or not.
    fn limits(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// What must survive a restart, if anything.
    fn save(&self) -> Option<serde_json::Value> {
        None
    }

    /// Takes back what [`Check::save`] gave, perhaps long ago and from an older version: what doesn't fit is
    /// dropped, and nothing is claimed about the time in between.
    fn restore(&mut self, saved: serde_json::Value) {
        let _ = saved;
    }
}

/// A kind of check as it stands in the configuration.
pub trait CheckKind<F: Facts>: Check<F> + DeserializeOwned + Serialize + JsonSchema + 'static {
    /// Configuration key, file name and value of the label `kind`.
    const NAME: &'static str;
    /// Where it belongs unless the configuration says otherwise.
    const CATEGORY: Category;
    /// How bad it is unless the configuration says otherwise.
    const SEVERITY: Severity;

    /// Rules that a type alone can't hold, and that may depend on the probe's timing.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let _ = timing;
        Ok(())
    }
}

/// One check that a probe kind can feed: an entry of the list that its errors and its schema are made of.
pub struct Offer<F: Facts> {
    /// The check kind's name.
    pub name: &'static str,
    /// Its default category.
    pub category: Category,
    /// Its default severity.
    pub severity: Severity,
    /// Reads its settings; what is wrong with them goes to the list of problems.
    pub read: fn(&Node, &Timing, &mut Problems) -> Option<Ready<F>>,
    /// The JSON Schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A check that was read and holds together.
pub struct Ready<F: Facts> {
    /// What judges.
    pub check: Box<dyn Check<F>>,
    /// Its settings with every default filled in and secrets hidden, for `/config`.
    pub effective: serde_json::Value,
}

impl<F: Facts> Offer<F> {
    /// The list entry of a check kind.
    #[must_use]
    pub fn of<K: CheckKind<F>>() -> Self {
        Self {
            name: K::NAME,
            category: K::CATEGORY,
            severity: K::SEVERITY,
            read: |node, timing, problems| {
                let check: K = node.read(problems)?;
                if let Err(invalid) = check.validate(timing) {
                    problems.invalid(node, invalid);
                    return None;
                }
                let effective = serde_json::to_value(&check).unwrap_or_default();
                Some(Ready { check: Box::new(check), effective })
            },
            schema: |generator| generator.subschema_for::<K>(),
        }
    }
}

/// What a check says about one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The status, before thresholds.
    pub outcome: Outcome,
    /// One sentence for people: what was found and, if that is not good, what was expected.
    pub summary: String,
    /// What was measured, against its limits.
    pub measures: Vec<Measure>,
    /// What to expose of it.
    pub samples: Vec<Sample>,
}

/// The status that one run gives a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Beyond the first step of a limit.
    Warn,
    /// Not as it should be.
    Fail(Reason),
    /// It can't be told.
    Unknown(Reason),
    /// Not enough seen yet.
    Pending,
}

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

impl Verdict {
    /// A verdict without numbers.
    pub fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self { outcome, summary: sentence(summary), measures: Vec::new(), samples: Vec::new() }
    }

    /// It can't be told, because the run failed.
    #[must_use]
    pub fn not_measured(failure: &Failure) -> Self {
        Self::new(Outcome::Unknown(failure.reason), format!("not measured: {failure}"))
    }

    /// The verdict that a set of measures adds up to: the worst of them, and a sentence about the one that is worst.
    #[must_use]
    pub fn of(measures: Vec<Measure>) -> Self {
        let worst = measures.iter().max_by(|a, b| {
            let by_outcome = a.outcome().badness().cmp(&b.outcome().badness());
            by_outcome.then_with(|| {
                let left = |measure: &Measure| measure.headroom().unwrap_or(f64::INFINITY);
                left(b).total_cmp(&left(a))
            })
        });
        match worst {
            Some(worst) => {
                // Long enough at once for what is said of nearly every run.
                let mut summary = String::with_capacity(96);
                // Writing to a String never fails.
                let _ = write!(summary, "{worst}");
                Self { outcome: worst.outcome(), summary, measures, samples: Vec::new() }
            }
            None => Self::new(Outcome::Unknown(Reason::Empty), "nothing was measured"),
        }
    }

    /// Adds what is to be exposed.
    #[must_use]
    pub fn with(mut self, samples: impl IntoIterator<Item = Sample>) -> Self {
        self.samples.extend(samples);
        self
    }
}

impl Outcome {
    /// As that of its status.
    #[must_use]
    pub fn badness(self) -> u8 {
        self.status().badness()
    }

    /// The same as a status.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Pass => Status::Pass,
            Self::Warn => Status::Warn,
            Self::Fail(_) => Status::Fail,
            Self::Unknown(_) => Status::Unknown,
            Self::Pending => Status::Pending,
        }
    }

    /// Why, where it isn't good.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Fail(reason) | Self::Unknown(reason) => Some(reason),
            Self::Warn => Some(Reason::Limit),
            Self::Pass | Self::Pending => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}{}", self.name, self.unit.shown(self.value), self.against())
    }
}

impl Measure {
    /// The end of a sentence about the value: the limit that it is beyond, or the next one that it is within.
    #[must_use]
    pub fn against(&self) -> Against<'_> {
        Against(self)
    }
}

/// See [`Measure::against`].
#[derive(Clone, Copy, Debug)]
pub struct Against<'a>(&'a Measure);

impl fmt::Display for Against<'_> {
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

words! {
    /// The status of a check.
    Status {
        /// As it should be.
        Pass = "pass",
        /// Beyond the first step of a limit.
        Warn = "warn",
        /// Not as it should be.
        Fail = "fail",
        /// It can't be told.
        Unknown = "unknown",
        /// Not enough seen yet.
        Pending = "pending",
        /// Switched off, or what it depends on is failing.
        Skipped = "skipped",
    }
}

impl Status {
    /// In the order in which a person wants to read them.
    pub const WORST_FIRST: [Self; 6] =
        [Self::Fail, Self::Unknown, Self::Warn, Self::Pending, Self::Skipped, Self::Pass];

    /// The place in [`Status::WORST_FIRST`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::WORST_FIRST.iter().position(|one| *one == self).unwrap_or_default()
    }

    /// Pass is best, fail is worst; what can't be told is nearly as bad.
    #[must_use]
    pub fn badness(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Pending | Self::Skipped => 1,
            Self::Warn => 2,
            Self::Unknown => 3,
            Self::Fail => 4,
        }
    }
}

words! {
    /// How bad it is when a check fails.
    Severity {
        /// Wakes somebody up.
        Critical = "critical",
        /// Becomes a ticket.
        Warning = "warning",
        /// Is looked at in a review.
        Info = "info",
    }
}

words! {
    /// The part of readiness that a check is about.
    Category {
        /// Does it work.
        Health = "health",
        /// Is it fast enough.
        Performance = "performance",
        /// Does it make few enough errors.
        Errors = "errors",
        /// Is there room left.
        Capacity = "capacity",
        /// Can it be brought back.
        Backup = "backup",
        /// Is it safe from others.
        Security = "security",
        /// Can it be seen.
        Observability = "observability",
        /// Does what it stands on hold.
        Platform = "platform",
        /// Can it be changed.
        Delivery = "delivery",
        /// Do people know what to do.
        Operations = "operations",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Max;

    #[test]
    fn the_worst_measure_speaks_for_the_verdict() {
        let limit = Max::<f64>::steps(5.0, 10.0).unwrap();
        let verdict = Verdict::of(vec![limit.measure("a", 6.0), limit.measure("b", 12.0), limit.measure("c", 11.0)]);
        assert_eq!(verdict.outcome, Outcome::Fail(Reason::Limit));
        assert_eq!(verdict.summary, "b is 12, above the limit of 10");
        assert_eq!(Verdict::of(vec![limit.measure("a", 6.0)]).summary, "a is 6, above the limit of 5");
        assert_eq!(Verdict::of(vec![limit.measure("a", 1.0)]).summary, "a is 1, within the limit of 5");
        assert_eq!(Verdict::of(vec![]).outcome, Outcome::Unknown(Reason::Empty));
        let nan = Verdict::of(vec![limit.measure("a", 1.0), limit.measure("b", f64::NAN)]);
        assert_eq!(
            (nan.outcome, &*nan.summary),
            (Outcome::Unknown(Reason::Empty), "b is NaN, which no limit can judge")
        );
    }
}
