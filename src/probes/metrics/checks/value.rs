#![doc = include_str!("value.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{no_data, rate::Rate};
use crate::{
    checks::window::{self, five_minutes},
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::{Max, Min, Range},
        measure::{Bound, Measure, MeasureInfo},
        metric::Sample,
        observation::{Observation, Timing},
        text,
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Severity, words},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// A number and its limits. At least one limit is required.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Series to judge.
    series: Selector,
    /// Minimum value, in the unit of the series; per second with `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<Min<f64>>,
    /// Maximum value, in the unit of the series; per second with `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Max<f64>>,
    /// Required value. Not allowed together with `min` or `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    equals: Option<f64>,
    /// Function that combines several series into one value. If absent, each series is judged and the worst one
    /// determines the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aggregate: Option<Aggregate>,
    /// Judges the increase of counters per second, summed over the selected series, instead of the value.
    #[serde(default)]
    rate: bool,
    /// Period over which `rate` is computed.
    #[serde(default = "five_minutes")]
    window: Period,
    #[serde(skip)]
    gains: Rate,
}

words! {
    /// Function that combines the values of several series.
    Aggregate {
        /// Sum of the values.
        Sum = "sum",
        /// Smallest value.
        Min = "min",
        /// Largest value.
        Max = "max",
        /// Arithmetic mean.
        Avg = "avg",
    }
}

impl CheckKind<Page> for Value {
    const NAME: &'static str = "value";
    const CATEGORY: Category = Category::Performance;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("value", Unit::Number, "The selected value, in its own unit."),
        MeasureInfo::new("rate", Unit::PerSecond, "With `rate`: the increase per second over the window."),
    ];
    const ALERT: Alert = Alert::ValueOutOfBounds;
    const DOC: &'static str = include_str!("value.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let has_bounds = !self.range().is_unbounded();
        if !has_bounds && self.equals.is_none() {
            let message = "`value` needs a limit: `min`, `max` or `equals`".to_owned();
            return Err(Invalid { key: None, message });
        }
        if has_bounds && self.equals.is_some() {
            return Err(Invalid::at("equals", "a value that must equal one number needs no `min` or `max`"));
        }
        if self.range().is_crossed() {
            return Err(Invalid::at("min", "no value is above `min` and below `max`: they are the wrong way round"));
        }
        if self.rate && self.aggregate.is_some_and(|aggregate| aggregate != Aggregate::Sum) {
            return Err(Invalid::at("aggregate", "the rates of several series are always added up"));
        }
        if self.rate { window::validate(self.window, 2, timing) } else { Ok(()) }
    }
}

impl Check<Page> for Value {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        if self.rate {
            let rate = self.gains.scrape(seen, &self.series, self.window);
            return rate.map_or_else(|verdict| verdict, |rate| self.verdict(rate, None));
        }
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        let chosen: Vec<_> = self.series.matching_series(&page.series).collect();
        if let Some(aggregate) = self.aggregate
            && !chosen.is_empty()
        {
            return self.verdict(aggregate.of(chosen.iter().map(|series| series.value)), None);
        }
        let name = |id| if chosen.len() > 1 { Some(id) } else { None };
        let verdicts = chosen.iter().map(|series| self.verdict(series.value, name(&*series.id)));
        let left = |verdict: &Verdict| {
            verdict.measures.iter().filter_map(crate::model::measure::Measure::headroom).fold(f64::INFINITY, f64::min)
        };
        let worse = |a: &Verdict, b: &Verdict| {
            a.outcome.severity_order().cmp(&b.outcome.severity_order()).then_with(|| left(b).total_cmp(&left(a)))
        };
        verdicts.max_by(worse).unwrap_or_else(|| no_data::no_matching_series(&self.series))
    }

    fn requested_facts(&self) -> Vec<Selector> {
        vec![self.series.clone()]
    }

    fn limits(&self) -> Vec<Measure> {
        self.measures(f64::NAN)
    }

    fn constant_samples(&self) -> Vec<Sample> {
        // After an outage the series have gained less for as long as the window sees it.
        if self.rate && self.min.is_some() { vec![window::window_sample(self.window)] } else { Vec::new() }
    }

    fn save(&self) -> Option<Box<RawValue>> {
        if self.rate { to_saved(&self.gains) } else { None }
    }

    fn restore(&mut self, saved: &RawValue) {
        self.gains = from_saved(saved);
    }
}

impl Value {
    fn verdict(&self, value: f64, of: Option<&str>) -> Verdict {
        let mut verdict = Verdict::from_measures(self.measures(value));
        if let Some(series) = of {
            verdict.summary.push_str(&format!(" (`{}`)", text::bounded_name(series)));
        }
        verdict
    }

    /// The value against each limit that is set.
    fn measures(&self, value: f64) -> Vec<Measure> {
        let (name, unit) = if self.rate { ("rate", Unit::PerSecond) } else { ("value", Unit::Number) };
        let equals = self.equals.map(|equals| Measure {
            name,
            subject: None,
            value,
            unit,
            bound: Bound::Equals,
            warn: None,
            fail: Some(equals),
        });
        let mut measures = self.range().measures_as(name, value, unit);
        measures.extend(equals);
        measures
    }

    fn range(&self) -> Range<f64> {
        Range { min: self.min, max: self.max }
    }
}

