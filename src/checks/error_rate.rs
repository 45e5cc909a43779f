#![doc = include_str!("error_rate.md")]

use std::{fmt::Write, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    checks::window::{self, Window, default_min_samples, five_minutes},
    kind::{CheckKind, LooksBack},
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::Max,
        measure::MeasureInfo,
        metric::{ERROR_LIMIT, ERROR_RATIO, Sample},
        observation::{Facts, Observation, Timing},
        units::{Period, Ratio, Unit},
        verdict::Verdict,
        words::{Alert, Category, Severity, WhilePending},
    },
};

/// Limit on the ratio of failed runs, weighted by the time that each run represents.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRate {
    /// Maximum ratio of failed runs to all runs, weighted by the time that each run represents.
    max: Max<Ratio>,
    /// Period over which runs count.
    #[serde(default = "five_minutes")]
    window: Period,
    /// Minimum number of runs in the window. The check is pending while there are fewer.
    #[serde(default = "default_min_samples")]
    min_samples: NonZeroU32,
    #[serde(skip)]
    runs: FailedRuns,
}

/// Measures of all `error_rate` checks.
pub const MEASURES: &[MeasureInfo] =
    &[MeasureInfo::new("error_rate", Unit::Ratio, "Ratio of errors to all events over the window.")
        .valued_by(&ERROR_RATIO)
        .limited_by(&ERROR_LIMIT)];

impl<F: Facts> CheckKind<F> for ErrorRate {
    const NAME: &'static str = "error_rate";
    const CATEGORY: Category = Category::Errors;
    const SEVERITY: Severity = Severity::Critical;
    const WHILE_PENDING: WhilePending = WhilePending::Passes;
    const MEASURES: &'static [MeasureInfo] = MEASURES;
    const ALERT: Alert = Alert::ErrorRateHigh;
    const LOOKS_BACK: LooksBack = LooksBack::Always;
    const DOC: &'static str = include_str!("error_rate.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        validate_limit(&self.max)?;
        window::validate(self.window, self.min_samples.get(), timing)
    }
}

impl<F: Facts> Check<F> for ErrorRate {
    fn judge(&mut self, seen: &Observation<F>) -> Verdict {
        self.runs.judge(seen, &self.max, self.window, self.min_samples)
    }

    fn constant_samples(&self) -> Vec<Sample> {
        limit_samples(&self.max).into_iter().chain([window::window_sample(self.window)]).collect()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.runs)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.runs = from_saved(saved);
    }
}

/// Runs of a window: 1 for a failed run, 0 for a successful run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FailedRuns(Window<u8>);

impl FailedRuns {
    /// Takes in one more run and judges the share of time that the failed runs represent: see
    /// [`Window::weighted_runs`].
    pub fn judge<F>(
        &mut self,
        seen: &Observation<F>,
        max: &Max<Ratio>,
        span: Period,
        min_samples: NonZeroU32,
    ) -> Verdict {
        let has_failed = seen.failure.is_some();
        self.0.push(seen.at, span, u8::from(has_failed));
        let runs = self.0.len();
        if runs < min_samples.get() as usize {
            return window::too_few_runs(runs, min_samples);
        }
        let (mut failed, mut bad, mut all) = (0, 0.0, 0.0);
        for (seconds, run) in self.0.weighted_runs(&seen.timing, has_failed) {
            all += seconds;
            if *run > 0 {
                failed += 1;
                bad += seconds;
            }
        }
        // The last run represents some time, so `all` is never zero.
        let mut verdict = judge_ratio(max, bad / all);
        let (bad, all) = (Unit::Seconds.display_value(bad), Unit::Seconds.display_value(all));
        // Writing to a String never fails.
        let _ = write!(
            verdict.summary,
            " ({failed} of {runs} run{} failed, {bad} of {all})",
            if runs == 1 { "" } else { "s" }
        );
        verdict
    }
}

/// Judges a ratio of errors.
#[must_use]
pub fn judge_ratio(max: &Max<Ratio>, ratio: f64) -> Verdict {
    Verdict::from_measures(vec![max.measure("error_rate", ratio)]).with_samples([Sample::new(&ERROR_RATIO, [], ratio)])
}

/// Samples of the limit.
#[must_use]
pub fn limit_samples(max: &Max<Ratio>) -> Vec<Sample> {
    max.levels().map(|(level, at)| Sample::new(&ERROR_LIMIT, [level.into()], at)).collect()
}

