#![doc = include_str!("value.md")]

mod settings;
mod slope;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::settings::{Aggregate, Value};
use self::slope::Slope;
use super::{
    no_data,
    rate::{MeasuredRate, Rate},
};
use crate::{
    checks::{age, window},
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        measure::{Bound, Measure, MeasureInfo},
        metric::Sample,
        observation::{Observation, Timing},
        text,
        units::Unit,
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// The quantity that a check judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JudgedQuantity {
    /// The value itself.
    Value,
    /// The age of the time that the value is.
    Age,
    /// The increase of counters per second.
    Rate,
    /// The change of gauges per second.
    Slope,
}

/// The part of a check that survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ValueMemory {
    increases: Rate,
    slope: Slope,
}

impl CheckKind<Page> for Value {
    const NAME: &'static str = "value";
    const CATEGORY: Category = Category::Performance;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("value", Unit::Number, "The selected value, in the unit of the setting `unit`."),
        MeasureInfo::new("rate", Unit::PerSecond, "With `rate`: the increase per second over the window."),
        MeasureInfo::new("slope", Unit::PerSecond, "With `slope`: the change per second over the window."),
        age::AGE,
    ];
    const ALERT: Alert = Alert::ValueOutOfBounds;
    const DOC: &'static str = include_str!("value.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        self.validate_settings(timing)
    }
}

impl Check<Page> for Value {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        match self.judged_quantity() {
            JudgedQuantity::Rate => self.judge_rate(seen),
            JudgedQuantity::Slope => self.judge_slope(seen),
            JudgedQuantity::Value | JudgedQuantity::Age => self.judge_values(seen),
        }
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
        match self.judged_quantity() {
            JudgedQuantity::Rate | JudgedQuantity::Slope => to_saved(&self.memory),
            JudgedQuantity::Value | JudgedQuantity::Age => None,
        }
    }

    fn restore(&mut self, saved: &RawValue) {
        self.memory = from_saved(saved);
    }
}

/// Finding on a value that is NaN, with `when_idle`.
const NAN_TEXT: &str = "value is NaN: nothing was observed";

impl Value {
    fn judge_rate(&mut self, seen: &Observation<Page>) -> Verdict {
        let rate = self.memory.increases.scrape(seen, &self.series, self.window, self.when_idle);
        let MeasuredRate { per_second, note } = match rate {
            Ok(rate) => rate,
            Err(verdict) => return verdict,
        };
        let mut verdict = match self.when_idle {
            Some(when_idle) if per_second == 0.0 => Verdict {
                measures: self.measures(per_second),
                ..when_idle.verdict(format!("no events in {}", self.window))
            },
            _ => self.verdict(per_second, seen.epoch_seconds()),
        };
        verdict.summary.push_str(&note);
        verdict
    }

    /// Judges each series by itself, or their aggregate.
    fn judge_values(&self, seen: &Observation<Page>) -> Verdict {
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        let chosen: Vec<_> = self.series.matching_series(&page.series).collect();
        if chosen.is_empty() {
            return match self.absent_or_not {
                Some(_) => no_data::never_matching(page, &self.series)
                    .unwrap_or_else(|| Verdict::new(Outcome::Pass, no_data::absence(page, &self.series))),
                None => no_data::no_event_yet(page, &self.series, self.when_idle),
            };
        }
        if self.aggregate.is_some() {
            let value = self.aggregated(chosen.iter().map(|series| series.value), Aggregate::Sum);
            return self.verdict(value, seen.epoch_seconds());
        }
        let verdicts = chosen.iter().map(|series| {
            let mut verdict = self.verdict(series.value, seen.epoch_seconds());
            if chosen.len() > 1 {
                verdict.summary.push_str(&format!(" (`{}`)", text::bounded_name(&*series.id)));
            }
            verdict
        });
        let mut verdict = Verdict::worst(verdicts).unwrap_or_else(|| no_data::no_matching_series(page, &self.series));
        let untimely = page.untimely_series(&self.series).count();
        if untimely > 0 {
            verdict.summary.push_str(&format!("; left out because of their own times: {untimely} series"));
        }
        verdict
    }

