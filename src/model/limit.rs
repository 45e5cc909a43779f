//! Limits: one bound on one measure, with one step or two.
//!
//! `max: 5%` fails above 5 %; `max: {warn: 1%, fail: 5%}` warns first. A value equal to the limit passes: `max` fails
//! above it, `min` below it. The direction is part of the type, so that the parser rejects a warning step beyond the
//! failing step.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, value::MapAccessDeserializer},
    ser::SerializeMap,
};

use crate::model::{
    measure::{Bound, Measure},
    units::{Period, Quantity, Ratio, Size, Unit},
};

/// Upper limit.
pub type Max<T> = Limit<T, Above>;
/// Lower limit.
pub type Min<T> = Limit<T, Below>;

/// A limit with a warning step, a failing step, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit<T, D> {
    warn: Option<T>,
    fail: Option<T>,
    direction: PhantomData<D>,
}

/// Direction of an upper limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Above;
/// Direction of a lower limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Below;

/// The direction of a limit as a type.
pub trait Direction {
    /// The direction as a value.
    const BOUND: Bound;
}
impl Direction for Above {
    const BOUND: Bound = Bound::Max;
}
impl Direction for Below {
    const BOUND: Bound = Bound::Min;
}

/// A quantity that a limit can bound.
pub trait Amount: Copy {
    /// The unit of [`Amount::amount`].
    const UNIT: Unit;
    /// The quantity in its base unit: seconds, bytes, a ratio.
    fn amount(self) -> f64;
}
impl Amount for Period {
    const UNIT: Unit = Unit::Seconds;
    fn amount(self) -> f64 {
        self.as_seconds()
    }
}
impl Amount for Size {
    const UNIT: Unit = Unit::Bytes;
    fn amount(self) -> f64 {
        self.0 as f64
    }
}
impl Amount for Ratio {
    const UNIT: Unit = Unit::Ratio;
    fn amount(self) -> f64 {
        self.get()
    }
}
impl Amount for f64 {
    const UNIT: Unit = Unit::Number;
    fn amount(self) -> f64 {
        self
    }
}
impl Amount for Quantity {
    const UNIT: Unit = Unit::Number;
    fn amount(self) -> f64 {
        self.value()
    }
}
impl Amount for u32 {
    const UNIT: Unit = Unit::Number;
    fn amount(self) -> f64 {
        f64::from(self)
    }
}

impl<T: Amount, D: Direction> Limit<T, D> {
    /// Creates a limit with a failing step only.
    #[must_use]
    pub fn single(limit: T) -> Self {
        Self { warn: None, fail: Some(limit), direction: PhantomData }
    }

    /// Creates a limit with two steps; `None` if the warning step is not reached first.
    #[must_use]
    pub fn two_steps(warn: T, fail: T) -> Option<Self> {
        D::BOUND.is_beyond(fail.amount(), warn.amount()).then_some(Self {
            warn: Some(warn),
            fail: Some(fail),
            direction: PhantomData,
        })
    }

    /// The failing step in the base unit.
    #[must_use]
    pub fn fail_at(&self) -> Option<f64> {
        self.fail.map(Amount::amount)
    }

    /// The warning step in the base unit.
    #[must_use]
    pub fn warn_at(&self) -> Option<f64> {
        self.warn.map(Amount::amount)
    }

    /// The steps that are set, as they were written.
    pub fn steps_as_written(&self) -> impl Iterator<Item = T> + use<T, D> {
        [self.warn, self.fail].into_iter().flatten()
    }

    /// The furthest step that is set, in the base unit: where the headroom ends.
    #[must_use]
    pub fn last_step(&self) -> f64 {
        self.fail_at().or(self.warn_at()).unwrap_or(f64::NAN)
    }

    /// The configured steps in the base unit, each with its value of the label `level`.
    pub fn levels(&self) -> impl Iterator<Item = (&'static str, f64)> + use<T, D> {
        [("warn", self.warn_at()), ("fail", self.fail_at())].into_iter().filter_map(|(level, at)| Some((level, at?)))
    }

    /// Combines a value with this limit; `name` is the value of the label `measure`.
    #[must_use]
    pub fn measure(&self, name: &'static str, value: f64) -> Measure {
        self.measure_as(name, value, T::UNIT)
    }

    /// The limit without a value, for [`Check::limits`](super::check::Check::limits).
    #[must_use]
    pub fn unmeasured(&self, name: &'static str) -> Measure {
        self.measure(name, f64::NAN)
    }

    /// Like [`Limit::measure`], with a unit that the type of the limit does not determine.
    #[must_use]
    pub fn measure_as(&self, name: &'static str, value: f64, unit: Unit) -> Measure {
        Measure { name, subject: None, value, unit, bound: D::BOUND, warn: self.warn_at(), fail: self.fail_at() }
    }
}

/// An optional lower and an optional upper limit on one value.
#[derive(Clone, Copy, Debug)]
pub struct Range<T> {
    /// The lower limit.
    pub min: Option<Min<T>>,
    /// The upper limit.
    pub max: Option<Max<T>>,
}

impl<T: Amount> Range<T> {
    /// Whether both limits are absent.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    /// Whether no value can meet both limits.
    #[must_use]
    pub fn is_crossed(&self) -> bool {
        self.min.as_ref().zip(self.max.as_ref()).is_some_and(|(min, max)| min.last_step() > max.last_step())
    }

