#![doc = include_str!("latency.md")]

mod runs;

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::runs::ignore_failed_runs;
pub use self::runs::{FailedRunsPolicy, Runs};
use crate::{
    checks::window::{self, default_min_samples, five_minutes},
    kind::{CheckKind, LooksBack},
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::Max,
        measure::MeasureInfo,
        metric::{LATENCY, LATENCY_LIMIT, Sample},
        observation::{Facts, Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Severity, WhilePending},
    },
};

/// Limits on the duration of the probe's runs. At least one limit is required.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Maximum median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p50: Option<Max<Period>>,
    /// Maximum 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p90: Option<Max<Period>>,
    /// Maximum 95th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p95: Option<Max<Period>>,
    /// Maximum 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p99: Option<Max<Period>>,
    /// Maximum 99.9th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p999: Option<Max<Period>>,
    /// Maximum duration of the slowest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Max<Period>>,
    /// Period over which runs count.
    #[serde(default = "five_minutes")]
    window: Period,
    /// Minimum number of judged runs in the window. The check is pending while there are fewer.
    #[serde(default = "default_min_samples")]
    min_samples: NonZeroU32,
    /// Treatment of the failed runs in the window: `ignore` judges the successful runs only; `count_as_timeout` counts
    /// each failed run as a run with a duration of 101% of the timeout.
    #[serde(default = "ignore_failed_runs")]
    failed_runs: FailedRunsPolicy,
    #[serde(skip)]
    runs: Runs,
}

impl<F: Facts> CheckKind<F> for Latency {
    const NAME: &'static str = "latency";
    const CATEGORY: Category = Category::Performance;
    const SEVERITY: Severity = Severity::Warning;
    const WHILE_PENDING: WhilePending = WhilePending::Passes;
    const MEASURES: &'static [MeasureInfo] = MEASURES;
    const ALERT: Alert = Alert::LatencyHigh;
    const LOOKS_BACK: LooksBack = FailedRunsPolicy::LOOKS_BACK;
    const DOC: &'static str = include_str!("latency.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let limits = self.quantiles();
        limits.validate()?;
        limits.validate_timeout(timing)?;
        window::validate(self.window, self.min_samples.get(), timing)
    }
}

impl<F: Facts> Check<F> for Latency {
    fn judge(&mut self, seen: &Observation<F>) -> Verdict {
        self.runs.judge(seen, &self.quantiles(), self.window, self.min_samples, self.failed_runs)
    }

    fn constant_samples(&self) -> Vec<Sample> {
        // Also without failed runs: after an outage, a single slow run, such as a new login, may be all that is left.
        let window = window::window_sample(self.window);
        self.quantiles().limits().into_iter().chain([window]).collect()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.runs)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.runs = from_saved(saved);
    }
}

impl Latency {
    fn quantiles(&self) -> Quantiles {
        Quantiles([self.p50, self.p90, self.p95, self.p99, self.p999, self.max])
    }
}

/// The measures of every `latency` check, one for each percentile.
pub const MEASURES: &[MeasureInfo] = &[
    percentile("p50", "Median latency over the window."),
    percentile("p90", "90th percentile of the latency over the window."),
    percentile("p95", "95th percentile of the latency over the window."),
    percentile("p99", "99th percentile of the latency over the window."),
    percentile("p99.9", "99.9th percentile of the latency over the window."),
    percentile("max", "Largest latency over the window."),
];

const fn percentile(name: &'static str, help: &'static str) -> MeasureInfo {
    MeasureInfo::new(name, Unit::Seconds, help).valued_by(&LATENCY).limited_by(&LATENCY_LIMIT)
}

/// Limits at the quantiles that can have one, from the median to the maximum.
#[derive(Debug, Clone)]
pub struct Quantiles(pub [Option<Max<Period>>; 6]);

/// Key in the settings, name of the measure (also value of the label `percentile`), the quantile.
const QUANTILES: [(&str, &str, f64); 6] = [
    ("p50", "p50", 0.5),
    ("p90", "p90", 0.9),
    ("p95", "p95", 0.95),
    ("p99", "p99", 0.99),
    ("p999", "p99.9", 0.999),
    ("max", "max", 1.0),
];

