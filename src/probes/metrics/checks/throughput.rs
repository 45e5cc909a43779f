#![doc = include_str!("throughput.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::rate::{MeasuredRate, Rate};
use crate::{
    checks::{
        no_data::WhenNoData,
        window::{self, five_minutes},
    },
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::{Max, Min, Range},
        measure::{Measure, MeasureInfo},
        metric::{Sample, THROUGHPUT},
        observation::{Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Outcome, Severity},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// Limits on the number of events per second. At least one limit is required.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Counters of events. The increases of all selected series are added.
    series: Selector,
    /// Minimum number of events per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<Min<f64>>,
    /// Maximum number of events per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Max<f64>>,
    /// Period over which events count.
    #[serde(default = "five_minutes")]
    window: Period,
    /// Verdict if the window holds no event, or if the metric and its labels exist and no series has the selected value
    /// yet. Without this setting, the rate is judged as 0 per second, and an absent series is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when_idle: Option<WhenNoData>,
    #[serde(skip)]
    rate: Rate,
}

impl CheckKind<Page> for Throughput {
    const NAME: &'static str = "throughput";
    const CATEGORY: Category = Category::Performance;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] =
        &[MeasureInfo::new("throughput", Unit::PerSecond, "Events per second over the window.").valued_by(&THROUGHPUT)];
    const ALERT: Alert = Alert::ThroughputOutOfBounds;
    const DOC: &'static str = include_str!("throughput.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        if self.range().is_unbounded() {
            let message = "`throughput` needs a limit: `min` or `max`, in events a second".to_owned();
            return Err(Invalid { key: None, message });
        }
        if self.min.is_some_and(|min| min.levels().any(|(_, at)| at <= 0.0)) {
            return Err(Invalid::at("min", "no rate is below 0: raise the limit"));
        }
        if self.range().is_crossed() {
            return Err(Invalid::at("min", "no rate is above `min` and below `max`: they are the wrong way round"));
        }
        window::validate(self.window, 2, timing)
    }
}

impl Check<Page> for Throughput {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        let MeasuredRate { per_second: rate, note } =
            match self.rate.scrape(seen, &self.series, self.window, self.when_idle) {
                Ok(rate) => rate,
                Err(verdict) => return verdict,
            };
        let sample = Sample::new(&THROUGHPUT, [], rate);
        if let (Some(when_idle), true) = (self.when_idle, rate == 0.0) {
            return when_idle.verdict(format!("no events in {}", self.window)).with_samples([sample]);
        }
        let mut verdict = Verdict::from_measures(self.measures(rate)).with_samples([sample]);
        if rate == 0.0 && verdict.outcome != Outcome::Pass {
            verdict.summary.push_str(" (no events; `when_idle` sets another verdict for this)");
        }
        verdict.summary.push_str(&note);
        verdict
    }

    fn requested_facts(&self) -> Vec<Selector> {
        vec![self.series.clone()]
    }

    fn limits(&self) -> Vec<Measure> {
        self.measures(f64::NAN)
    }

    fn constant_samples(&self) -> Vec<Sample> {
        // An outage reduces the number of events while it is in the window.
        self.min.map(|_| window::window_sample(self.window)).into_iter().collect()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.rate)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.rate = from_saved(saved);
    }
}

impl Throughput {
    fn measures(&self, rate: f64) -> Vec<Measure> {
        self.range().measures_as("throughput", rate, Unit::PerSecond)
    }

