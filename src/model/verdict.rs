//! Verdicts: the status that one run gives a check, with the finding and the measures behind it.

use std::fmt::Write as _;

use super::{
    failure::Failure,
    measure::Measure,
    metric::Sample,
    words::{Outcome, Reason},
};

/// What a check says about one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The status, before thresholds.
    pub outcome: Outcome,
    /// One sentence for people: what was found and, if that is not good, what was expected. The runner makes it one
    /// bounded line (`model::text::one_line`).
    pub summary: String,
    /// What was measured, against its limits.
    pub measures: Vec<Measure>,
    /// What to expose of it.
    pub samples: Vec<Sample>,
}

impl Verdict {
    /// A verdict without numbers.
    pub fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self { outcome, summary: summary.into(), measures: Vec::new(), samples: Vec::new() }
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
            let by_outcome = a.outcome().severity_order().cmp(&b.outcome().severity_order());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit::Max;

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