    /// Combines the values of several series. With `when_idle`, NaN stands for an idle series, which is left out.
    fn aggregated(&self, values: impl Iterator<Item = f64>, default: Aggregate) -> f64 {
        let mut values: Vec<f64> = values.collect();
        if self.when_idle.is_some() && values.iter().any(|value| !value.is_nan()) {
            values.retain(|value| !value.is_nan());
        }
        self.aggregate.unwrap_or(default).of(values.into_iter())
    }

    fn judge_slope(&mut self, seen: &Observation<Page>) -> Verdict {
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        let values: Vec<f64> = self.series.matching_series(&page.series).map(|series| series.value).collect();
        if values.is_empty() {
            return no_data::no_event_yet(page, &self.series, self.when_idle);
        }
        let value = self.aggregated(values.into_iter(), Aggregate::Sum);
        if let (true, Some(when_idle)) = (value.is_nan(), self.when_idle) {
            return when_idle.verdict(NAN_TEXT.to_owned());
        }
        if !value.is_finite() {
            return no_data::not_finite(&format!("the value of `{}`", self.series));
        }
        match self.memory.slope.add(seen.at, self.window, value) {
            Some(slope) if slope.is_finite() => self.verdict(slope, seen.epoch_seconds()),
            Some(_) => no_data::not_finite(&format!("the slope of `{}`", self.series)),
            None => Verdict::new(Outcome::Pending, "a slope needs two scrapes in the window"),
        }
    }

    /// Judges a number; `now` is the time of the run in seconds since the epoch.
    fn verdict(&self, value: f64, now: f64) -> Verdict {
        match (self.judged_quantity(), self.absent_or_not) {
            _ if value.is_nan() => match self.when_idle {
                Some(when_idle) => when_idle.verdict(NAN_TEXT.to_owned()),
                None => {
                    let mut verdict = Verdict::from_measures(self.measures(value));
                    verdict
                        .summary
                        .push_str("; `when_idle` sets the verdict on NaN, as for a summary without observations");
                    verdict
                }
            },
            (JudgedQuantity::Age, _) => match age::age(value, now) {
                Ok(age) => {
                    let mut verdict = Verdict::from_measures(self.measures(age));
                    verdict.summary.push_str(&format!(" (since {})", age::time_text(value)));
                    verdict
                }
                Err(text) => Verdict::new(Outcome::Unknown(Reason::Parse), text),
            },
            (_, Some(forbidden)) => {
                let shown = self.unit().display_value(value);
                let verdict = if value == forbidden.value() {
                    Verdict::new(Outcome::Fail(Reason::Limit), format!("value is {shown}, expected any other value"))
                } else {
                    let forbidden = self.unit().display_value(forbidden.value());
                    Verdict::new(Outcome::Pass, format!("value is {shown}, as expected not {forbidden}"))
                };
                Verdict { measures: self.measures(value), ..verdict }
            }
            _ => Verdict::from_measures(self.measures(value)),
        }
    }

    /// The number compared with each limit that is set; NaN for the limits alone.
    fn measures(&self, number: f64) -> Vec<Measure> {
        let (name, unit) = match self.judged_quantity() {
            JudgedQuantity::Age => return self.age_limits().measures("age", number),
            JudgedQuantity::Value => ("value", self.unit()),
            JudgedQuantity::Rate => ("rate", Unit::PerSecond),
            JudgedQuantity::Slope => ("slope", Unit::PerSecond),
        };
        let equals =
            |fail| Measure { name, subject: None, value: number, unit, bound: Bound::Equals, warn: None, fail };
        let mut measures = self.range().measures_as(name, number, unit);
        measures.extend(self.equals.map(|limit| equals(Some(limit.value()))));
        // A forbidden value is no limit: the value is exported without one.
        measures.extend(self.absent_or_not.map(|_| equals(None)));
        measures
    }
}

#[cfg(test)]
mod tests;
