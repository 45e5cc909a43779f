#![doc = include_str!("error_rate.md")]

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{counters::Increases, no_data};
use crate::{
    checks::{
        error_rate::{FailedRuns, judge_ratio, limit_samples, validate_limit},
        no_data::WhenNoData,
        window::{self, default_min_samples, five_minutes},
    },
    kind::{CheckKind, LooksBack},
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::Max,
        measure::MeasureInfo,
        metric::Sample,
        observation::{Observation, Timing},
        units::{Period, Ratio},
        verdict::Verdict,
        words::{Alert, Category, Outcome, Severity, WhilePending},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// Limit on the ratio of errors.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRate {
    /// Counters of errors. The increases of all selected series are added. Requires `total`. If both are absent, the
    /// check limits the ratio of failed scrapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errors: Option<Selector>,
    /// Counters of all events, errors included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<Selector>,
    /// Maximum ratio of errors to all events.
    max: Max<Ratio>,
    /// Period over which events count.
    #[serde(default = "five_minutes")]
    window: Period,
    /// Minimum number of events in the window. The check is pending while there are fewer.
    #[serde(default = "default_min_samples")]
    min_samples: NonZeroU32,
    /// Verdict if there are fewer events than `min_samples`. Without this setting, the check is unknown if there is no
    /// event, and pending if there are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when_idle: Option<WhenNoData>,
    #[serde(skip)]
    runs: FailedRuns,
    /// Increases of errors and events.
    #[serde(skip)]
    gains: Increases<(f64, f64)>,
}

impl CheckKind<Page> for ErrorRate {
    const NAME: &'static str = "error_rate";
    const CATEGORY: Category = Category::Errors;
    const SEVERITY: Severity = Severity::Critical;
    const WHILE_PENDING: WhilePending = WhilePending::Passes;
    const MEASURES: &'static [MeasureInfo] = crate::checks::error_rate::MEASURES;
    const ALERT: Alert = Alert::ErrorRateHigh;
    const LOOKS_BACK: LooksBack = LooksBack::Unless("total");
    const DOC: &'static str = include_str!("error_rate.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        validate_limit(&self.max)?;
        match (&self.errors, &self.total) {
            (Some(_), Some(_)) => window::validate(self.window, 2, timing),
            (Some(_), None) => Err(Invalid::at("errors", "errors are a share of something: add `total`")),
            (None, Some(_)) => Err(Invalid::at("total", "add `errors`, the counters of failed events")),
            (None, None) if self.when_idle.is_some() => {
                Err(Invalid::at("when_idle", "scrapes are never idle: `when_idle` needs `errors` and `total`"))
            }
            (None, None) => window::validate(self.window, self.min_samples.get(), timing),
        }
    }
}

impl Check<Page> for ErrorRate {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        let (Some(errors), Some(total)) = (&self.errors, &self.total) else {
            return self.runs.judge(seen, &self.max, self.window, self.min_samples);
        };
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        if let Some(gauge) = errors
            .matching_series(&page.series)
            .chain(total.matching_series(&page.series))
            .find(|series| series.is_gauge)
        {
            return no_data::declared_gauge(gauge);
        }
        let sets = [errors, total].map(|selector| selector.matching_series(&page.series).collect());
        let gains = self.gains.scrape(seen, page, self.window, sets.into());
        self.gains.end_scrape(self.window, (gains.sum(0), gains.sum(1)));
        if let Some(verdict) = self.gains.problem(self.window) {
            return verdict;
        }
        if gains.is_empty(1) {
            return no_data::no_matching_series(page, total);
        }
        if let Some(series) = gains.not_finite {
            return no_data::counter_not_finite(series);
        }
        let mut verdict = self.verdict();
        if gains.is_empty(0) && !matches!(verdict.outcome, Outcome::Fail(_)) {
            if let Some(never) = no_data::never_matching(page, errors) {
                return never;
            }
            let reason = page.mismatch(errors).map(|mismatch| format!(": {mismatch}")).unwrap_or_default();
            verdict.summary.push_str(&format!("; no series matches `errors` yet{reason}"));
        }
        verdict.summary.push_str(&no_data::past_note(gains.with_past));
        verdict
    }

    fn requested_facts(&self) -> Vec<Selector> {
        self.errors.iter().chain(&self.total).cloned().collect()
    }

    fn constant_samples(&self) -> Vec<Sample> {
        // A failed scrape adds nothing to the counters.
        let window = self.total.is_none().then(|| window::window_sample(self.window));
        limit_samples(&self.max).into_iter().chain(window).collect()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        if self.total.is_some() { to_saved(&self.gains) } else { to_saved(&self.runs) }
    }

    fn restore(&mut self, saved: &RawValue) {
        if self.total.is_some() {
            self.gains = from_saved(saved);
        } else {
            self.runs = from_saved(saved);
        }
    }
}

