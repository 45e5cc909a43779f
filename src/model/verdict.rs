//! Verdicts: the results of checks on one run.

use std::fmt::Write as _;

use super::{
    failure::Failure,
    measure::Measure,
    metric::Sample,
    words::{Origin, Outcome, Reason},
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
    /// Clause that explains the outcome in alerts, if the general meaning of its reason is too vague. It becomes a
    /// label, and its type keeps the number of values small.
    pub meaning: Option<&'static str>,
    /// Side on which the cause of a failure lies.
    pub origin: Origin,
}

impl Verdict {
    /// Creates a verdict without measures.
    pub fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self {
            outcome,
            summary: summary.into(),
            measures: Vec::new(),
            samples: Vec::new(),
            meaning: None,
            origin: Origin::Target,
        }
    }

    /// Creates the verdict `unknown` for a failed run.
    #[must_use]
    pub fn not_measured(failure: &Failure) -> Self {
        Self::new(Outcome::Unknown(failure.reason), format!("not measured: {failure}")).caused_by(failure)
    }

    /// Creates the verdict `fail` of a failed run, for the check that reports failed runs.
    #[must_use]
    pub fn failed_run(failure: &Failure) -> Self {
        Self::new(Outcome::Fail(failure.reason), failure.to_string()).caused_by(failure)
    }

    fn caused_by(self, failure: &Failure) -> Self {
        Self { meaning: failure.meaning, origin: failure.origin, ..self }
    }

    /// States that the cause lies in the credentials, files or privileges of this exporter, and replaces the meaning.
    #[must_use]
    pub fn of_exporter(self, meaning: &'static str) -> Self {
        Self { meaning: Some(meaning), origin: Origin::Exporter, ..self }
    }

    /// Replaces the general meaning of the reason in alerts by a clause, such as "the newest backup is damaged".
    #[must_use]
    pub fn with_meaning(self, meaning: &'static str) -> Self {
        Self { meaning: Some(meaning), ..self }
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
                let verdict = Self::new(worst.outcome(), summary);
                Self { measures, ..verdict }
            }
            None => Self::new(Outcome::Unknown(Reason::Empty), "nothing was measured"),
        }
    }

    /// The verdict with the worst outcome; of equally bad ones the last with the least headroom.
    pub fn worst(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let headroom =
            |verdict: &Self| verdict.measures.iter().filter_map(Measure::headroom).fold(f64::INFINITY, f64::min);
        verdicts.into_iter().max_by(|a, b| {
            let by_outcome = a.outcome.severity_order().cmp(&b.outcome.severity_order());
            by_outcome.then_with(|| headroom(b).total_cmp(&headroom(a)))
        })
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
