//! The latencies of a probe's runs over a window, each weighted by the time that the run represents.

use std::{fmt::Write, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::Quantiles;
use crate::{
    checks::window::{self, Window},
    kind::LooksBack,
    model::{observation::Observation, units::Period, verdict::Verdict, words::words},
};

words! {
    /// Treatment of the failed runs in the window of a latency check.
    FailedRunsPolicy {
        /// Only the successful runs are judged.
        Ignore = "ignore",
        /// Each failed run counts as a run with a duration of 101% of the timeout.
        CountAsTimeout = "count_as_timeout",
    }
}

/// Default of the setting `failed_runs`.
pub(crate) fn ignore_failed_runs() -> FailedRunsPolicy {
    FailedRunsPolicy::Ignore
}

impl FailedRunsPolicy {
    /// Whether a check with the setting `failed_runs` looks back.
    pub(crate) const LOOKS_BACK: LooksBack = LooksBack::If("failed_runs", Self::CountAsTimeout.as_str());
}

/// The latencies of a probe's runs, in microseconds (71 minutes at most), over a window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Runs(Window<u32>);

/// Latency of a failed run in [`Runs`].
const FAILED: u32 = u32::MAX;

impl Runs {
    /// Takes in one more run and judges the window. Each run is weighted by the time that it represents: see
    /// [`Window::weighted_runs`].
    pub fn judge<F>(
        &mut self,
        seen: &Observation<F>,
        limits: &Quantiles,
        span: Period,
        min_samples: NonZeroU32,
        failed_runs: FailedRunsPolicy,
    ) -> Verdict {
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(FAILED).min(FAILED - 1);
        let took = if seen.failure.is_some() { FAILED } else { micros(seen.duration) };
        self.0.push(seen.at, span, took);
        if let Some(failure) = &seen.failure {
            return Verdict::not_measured(failure);
        }
        let all = self.0.len();
        let failed = self.0.values().filter(|latency| **latency == FAILED).count();
        let counted = match failed_runs {
            FailedRunsPolicy::Ignore => None,
            FailedRunsPolicy::CountAsTimeout => Some(micros(seen.timing.timeout.mul_f64(1.01))),
        };
        let latency = |(seconds, latency): (f64, &u32)| match *latency {
            FAILED => Some((counted?, seconds)),
            latency => Some((latency, seconds)),
        };
        let judged: Vec<_> = self.0.weighted_runs(&seen.timing, false).filter_map(latency).collect();
        if judged.len() < min_samples.get() as usize {
            return window::too_few_runs(judged.len(), min_samples);
        }
        let judged = WeightedLatencies::new(judged);
        let mut verdict = limits.verdict(|quantile| judged.quantile(quantile) / 1e6);
        let plural = if all == 1 { "" } else { "s" };
        // Writing to a String never fails.
        let _ = match failed {
            0 => write!(verdict.summary, " ({all} run{plural} in {span})"),
            _ => write!(verdict.summary, " ({failed} of {all} run{plural} failed in {span})"),
        };
        verdict
    }
}

/// Latencies in ascending order, each with a position between 0 and 1.
///
/// The position is the middle of the run's weight, stretched so that the smallest latency is at 0 and the largest at 1.
/// With equal weights these are the ranks of the Prometheus function `quantile_over_time`.
struct WeightedLatencies(Vec<(u32, f64)>);

impl WeightedLatencies {
    /// Takes latencies with their weights.
    fn new(mut latencies: Vec<(u32, f64)>) -> Self {
        latencies.sort_unstable_by_key(|(latency, _)| *latency);
        let mut before = 0.0;
        for (_, weight) in &mut latencies {
            let middle = before + *weight / 2.0;
            before += *weight;
            *weight = middle;
        }
        let (first, last) = match (latencies.first(), latencies.last()) {
            (Some((_, first)), Some((_, last))) => (*first, *last),
            _ => (0.0, 0.0),
        };
        // Runs without weight leave nothing to tell them apart: all are at 0.
        let length = if last > first { last - first } else { f64::INFINITY };
        latencies.iter_mut().for_each(|(_, middle)| *middle = (*middle - first) / length);
        Self(latencies)
    }

    /// The latency at a position, interpolated linearly; NaN if there is none.
    fn quantile(&self, quantile: f64) -> f64 {
        let after = self.0.partition_point(|(_, position)| *position < quantile);
        let at = |index: usize| self.0.get(index).map(|(latency, position)| (f64::from(*latency), *position));
        match (after.checked_sub(1).and_then(at), at(after)) {
            (Some((low, from)), Some((high, to))) if to > from => low + (high - low) * (quantile - from) / (to - from),
            (_, Some((latency, _))) | (Some((latency, _)), None) => latency,
            (None, None) => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn equal_weights(values: Vec<u32>) -> WeightedLatencies {
        WeightedLatencies::new(values.into_iter().map(|value| (value, 10.0)).collect())
    }

    #[test]
    fn quantiles_are_those_of_quantile_over_time() {
        // Values that Prometheus' own tests of quantile_over_time expect (promql/promqltest/testdata/functions.test).
        for (values, quantile, expected) in [
            (vec![0, 1], 0.5, 0.5),
            (vec![0, 1, 2], 0.5, 1.0),
            (vec![0, 1, 2, 3, 4], 0.8, 3.2),
            (vec![7], 0.99, 7.0),
            (vec![0, 2], 1.0, 2.0),
        ] {
            let found = equal_weights(values.clone()).quantile(quantile);
            assert!((found - expected).abs() < 1e-12, "{values:?} {quantile}: {found}");
        }
        assert!(WeightedLatencies::new(Vec::new()).quantile(0.5).is_nan());
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_the_values(runs in prop::collection::vec((any::<u32>(), 0.0..100.0_f64), 1..200), q in 0.0..=1.0_f64) {
            let (least, most) = (runs.iter().map(|run| run.0).min().unwrap(), runs.iter().map(|run| run.0).max().unwrap());
            let found = WeightedLatencies::new(runs).quantile(q);
            prop_assert!(found >= f64::from(least) - 1e-6 && found <= f64::from(most) + 1e-6, "{found}");
        }

        #[test]
        fn equal_weights_give_the_linear_interpolation_of_ranks(values in prop::collection::vec(0..1_000_000_u32, 1..100), q in 0.0..=1.0_f64) {
            let found = equal_weights(values.clone()).quantile(q);
            let mut sorted = values;
            sorted.sort_unstable();
            let rank = q * (sorted.len() - 1) as f64;
            let value = |rank: usize| f64::from(sorted[rank.min(sorted.len() - 1)]);
            let expected = value(rank as usize) + (value(rank as usize + 1) - value(rank as usize)) * rank.fract();
            prop_assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
}
