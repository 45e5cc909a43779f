//! Verdicts: the results of checks on one run.

use std::fmt::Write as _;

use super::{
    failure::Failure,
    measure::Measure,
    metric::Sample,
    words::{Outcome, Reason},
};

/// Result of a check on one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Status before thresholds.
    pub outcome: Outcome,
    /// Finding in one sentence, with the expectation if it is not met. The runner converts it to one bounded line
    /// (`model::text::one_line`).
    pub summary: String,
    /// Measured values with their limits.
    pub measures: Vec<Measure>,
    /// Samples of named families.
    pub samples: Vec<Sample>,
}

impl Verdict {
    /// Creates a verdict without measures.
    pub fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self { outcome, summary: summary.into(), measures: Vec::new(), samples: Vec::new() }
    }

    /// Creates the verdict `unknown` for a failed run.
    #[must_use]
    pub fn not_measured(failure: &Failure) -> Self {
        Self::new(Outcome::Unknown(failure.reason), format!("not measured: {failure}"))
    }

    /// Creates the verdict on a set of measures: the worst outcome, and a sentence about the worst measure. Without
    /// measures, the verdict is `unknown`.
    #[must_use]
    pub fn from_measures(measures: Vec<Measure>) -> Self {
        match Measure::worst(&measures) {
            Some(worst) => {
                // Enough capacity for nearly all sentences.
                let mut summary = String::with_capacity(96);
                let _ = write!(summary, "{worst}");
                Self { outcome: worst.outcome(), summary, measures, samples: Vec::new() }
            }
            None => Self::new(Outcome::Unknown(Reason::Empty), "nothing was measured"),
        }
    }

    /// Adds samples of named families.
    #[must_use]
    pub fn with_samples(mut self, samples: impl IntoIterator<Item = Sample>) -> Self {
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
        let limit = Max::<f64>::two_steps(5.0, 10.0).unwrap();
        let verdict =
            Verdict::from_measures(vec![limit.measure("a", 6.0), limit.measure("b", 12.0), limit.measure("c", 11.0)]);
        assert_eq!(verdict.outcome, Outcome::Fail(Reason::Limit));
        assert_eq!(verdict.summary, "b is 12, above the limit of 10");
        assert_eq!(Verdict::from_measures(vec![limit.measure("a", 6.0)]).summary, "a is 6, above the limit of 5");
        assert_eq!(Verdict::from_measures(vec![limit.measure("a", 1.0)]).summary, "a is 1, within the limit of 5");
        assert_eq!(Verdict::from_measures(vec![]).outcome, Outcome::Unknown(Reason::Empty));
        let nan = Verdict::from_measures(vec![limit.measure("a", 1.0), limit.measure("b", f64::NAN)]);
        assert_eq!(
            (nan.outcome, &*nan.summary),
            (Outcome::Unknown(Reason::Empty), "b is NaN, which no limit can judge")
        );
    }
}