impl ErrorRate {
    fn verdict(&self) -> Verdict {
        let Some(kept) = self.gains.scrape_results() else { return no_data::one_scrape() };
        let (errors, total) = kept.fold((0.0, 0.0), |(errors, total), (e, t)| (errors + e, total + t));
        // A service may count an error before the event, so that a page between the two has more errors than events.
        let total = f64::max(total, errors);
        if !total.is_finite() {
            return no_data::not_finite("the number of events");
        }
        let window = self.window;
        if total < f64::from(self.min_samples.get()) {
            return no_data::too_few(total, self.min_samples.get(), self.when_idle, &window.to_string());
        }
        let mut verdict = judge_ratio(&self.max, errors / total);
        verdict.summary.push_str(&format!(" ({errors} of {total} events in {window})"));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        model::{metric::ERROR_RATIO, words::Reason},
        probes::metrics::fixture::{TIMING, failed, last, scrape, scrape_for, scrapes},
    };

    fn check(more: serde_json::Value) -> ErrorRate {
        let mut settings =
            json!({"errors": "x_total{code=~\"5..\"}", "total": "x_total", "max": {"warn": "10%", "fail": "50%"}});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_value(settings).unwrap()
    }

    fn page(good: f64, bad: f64) -> String {
        format!("x_total{{code=\"200\"}} {good}\nx_total{{code=\"500\"}} {bad}\n")
    }

    fn pages(counts: &[(f64, f64)]) -> Vec<String> {
        counts.iter().map(|(good, bad)| page(*good, *bad)).collect()
    }