impl Aggregate {
    /// NaN if one of the values is, but for the least and the largest of the others.
    fn of(self, values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = values.len() as f64;
        match self {
            Self::Sum => values.sum(),
            Self::Min => values.fold(f64::NAN, f64::min),
            Self::Max => values.fold(f64::NAN, f64::max),
            Self::Avg => values.sum::<f64>() / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::model::words::{Outcome, Reason};
    use crate::probes::metrics::fixture::{TIMING, failed, last, scrape, scrapes, steps};

    fn check(settings: serde_json::Value) -> Value {
        from_value(settings).unwrap()
    }

    const FAIL: Outcome = Outcome::Fail(Reason::Limit);
    const EMPTY: Outcome = Outcome::Unknown(Reason::Empty);

    #[test]
    fn the_table_of_the_module() {
        let limits = json!({"series": "x", "min": 1, "max": {"warn": 5, "fail": 10}});
        for (case, page, outcome) in [
            ("within", "x 3", Outcome::Pass),
            ("warns", "x 6", Outcome::Warn),
            ("fails above", "x 11", FAIL),
            ("fails below", "x 0", FAIL),
            ("NaN", "x NaN", EMPTY),
            ("infinite", "x +Inf", FAIL),
            ("missing", "y 1", EMPTY),
            ("the worst of several", "x{a=\"1\"} 3\nx{a=\"2\"} 11\nx{a=\"3\"} 6", FAIL),
            ("NaN among several", "x{a=\"1\"} 3\nx{a=\"2\"} NaN", EMPTY),
            ("NaN and a bad one", "x{a=\"1\"} 30\nx{a=\"2\"} NaN", FAIL),
        ] {
            assert_eq!(check(limits.clone()).judge(&scrape(0, page)).outcome, outcome, "{case}");
        }
        assert_eq!(check(limits).judge(&failed(0, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
        for (page, outcome) in [("x 3", Outcome::Pass), ("x 4", FAIL), ("x NaN", EMPTY), ("y 1", EMPTY)] {
            assert_eq!(check(json!({"series": "x", "equals": 3})).judge(&scrape(0, page)).outcome, outcome, "{page}");
        }
    }

    #[test]
    fn several_series_become_one_value_where_asked() {
        let page = "x{a=\"1\"} 3\nx{a=\"2\"} 1\nx{a=\"3\"} 8";
        for (aggregate, value) in [("sum", 12.0), ("min", 1.0), ("max", 8.0), ("avg", 4.0)] {
            let mut check = check(json!({"series": "x", "max": 100, "aggregate": aggregate}));
            assert_eq!(check.judge(&scrape(0, page)).measures[0].value, value, "{aggregate}");
            assert_eq!(check.judge(&scrape(0, "y 1")).outcome, EMPTY);
        }
        let verdict = check(json!({"series": "x", "max": 5})).judge(&scrape(0, page));
        assert_eq!(verdict.summary, "value is 8, above the limit of 5 (`x{a=\"3\"}`)");
        assert_eq!(verdict.measures[0].value, 8.0);
        let verdict = check(json!({"series": "x", "max": 10})).judge(&scrape(0, page));
        assert_eq!(verdict.measures[0].value, 8.0, "the one with the least headroom speaks");
    }

    #[test]
    fn rates_are_judged_over_the_window() {
        let settings = json!({"series": "x", "max": 2, "rate": true});
        for (pages, outcome) in [
            (&["x 0"][..], Outcome::Pending),
            (&["x 0", "x 20"], Outcome::Pass),
            (&["x 0", "x 21"], FAIL),
            (&["x 1000", "x 10"], Outcome::Pass),
            (&["y 1", "y 2"], EMPTY),
        ] {
            assert_eq!(last(&mut check(settings.clone()), scrapes(pages)).outcome, outcome, "{pages:?}");
        }
        let mut before = check(settings.clone());
        last(&mut before, scrapes(&["x 0"]));
        let mut after = check(settings);
        after.restore(&before.save().unwrap());
        assert_eq!(after.judge(&scrape(10, "x 15")).measures[0].value, 1.5);
    }

    #[test]
    fn limits_are_exposed() {
        let limits = |settings| steps(&check(settings));
        assert_eq!(
            limits(json!({"series": "x", "min": 1, "max": {"warn": 5, "fail": 9}})),
            ["value min fail 1", "value max warn 5", "value max fail 9"]
        );
        assert_eq!(limits(json!({"series": "x", "equals": 3})), ["value equals fail 3"]);
        let rate = |bound: &str| json!({"series": "x", bound: 3, "rate": true, "window": "1m"});
        assert_eq!(limits(rate("max")), ["rate max fail 3"]);
        assert_eq!(check(rate("min")).constant_samples().len(), 1, "an outage makes a rate small");
        assert!(check(rate("max")).constant_samples().is_empty(), "and never large");
    }

    #[test]
    fn what_can_never_be_met_is_refused() {
        let key = |settings| check(settings).validate(&TIMING).err().map(|error| error.key);
        assert_eq!(key(json!({"series": "x", "min": 1, "max": 1})), None);
        assert_eq!(key(json!({"series": "x"})), Some(None));
        assert_eq!(key(json!({"series": "x", "min": 2, "max": 1})), Some(Some("min")));
        assert_eq!(key(json!({"series": "x", "equals": 2, "max": 1})), Some(Some("equals")));
        assert_eq!(key(json!({"series": "x", "max": 1, "rate": true, "aggregate": "avg"})), Some(Some("aggregate")));
        assert_eq!(key(json!({"series": "x", "max": 1, "rate": true, "window": "1s"})), Some(Some("window")));
    }
}