    fn range(&self) -> Range<f64> {
        Range { min: self.min, max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        model::words::Reason,
        probes::metrics::fixture::{TIMING, failed, last, scrape, scrape_for, scrapes, steps},
    };

    fn check(settings: serde_json::Value) -> Throughput {
        from_value(settings).unwrap()
    }

    #[test]
    fn the_table_of_the_module() {
        let limits = json!({"series": "x", "min": {"warn": 2, "fail": 1}, "max": 5});
        for (case, pages, outcome) in [
            ("within", &["x 0", "x 30"][..], Outcome::Pass),
            ("added up", &["x{a=\"1\"} 0\nx{a=\"2\"} 0", "x{a=\"1\"} 15\nx{a=\"2\"} 15"], Outcome::Pass),
            ("warns", &["x 0", "x 15"], Outcome::Warn),
            ("fails below", &["x 0", "x 9"], Outcome::Fail(Reason::Limit)),
            ("fails above", &["x 0", "x 51"], Outcome::Fail(Reason::Limit)),
            ("no event", &["x 7", "x 7"], Outcome::Fail(Reason::Limit)),
            ("no such series", &["y 7", "y 7"], Outcome::Unknown(Reason::Empty)),
            ("one scrape", &["x 7"], Outcome::Pending),
            ("NaN", &["x 7", "x NaN"], Outcome::Unknown(Reason::Parse)),
            (
                "NaN among others",
                &["x{a=\"1\"} 0\nx{a=\"2\"} 0", "x{a=\"1\"} 30\nx{a=\"2\"} NaN"],
                Outcome::Unknown(Reason::Parse),
            ),
            ("a reset", &["x 1000", "x 30"], Outcome::Pass),
            ("not finite", &["x -1e308", "x 1.7e308"], Outcome::Unknown(Reason::Parse)),
        ] {
            assert_eq!(last(&mut check(limits.clone()), scrapes(pages)).outcome, outcome, "{case}");
        }
        let mut idle = check(json!({"series": "x", "min": 1, "when_idle": "pass"}));
        assert_eq!(last(&mut idle, scrapes(&["x 7", "x 7"])).outcome, Outcome::Pass);
        assert_eq!(idle.judge(&failed(30, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
        let mut twice = check(limits);
        twice.judge(&scrape(5, "x 1"));
        assert_eq!(twice.judge(&scrape(5, "x 2")).outcome, Outcome::Pending, "two scrapes at one moment");
    }

    #[test]
    fn the_rate_and_its_limits_are_exposed() {
        let mut check = check(json!({"series": "x", "min": 1, "max": {"warn": 4, "fail": 8}}));
        let verdict = last(&mut check, scrapes(&["x 0", "x 20", "x 50"]));
        assert_eq!(verdict.samples, [Sample::new(&THROUGHPUT, [], 2.5)]);
        assert_eq!(steps(&check), ["throughput min fail 1", "throughput max warn 4", "throughput max fail 8"]);
        assert_eq!(check.constant_samples(), [window::window_sample(check.window)]);
        assert_eq!(verdict.summary, "throughput is 2.5/s, no less than 1/s");
    }

    #[test]
    fn what_can_never_be_judged_is_refused() {
        let key = |settings| check(settings).validate(&TIMING).err().map(|error| error.key);
        assert_eq!(key(json!({"series": "x", "min": 1})), None);
        assert_eq!(key(json!({"series": "x"})), Some(None));
        assert_eq!(key(json!({"series": "x", "min": 0})), Some(Some("min")));
        assert_eq!(key(json!({"series": "x", "max": 1, "window": "15s"})), Some(Some("window")));
    }

    #[test]
    fn workers_in_turns_are_no_throughput() {
        let pages: Vec<_> = (0..20).map(|n| format!("x {}", if n % 2 == 0 { n } else { 900_000 + n })).collect();
        let mut check = check(json!({"series": "x", "max": 50, "window": "60s"}));
        let verdict = last(&mut check, scrapes(&pages));
        assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Body));
        assert!(
            verdict.summary.contains("went back 3 times in 1m: several processes behind one port?"),
            "{}",
            verdict.summary
        );
    }

    #[test]
    fn before_the_first_event_of_a_kind_the_service_is_idle() {
        let outcome = |selector: &str, when_idle: Option<&str>| {
            let mut settings = json!({"series": selector, "max": 5});
            if let Some(when_idle) = when_idle {
                settings["when_idle"] = when_idle.into();
            }
            let mut check = check(settings);
            let seen = scrape_for(&check, 0, "x{code=\"200\"} 1\n");
            let verdict = check.judge(&seen);
            (verdict.outcome, verdict.summary.contains("`when_idle` sets the verdict"))
        };
        let unknown = Outcome::Unknown(Reason::Empty);
        assert_eq!(outcome("x{code=~\"5..\"}", Some("pass")), (Outcome::Pass, false));
        assert_eq!(outcome("x{code=~\"5..\"}", None), (unknown, true));
        assert_eq!(outcome("x{status=~\"5..\"}", Some("pass")), (unknown, false));
        assert_eq!(outcome("y", Some("pass")), (unknown, false));
    }
}
