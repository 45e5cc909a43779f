//! Settings of `value`, and the rules that their types do not express.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{JudgedQuantity, ValueMemory};
use crate::{
    checks::{
        age::AgeLimits,
        no_data::WhenNoData,
        window::{self, five_minutes},
    },
    model::{
        failure::Invalid,
        limit::{Limit, Max, Min, Range},
        observation::Timing,
        units::{Period, Quantity, Unit, ValueUnit, common_unit},
        words::words,
    },
    probes::metrics::exposition_format::selector::Selector,
};

/// A number and its limits. At least one limit is required.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Series to judge.
    pub(super) series: Selector,
    /// Minimum value, as a number or with a unit (`30s`, `10MiB`, `5%`). With `rate` or `slope`, the limit applies to
    /// the change per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<Min<Quantity>>,
    /// Maximum value, as a number or with a unit (`30s`, `10MiB`, `5%`). With `rate` or `slope`, the limit applies to
    /// the change per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<Max<Quantity>>,
    /// Required value. Not allowed together with another limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) equals: Option<Quantity>,
    /// Forbidden value. The check passes if no series exists or the value differs. Not allowed together with another
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) absent_or_not: Option<Quantity>,
    /// Minimum age, if the value is a time in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) min_age: Option<Min<Period>>,
    /// Maximum age, if the value is a time in seconds since 1970. The value 0 means "never" and exceeds every limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_age: Option<Max<Period>>,
    /// Unit of the value. It selects the metric family and the notation in findings. Default: the unit of the limits,
    /// or none if the limits have no unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<ValueUnit>,
    /// Function that combines several series into one value. Without this setting, each series is judged and the worst
    /// one determines the verdict. Exception: with `slope`, the series are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aggregate: Option<Aggregate>,
    /// Whether the check judges the increase of counters per second, summed over the selected series, instead of the
    /// value. A decrease counts as a restart of the counter. Series that the page declares as gauges are therefore
    /// rejected: use `slope` for gauges.
    #[serde(default)]
    pub(super) rate: bool,
    /// Whether the check judges the change of the value per second instead of the value. The change may be negative.
    #[serde(default)]
    pub(super) slope: bool,
    /// Period over which `rate` and `slope` are computed.
    #[serde(default = "five_minutes")]
    pub(super) window: Period,
    /// Verdict if the service is idle: the value is NaN, as the quantile of a summary without observations, or with
    /// `rate`, the counters have not increased in the window. The verdict applies, too, while the metric and its labels
    /// exist and no series has the selected value. Without this setting, NaN and an absent series are unknown, and the
    /// rate is judged as 0 per second. With `aggregate`, series with the value NaN are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) when_idle: Option<WhenNoData>,
    #[serde(skip)]
    pub(super) memory: ValueMemory,
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

impl Value {
    pub(super) fn judged_quantity(&self) -> JudgedQuantity {
        match () {
            () if self.rate => JudgedQuantity::Rate,
            () if self.slope => JudgedQuantity::Slope,
            () if self.age_limits().are_set() => JudgedQuantity::Age,
            () => JudgedQuantity::Value,
        }
    }

    /// The unit of the value itself.
    pub(super) fn unit(&self) -> Unit {
        common_unit(self.unit, self.written_limits()).ok().flatten().map_or(Unit::Number, Unit::from)
    }

    pub(super) fn range(&self) -> Range<Quantity> {
        Range { min: self.min, max: self.max }
    }

    pub(super) fn age_limits(&self) -> AgeLimits {
        AgeLimits { min: self.min_age, max: self.max_age }
    }

    fn written_limits(&self) -> impl Iterator<Item = Quantity> {
        let min = self.min.iter().flat_map(Limit::steps_as_written);
        let max = self.max.iter().flat_map(Limit::steps_as_written);
        min.chain(max).chain(self.equals).chain(self.absent_or_not)
    }

    pub(super) fn validate_settings(&self, timing: &Timing) -> Result<(), Invalid> {
        let (has_range, has_age) = (!self.range().is_unbounded(), self.age_limits().are_set());
        let kinds = [has_range, has_age, self.equals.is_some(), self.absent_or_not.is_some()];
        match kinds.iter().filter(|is_set| **is_set).count() {
            0 => {
                let message =
                    "`value` needs a limit: `min`, `max`, `equals`, `absent_or_not`, `min_age` or `max_age`".to_owned();
                return Err(Invalid { key: None, message });
            }
            1 => {}
            _ if self.equals.is_some() => {
                return Err(Invalid::at("equals", "a value that must equal one number needs no other limit"));
            }
            _ if self.absent_or_not.is_some() => {
                return Err(Invalid::at("absent_or_not", "write a check of its own: here no other limit is allowed"));
            }
            _ => {
                let message = "a value is a number or a time: write `min` and `max`, or `min_age` and `max_age`";
                return Err(Invalid::at(if self.max_age.is_some() { "max_age" } else { "min_age" }, message));
            }
        }
        if self.range().is_crossed() {
            return Err(Invalid::at("min", "no value is above `min` and below `max`: they are the wrong way round"));
        }
        self.age_limits().validate().map_err(|(key, message)| Invalid::at(key, message))?;
        self.validate_unit()?;
        self.validate_function(has_age)?;
        if self.rate || self.slope { window::validate(self.window, 2, timing) } else { Ok(()) }
    }

    fn validate_unit(&self) -> Result<(), Invalid> {
        let unit = common_unit(self.unit, self.written_limits())
            .map_err(|message| Invalid::at(if self.max.is_some() { "max" } else { "min" }, message))?;
        let key = if self.unit.is_some() {
            "unit"
        } else if self.max.is_some() {
            "max"
        } else {
            "min"
        };
        match unit {
            Some(unit) if (self.rate || self.slope) && unit != ValueUnit::PerSecond => {
                Err(Invalid::at(key, format!("`rate` and `slope` are per second, not in {unit}: write a number")))
            }
            Some(_) if self.age_limits().are_set() => Err(Invalid::at(key, "an age is in seconds: remove `unit`")),
            _ => Ok(()),
        }
    }

    fn validate_function(&self, has_age: bool) -> Result<(), Invalid> {
        let is_plain = !has_age && self.absent_or_not.is_none();
        if self.rate && self.slope {
            return Err(Invalid::at("slope", "`rate` is for counters and `slope` for gauges: write one of them"));
        }
        if (self.rate || self.slope) && !is_plain {
            let key = if self.rate { "rate" } else { "slope" };
            return Err(Invalid::at(key, "a change per second is compared with `min`, `max` or `equals`"));
        }
        if self.rate && self.aggregate.is_some_and(|aggregate| aggregate != Aggregate::Sum) {
            return Err(Invalid::at("aggregate", "the rates of several series are always added up"));
        }
        if has_age && self.aggregate.is_some_and(|aggregate| matches!(aggregate, Aggregate::Sum | Aggregate::Avg)) {
            return Err(Invalid::at("aggregate", "of several times write `min` (the oldest) or `max` (the newest)"));
        }
        Ok(())
    }
}

impl Aggregate {
    /// NaN if one of the values is, but for the least and the largest of the others.
    pub(super) fn of(self, values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = values.len() as f64;
        match self {
            Self::Sum => values.sum(),
            Self::Min => values.fold(f64::NAN, f64::min),
            Self::Max => values.fold(f64::NAN, f64::max),
            Self::Avg => values.sum::<f64>() / count,
        }
    }
}