    #[test]
    fn the_table_of_the_module() {
        let empty = Outcome::Unknown(Reason::Empty);
        let good_only = |good: f64| format!("x_total{{code=\"200\"}} {good}\n");
        let cases = [
            ("within", pages(&[(0.0, 0.0), (9.0, 1.0)]), Outcome::Pass),
            ("warns", pages(&[(0.0, 0.0), (8.0, 2.0)]), Outcome::Warn),
            ("fails", pages(&[(50.0, 5.0), (50.0, 6.0)]), Outcome::Fail(Reason::Limit)),
            ("no series at all", vec![String::new(), String::new()], empty),
            ("no errors yet", vec![good_only(1.0), good_only(2.0)], Outcome::Pass),
            ("the first error", vec![good_only(1.0), page(1.0, 3.0)], Outcome::Fail(Reason::Limit)),
            ("one scrape", pages(&[(5.0, 5.0)]), Outcome::Pending),
            ("no event", pages(&[(5.0, 5.0), (5.0, 5.0)]), empty),
            ("not finite", pages(&[(0.0, 0.0), (1.7e308, 1.7e308)]), Outcome::Unknown(Reason::Parse)),
            ("a reset of both", pages(&[(500.0, 500.0), (19.0, 1.0)]), Outcome::Pass),
        ];
        for (case, pages, outcome) in cases {
            assert_eq!(last(&mut check(json!({})), scrapes(&pages)).outcome, outcome, "{case}");
        }
        assert_eq!(check(json!({})).judge(&failed(0, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
        let quiet = || scrapes(&pages(&[(5.0, 5.0), (5.0, 5.0)]));
        let few = || scrapes(&pages(&[(5.0, 5.0), (8.0, 5.0)]));
        assert_eq!(last(&mut check(json!({"when_idle": "pass"})), quiet()).outcome, Outcome::Pass);
        assert_eq!(last(&mut check(json!({"when_idle": "fail"})), quiet()).outcome, Outcome::Fail(Reason::Empty));
        assert_eq!(last(&mut check(json!({"min_samples": 4})), few()).outcome, Outcome::Pending);
        assert_eq!(last(&mut check(json!({"min_samples": 4, "when_idle": "warn"})), few()).outcome, Outcome::Warn);
    }

    #[test]
    fn more_errors_than_events_are_all_of_them() {
        let mut check: ErrorRate = from_value(json!({"errors": "e", "total": "t", "max": "5%"})).unwrap();
        for (page, ratio) in [
            ("e 0\nt 0\n", None),
            ("e 3\nt 0\n", Some(1.0)),
            ("e 5\nt 2\n", Some(1.0)),
            ("e 5\nt 18\n", Some(5.0 / 18.0)),
        ] {
            let at = if ratio.is_none() { 0 } else { 10 };
            let verdict = check.judge(&scrape(at, page));
            let expected: Vec<_> = ratio.map(|ratio| Sample::new(&ERROR_RATIO, [], ratio)).into_iter().collect();
            assert_eq!(verdict.samples, expected, "{page}");
        }
    }

    #[test]
    fn without_counters_scrapes_are_judged() {
        let mut check: ErrorRate = from_value(json!({"max": "40%"})).unwrap();
        assert_eq!(check.judge(&scrape(0, "")).outcome, Outcome::Pass);
        assert_eq!(check.judge(&failed(10, Reason::Refused)).outcome, Outcome::Fail(Reason::Limit));
    }

    #[test]
    fn only_scrapes_go_on_seeing_an_outage() {
        let sees = |settings| {
            let limits = from_value::<ErrorRate>(settings).unwrap().constant_samples();
            limits.iter().any(|limit| *limit.family == crate::model::metric::CHECK_WINDOW)
        };
        assert!(sees(json!({"max": "5%"})));
        assert!(!sees(json!({"errors": "e", "total": "t", "max": "5%"})));
    }

    #[test]
    fn what_can_never_be_judged_is_refused() {
        let key = |settings| {
            from_value::<ErrorRate>(settings).unwrap().validate(&TIMING).err().map(|error| error.key.unwrap())
        };
        assert_eq!(key(json!({"errors": "e", "total": "t", "max": "5%", "min_samples": 5000})), None);
        assert_eq!(key(json!({"errors": "e", "max": "5%"})), Some("errors"));
        assert_eq!(key(json!({"total": "e", "max": "5%"})), Some("total"));
        assert_eq!(key(json!({"max": "5%", "when_idle": "pass"})), Some("when_idle"));
        assert_eq!(key(json!({"errors": "e", "total": "t", "max": "5%", "window": "19s"})), Some("window"));
    }

    #[test]
    fn counting_goes_on_after_a_restart() {
        let mut before = check(json!({}));
        last(&mut before, scrapes(&pages(&[(0.0, 0.0), (9.0, 1.0)])));
        let mut after = check(json!({}));
        after.restore(&before.save().unwrap());
        let verdict = after.judge(&scrape(60, &page(10.0, 10.0)));
        assert_eq!(verdict.summary, "error_rate is 50%, above the limit of 10% (10 of 20 events in 5m)");
    }

    #[test]
    fn errors_that_can_never_match_are_unknown() {
        let pages = |n: u32| format!("x_total{{code=\"200\"}} {}\nx_total{{code=\"500\"}} {}\n", 100 * n, 90 * n);
        let good = |n: u32| format!("x_total{{code=\"200\"}} {n}\n");
        let unknown = Outcome::Unknown(Reason::Empty);
        for (errors, pages, outcome, text) in [
            (
                "x_total{status=~\"5..\"}",
                [pages(1), pages(2)],
                unknown,
                "no series of that name has the label `status`; the nearest label is `code`",
            ),
            ("x_total{code=\"5xx\"}", [pages(1), pages(2)], unknown, "the nearest value is `500`"),
            (
                "x_errors_total",
                [good(1), good(9)],
                Outcome::Pass,
                "(0 of 8 events in 5m); no series matches `errors` yet: no series has the name",
            ),
            (
                "x_total{code=~\"5..\"}",
                [good(1), good(9)],
                Outcome::Pass,
                "yet: no series has such a value of `code`; its values are `200`",
            ),
            (
                "x_error_total",
                [good(1) + "x_errors_total 0\n", good(9) + "x_errors_total 0\n"],
                unknown,
                "the nearest name is `x_errors_total`",
            ),
            (
                "e_total",
                [good(1) + "e_total 5 1\n", good(90_000) + "e_total 9 1\n"],
                unknown,
                "`e_total` does not count, because its own time is",
            ),
        ] {
            let mut check: ErrorRate = from_value(json!({"errors": errors, "total": "x_total", "max": "5%"})).unwrap();
            let at_second = |at: i64| 1_000_000 + at;
            let seen = |check: &ErrorRate, at, page: &str| scrape_for(check, at_second(at), page);
            let first = seen(&check, 0, &pages[0]);
            check.judge(&first);
            let last = seen(&check, 10, &pages[1]);
            let verdict = check.judge(&last);
            assert_eq!(verdict.outcome, outcome, "{errors}: {}", verdict.summary);
            assert!(verdict.summary.contains(text), "{errors}: {}", verdict.summary);
        }
    }

    #[test]
    fn a_server_that_a_proxy_shows_again_is_no_burst() {
        let page = |n: u32, second: bool| {
            let first = format!("requests_total{{server=\"a\"}} {n}\nerrors_total{{server=\"a\"}} 0\n");
            let more = format!("requests_total{{server=\"b\"}} {}\nerrors_total{{server=\"b\"}} 4\n", 9_000_000 + n);
            if second { first + &more } else { first }
        };
        let mut check: ErrorRate =
            from_value(json!({"errors": "errors_total", "total": "requests_total", "max": "5%", "window": "60s"}))
                .unwrap();
        for n in 0..30 {
            let verdict = check.judge(&scrape(i64::from(n) * 10, &page(n * 100, !(8..20).contains(&n))));
            assert!(matches!(verdict.outcome, Outcome::Pass | Outcome::Pending), "{n}: {}", verdict.summary);
            let notes_past = verdict.summary.contains("counts from 4, which it had before");
            assert_eq!(notes_past, n == 20, "{n}: {}", verdict.summary);
        }
    }
}