impl Quantiles {
    /// The limits as samples.
    #[must_use]
    pub fn limits(&self) -> Vec<Sample> {
        let of_one = |(_, name, _, limit): (_, &'static str, _, Max<Period>)| {
            limit.levels().map(move |(level, at)| Sample::new(&LATENCY_LIMIT, [name.into(), level.into()], at))
        };
        self.set().flat_map(of_one).collect()
    }

    /// Sets every limit against what `latency` says of its quantile.
    pub fn verdict(&self, mut latency: impl FnMut(f64) -> f64) -> Verdict {
        let (mut measures, mut samples) = (Vec::new(), Vec::new());
        for (_, name, quantile, limit) in self.set() {
            let value = latency(quantile);
            measures.push(limit.measure(name, value));
            samples.push(Sample::new(&LATENCY, [name.into()], value));
        }
        Verdict::from_measures(measures).with_samples(samples)
    }

    /// Refuses an empty set, and limits that nothing can keep.
    ///
    /// # Errors
    /// Names the keys that there are, or the limit's key.
    pub fn validate(&self) -> Result<(), Invalid> {
        if let Some((key, ..)) = self.set().find(|(.., limit)| limit.levels().any(|(_, at)| at <= 0.0)) {
            return Err(Invalid::at(key, "nothing takes no time at all: raise the limit"));
        }
        if self.set().next().is_some() {
            return Ok(());
        }
        let message = "`latency` needs at least one limit: p50, p90, p95, p99, p999 or max, as in `{p95: 300ms}`";
        Err(Invalid { key: None, message: message.to_owned() })
    }

    /// Refuses limits that runs can't exceed, because they are cut off before.
    ///
    /// # Errors
    /// At the limit's key.
    pub fn validate_timeout(&self, timing: &Timing) -> Result<(), Invalid> {
        let timeout = Period(timing.timeout);
        for (key, _, _, limit) in self.set() {
            if limit.levels().any(|(_, at)| at > timeout.as_seconds()) {
                let message = format!("`{key}` can never be exceeded: runs are cut off at the timeout of {timeout}");
                return Err(Invalid::at(key, format!("{message}; lower the limit or raise the probe's `timeout`")));
            }
        }
        Ok(())
    }