    /// Combines a value with each limit.
    #[must_use]
    pub fn measures(&self, name: &'static str, value: f64) -> Vec<Measure> {
        self.measures_as(name, value, T::UNIT)
    }

    /// Like [`Range::measures`], with a unit that the type of the limits does not determine.
    #[must_use]
    pub fn measures_as(&self, name: &'static str, value: f64, unit: Unit) -> Vec<Measure> {
        let min = self.min.as_ref().map(|min| min.measure_as(name, value, unit));
        let max = self.max.as_ref().map(|max| max.measure_as(name, value, unit));
        min.into_iter().chain(max).collect()
    }
}

impl<'de, T: Amount + Deserialize<'de>, D: Direction> Deserialize<'de> for Limit<T, D> {
    fn deserialize<De: Deserializer<'de>>(from: De) -> Result<Self, De::Error> {
        struct OneOrTwo<T, D>(PhantomData<(T, D)>);

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Steps<T> {
            warn: Option<T>,
            fail: Option<T>,
        }

        impl<'de, T: Amount + Deserialize<'de>, D: Direction> de::Visitor<'de> for OneOrTwo<T, D> {
            type Value = Limit<T, D>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit: one value, or {warn: .., fail: ..}")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let Steps { warn, fail } = Steps::<T>::deserialize(MapAccessDeserializer::new(map))?;
                match (warn, fail) {
                    (None, None) => Err(de::Error::custom("a limit needs `warn`, `fail` or both")),
                    (Some(w), Some(f)) => Limit::two_steps(w, f).ok_or_else(|| {
                        let (warn, fail) = (T::UNIT.format_value(w.amount()), T::UNIT.format_value(f.amount()));
                        let order = if D::BOUND == Bound::Max { "below" } else { "above" };
                        de::Error::custom(format!(
                            "`warn: {warn}` can never be seen before `fail: {fail}`: here warn must be {order} fail"
                        ))
                    }),
                    (warn, fail) => Ok(Limit { warn, fail, direction: PhantomData }),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(Limit::single)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                T::deserialize(de::value::U64Deserializer::new(number)).map(Limit::single)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                T::deserialize(de::value::I64Deserializer::new(number)).map(Limit::single)
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                T::deserialize(de::value::F64Deserializer::new(number)).map(Limit::single)
            }
        }

        from.deserialize_any(OneOrTwo(PhantomData))
    }
}

impl<T: Serialize, D> Serialize for Limit<T, D> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match (&self.warn, &self.fail) {
            (None, Some(fail)) => fail.serialize(to),
            (warn, fail) => {
                let mut map = to.serialize_map(None)?;
                if let Some(warn) = warn {
                    map.serialize_entry("warn", warn)?;
                }
                if let Some(fail) = fail {
                    map.serialize_entry("fail", fail)?;
                }
                map.end()
            }
        }
    }
}

impl<T: JsonSchema, D> JsonSchema for Limit<T, D> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Limit_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let step = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [
                step,
                {"type": "object", "properties": {"warn": step, "fail": step}, "additionalProperties": false, "minProperties": 1}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::model::words::{Outcome, Reason};

    #[test]
    fn one_step_fails_and_two_steps_warn_first() {
        let one: Max<Ratio> = from_value(json!("5%")).unwrap();
        let two: Max<Period> = from_value(json!({"warn": "300ms", "fail": "1s"})).unwrap();
        assert_eq!(one.measure("rate", 0.05).outcome(), Outcome::Pass);
        assert_eq!(one.measure("rate", 0.0501).outcome(), Outcome::Fail(Reason::Limit));
        assert_eq!(two.measure("p95", 0.4).outcome(), Outcome::Warn);
        assert_eq!(two.measure("p95", 1.1).outcome(), Outcome::Fail(Reason::Limit));
        assert_eq!(two.measure("p95", f64::NAN).outcome(), Outcome::Unknown(Reason::Empty));
        let least: Min<f64> = from_value(json!({"warn": 10})).unwrap();
        assert_eq!(least.measure("rate", 9.0).outcome(), Outcome::Warn);
    }

    #[test]
    fn a_warning_that_could_never_be_seen_is_refused() {
        for bad in [json!({"warn": "2s", "fail": "1s"}), json!({"warn": "1s", "fail": "1s"}), json!({}), json!(5)] {
            assert!(from_value::<Max<Period>>(bad.clone()).is_err(), "{bad}");
        }
        assert!(from_value::<Min<f64>>(json!({"warn": 1, "fail": 2})).is_err());
        assert!(from_value::<Min<f64>>(json!({"warn": 2, "fail": 1})).is_ok());
    }

    #[test]
    fn headroom_is_one_far_from_the_limit_zero_at_it_and_negative_beyond() {
        let max = |v| Max::<f64>::single(10.0).measure("m", v).headroom().unwrap();
        assert_eq!((max(0.0), max(10.0), max(15.0)), (1.0, 0.0, -0.5));
        let min = |v| Min::<f64>::single(10.0).measure("m", v).headroom().unwrap();
        assert_eq!((min(20.0), min(10.0), min(5.0), min(0.0)), (0.5, 0.0, -0.5, -1.0));
        let zero = |v| Max::<f64>::single(0.0).measure("m", v).headroom().unwrap();
        assert_eq!((zero(0.0), zero(3.0)), (1.0, -1.0));
        assert_eq!(max(f64::INFINITY), -1_000.0);
        assert_eq!(Max::<f64>::single(10.0).measure("m", f64::NAN).headroom(), None);
    }
}