/// Rejects a limit that no ratio can exceed.
///
/// # Errors
/// An error at the key `max`.
pub fn validate_limit(max: &Max<Ratio>) -> Result<(), Invalid> {
    if max.levels().any(|(_, at)| at >= 1.0) {
        return Err(Invalid::at("max", "a share of errors can never exceed 100%: lower the limit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        checks::fixture::{Nothing, TIMING, failed, worked},
        model::{
            metric::CHECK_WINDOW,
            words::{Outcome, Reason},
        },
    };

    fn check(settings: serde_json::Value) -> ErrorRate {
        from_value(settings).unwrap()
    }

    /// Runs ten seconds apart: `.` worked, `x` failed.
    fn last(check: &mut ErrorRate, runs: &str) -> Verdict {
        let run = |(n, run)| if run == 'x' { failed(n, Reason::Status) } else { worked(n, 1) };
        (0..).step_by(10).zip(runs.chars()).map(|it| check.judge(&run(it))).last().unwrap()
    }

    #[test]
    fn the_table_of_the_module() {
        let limit = json!({"max": {"warn": "20%", "fail": 0.5}, "min_samples": 2, "window": "50s"});
        let cases = [
            ("none fails", "....", Outcome::Pass),
            ("at the limit", "x....", Outcome::Pass),
            ("beyond the first step", "x.x..", Outcome::Warn),
            ("beyond the second step", "x.xx.", Outcome::Fail(Reason::Limit)),
            ("this run failed", "....x", Outcome::Pass),
            ("old failures age out", "xxxxx.....", Outcome::Pass),
            ("too few", "x", Outcome::Pending),
        ];
        for (case, runs, outcome) in cases {
            assert_eq!(last(&mut check(limit.clone()), runs).outcome, outcome, "{case}");
        }
        let mut check = check(limit);
        last(&mut check, "xxxxx");
        assert_eq!(check.judge(&worked(-10, 1)).outcome, Outcome::Pending, "the clock went back");
        last(&mut check, "xxxxx");
        assert_eq!(check.judge(&worked(1_000, 1)).outcome, Outcome::Pending, "the clock jumped ahead");
    }

    #[test]
    fn the_share_is_exposed_and_explained() {
        let mut check = check(json!({"max": "50%"}));
        let verdict = last(&mut check, ".x..");
        assert_eq!(verdict.samples, [Sample::new(&ERROR_RATIO, [], 0.25)]);
        assert_eq!(verdict.summary, "error_rate is 25%, within the limit of 50% (1 of 4 runs failed, 10s of 40s)");
        let window = Sample::new(&CHECK_WINDOW, [], 300.0);
        assert_eq!(
            Check::<Nothing>::constant_samples(&check),
            [Sample::new(&ERROR_LIMIT, ["fail".into()], 0.5), window]
        );
    }

    #[test]
    fn what_can_never_be_judged_is_refused() {
        let key =
            |settings| CheckKind::<Nothing>::validate(&check(settings), &TIMING).err().map(|error| error.key.unwrap());
        assert_eq!(key(json!({"max": "5%", "min_samples": 20})), None);
        assert_eq!(key(json!({"max": "5%", "min_samples": 31})), Some("min_samples"));
        assert_eq!(key(json!({"max": "100%"})), Some("max"));
        assert_eq!(key(json!({"max": "5%", "window": "1s"})), Some("window"));
        assert!(from_value::<ErrorRate>(json!({})).is_err());
    }

    /// A probe that runs every 10 s, and every 2 s after a failure.
    const RETRYING: Timing = Timing { retry_interval: std::time::Duration::from_secs(2), ..TIMING };

    /// An outage of 70 s in the middle of a window of 300 s; returns the verdict after the last run.
    fn outage_of_70_seconds(check: &mut ErrorRate, mut restart: impl FnMut(&mut ErrorRate)) -> Verdict {
        let mut at = 0;
        loop {
            let is_down = (100..170).contains(&at);
            let run = if is_down { failed(at, Reason::Refused) } else { worked(at, 1) };
            let verdict = check.judge(&Observation { timing: RETRYING, ..run });
            restart(check);
            if at == 290 {
                return verdict;
            }
            at += if is_down { 2 } else { 10 };
        }
    }

    #[test]
    fn retries_do_not_give_an_outage_more_weight_than_its_time_also_across_restarts() {
        let settings = json!({"max": "30%", "window": "5m"});
        let expected = "error_rate is 23.3%, within the limit of 30% (35 of 58 runs failed, 1m10s of 5m)";
        let mut steady = check(settings.clone());
        let verdict = outage_of_70_seconds(&mut steady, |_| {});
        assert_eq!((verdict.outcome, &*verdict.summary), (Outcome::Pass, expected));
        let mut restarted = check(settings.clone());
        let verdict = outage_of_70_seconds(&mut restarted, |current| {
            let saved = Check::<Nothing>::save(current).unwrap();
            *current = check(settings.clone());
            Check::<Nothing>::restore(current, &saved);
        });
        assert_eq!(verdict.summary, expected);
    }

    #[test]
    fn a_daemon_that_was_stopped_during_an_outage_counts_no_time_that_nobody_watched() {
        let mut check = check(json!({"max": "50%", "window": "10m"}));
        for at in [0, 10, 20] {
            check.judge(&worked(at, 1));
        }
        check.judge(&failed(30, Reason::Refused));
        // Five minutes later: the failed run represents one interval and one timeout.
        let verdict = check.judge(&worked(330, 1));
        assert_eq!(verdict.summary, "error_rate is 23.1%, within the limit of 50% (1 of 5 runs failed, 12s of 52s)");
    }

    #[test]
    fn the_window_survives_a_restart() {
        let settings = json!({"max": "50%", "min_samples": 4});
        let mut before = check(settings.clone());
        last(&mut before, "xxx");
        let mut after = check(settings);
        Check::<Nothing>::restore(&mut after, &Check::<Nothing>::save(&before).unwrap());
        assert_eq!(after.judge(&worked(30, 1)).samples[0].value, 0.75);
    }
}