    fn set(&self) -> impl Iterator<Item = (&'static str, &'static str, f64, Max<Period>)> {
        let with_limit = |((key, name, quantile), limit): (_, Option<_>)| Some((key, name, quantile, limit?));
        QUANTILES.into_iter().zip(self.0).filter_map(with_limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        checks::fixture::{Nothing, TIMING, failed, worked},
        model::words::{Outcome, Reason},
    };

    fn check(settings: serde_json::Value) -> Latency {
        from_value(settings).unwrap()
    }

    fn last(check: &mut Latency, runs: impl IntoIterator<Item = Observation<Nothing>>) -> Verdict {
        runs.into_iter().map(|run| check.judge(&run)).last().unwrap()
    }

    #[test]
    fn the_table_of_the_module() {
        let limit = json!({"p50": {"warn": "100ms", "fail": "300ms"}, "min_samples": 2, "window": "1m"});
        let cases = [
            ("within", vec![worked(0, 90), worked(10, 110)], Outcome::Pass),
            ("warns", vec![worked(0, 90), worked(10, 111)], Outcome::Warn),
            ("fails", vec![worked(0, 290), worked(10, 311)], Outcome::Fail(Reason::Limit)),
            ("this run failed", vec![worked(0, 290), failed(10, Reason::Refused)], Outcome::Unknown(Reason::Refused)),
            ("a failed one does not count", vec![failed(0, Reason::Refused), worked(10, 1)], Outcome::Pending),
            (
                "nor is it fast",
                vec![failed(0, Reason::Refused), worked(9, 311), worked(10, 312)],
                Outcome::Fail(Reason::Limit),
            ),
            ("too few", vec![worked(0, 90)], Outcome::Pending),
            ("clock went back", vec![worked(900, 900), worked(910, 900), worked(0, 1), worked(10, 1)], Outcome::Pass),
            ("clock jumped ahead", vec![worked(0, 900), worked(10, 900), worked(90, 1)], Outcome::Pending),
        ];
        for (case, runs, outcome) in cases {
            assert_eq!(last(&mut check(limit.clone()), runs).outcome, outcome, "{case}");
        }
    }

    #[test]
    fn a_limit_at_the_timeout_is_exceeded_by_a_failed_run() {
        let mut check = check(json!({"max": "2s", "failed_runs": "count_as_timeout"}));
        let verdict = last(&mut check, [failed(0, Reason::Timeout), worked(10, 1)]);
        assert_eq!(verdict.outcome, Outcome::Fail(Reason::Limit));
        assert_eq!(verdict.summary, "max is 2.02s, above the limit of 2s (1 of 2 runs failed in 5m)");
        let window = Sample::new(&crate::model::metric::CHECK_WINDOW, [], 300.0);
        assert!(Check::<Nothing>::constant_samples(&check).contains(&window), "it looks back");
    }

    #[test]
    fn a_window_with_failed_runs_is_judged_on_the_others_and_counts_them() {
        let mut check = check(json!({"p95": {"warn": "100ms", "fail": "300ms"}, "max": "300ms"}));
        let runs = (0..65).map(|n| if n < 31 { failed(n, Reason::Refused) } else { worked(n, 90) });
        let verdict = last(&mut check, runs);
        assert_eq!(verdict.outcome, Outcome::Pass);
        assert_eq!(verdict.summary, "max is 90ms, within the limit of 300ms (31 of 65 runs failed in 5m)");
        assert_eq!(verdict.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [0.09, 0.09]);
    }

    #[test]
    fn runs_weigh_as_much_as_the_time_that_they_represent() {
        // Ten slow runs in 20 s and three fast ones in 60 s: most of the time it was fast.
        let timing = Timing { retry_interval: Duration::from_secs(2), interval: Duration::from_secs(20), ..TIMING };
        let mut check = check(json!({"p50": "1s"}));
        let slow = (0..10).map(|n| worked(2 * n, 900));
        let runs = slow.chain([20, 40, 60].map(|at| worked(at, 10)));
        let verdict = last(&mut check, runs.map(|run| Observation { timing, ..run }));
        assert_eq!(verdict.samples[0].value, 0.01);
    }

    #[test]
    fn every_quantile_has_its_series_and_its_limits() {
        let mut check = check(json!({"p50": {"warn": "1s", "fail": "2s"}, "p999": "2s", "max": "2s"}));
        let verdict = last(&mut check, (0..=10).map(|n| worked(10 * n, 100 * n as u64)));
        let rounded = |value: f64| (value * 1e9).round() / 1e9;
        let values: Vec<_> = verdict.samples.iter().map(|s| (s.labels[0].as_ref(), rounded(s.value))).collect();
        assert_eq!(values, [("p50", 0.5), ("p99.9", 0.999), ("max", 1.0)]);
        assert_eq!(verdict.summary, "max is 1s, within the limit of 2s (11 runs in 5m)");
        let limits = Check::<Nothing>::constant_samples(&check);
        let limits: Vec<_> = limits.iter().map(|s| (s.labels.join(" "), s.value)).collect();
        let expected = [("p50 warn", 1.0), ("p50 fail", 2.0), ("p99.9 fail", 2.0), ("max fail", 2.0), ("", 300.0)];
        assert_eq!(limits, expected.map(|(labels, at)| (labels.to_owned(), at)));
    }

    #[test]
    fn what_can_never_be_judged_is_refused() {
        let key = |settings| CheckKind::<Nothing>::validate(&check(settings), &TIMING).err().map(|error| error.key);
        assert_eq!(key(json!({"p95": "2s"})), None);
        assert_eq!(key(json!({})), Some(None));
        assert_eq!(key(json!({"p95": {"warn": "1s", "fail": "3s"}})), Some(Some("p95")));
        assert_eq!(key(json!({"max": "1s", "window": "5s"})), Some(Some("window")));
        assert_eq!(key(json!({"max": "1s", "min_samples": 31})), Some(Some("min_samples")));
        assert!(from_value::<Latency>(json!({"max": "1s", "min_samples": 0})).is_err());
        assert!(from_value::<Latency>(json!({"max": "1s", "histogram": "x"})).is_err());
    }

    #[test]
    fn the_window_survives_a_restart() {
        let settings = json!({"p50": "1s", "min_samples": 3});
        let mut before = check(settings.clone());
        last(&mut before, [worked(0, 10), worked(10, 20)]);
        let saved = Check::<Nothing>::save(&before).unwrap();
        let mut after = check(settings);
        Check::<Nothing>::restore(&mut after, &saved);
        assert_eq!(last(&mut after, [worked(60, 30)]).samples[0].value, 0.02);
    }
}
