//! Limits on values whose unit only the user knows: a number, with or without a unit.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Period, Size, Unit};
use crate::model::words::words;

words! {
    /// Unit of a value: it selects the metric family and the notation in findings.
    ValueUnit {
        /// Seconds, shown as `412ms` or `2h5m`.
        Seconds = "seconds",
        /// Bytes, shown as `10.2MiB`.
        Bytes = "bytes",
        /// A ratio, shown as `4.2%`: 1 is 100%.
        Ratio = "ratio",
        /// Events per second, shown as `12.5/s`.
        PerSecond = "per_second",
    }
}

impl From<ValueUnit> for Unit {
    fn from(unit: ValueUnit) -> Self {
        match unit {
            ValueUnit::Seconds => Self::Seconds,
            ValueUnit::Bytes => Self::Bytes,
            ValueUnit::Ratio => Self::Ratio,
            ValueUnit::PerSecond => Self::PerSecond,
        }
    }
}

/// A number in a base unit, written as a number (`30`) or with a unit (`30s`, `10MiB`, `5%`, `12/s`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    value: f64,
    unit: Option<ValueUnit>,
}

impl Quantity {
    /// The number in the base unit.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }

    /// The unit as it was written.
    #[must_use]
    pub fn unit(self) -> Option<ValueUnit> {
        self.unit
    }
}

/// Returns the unit of a value from the setting `unit` and from its limits.
///
/// # Errors
/// A message if two of them contradict each other.
pub fn common_unit(
    setting: Option<ValueUnit>,
    limits: impl IntoIterator<Item = Quantity>,
) -> Result<Option<ValueUnit>, String> {
    let mut known = setting;
    for unit in limits.into_iter().filter_map(Quantity::unit) {
        match known {
            Some(other) if other != unit => {
                return Err(format!("a limit in {unit} contradicts the unit {other}: write both in one unit"));
            }
            _ => known = Some(unit),
        }
    }
    Ok(known)
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let number = |text: &str| text.trim_end().parse().ok().filter(|value: &f64| value.is_finite());
        let with = |value, unit| Self { value, unit };
        let parsed = if let Some(value) = number(trimmed) {
            Some(with(value, None))
        } else if let Some(percent) = trimmed.strip_suffix('%') {
            number(percent).map(|percent| with(percent / 100.0, Some(ValueUnit::Ratio)))
        } else if let Some(rate) = trimmed.strip_suffix("/s") {
            number(rate).map(|rate| with(rate, Some(ValueUnit::PerSecond)))
        } else if let Ok(period) = trimmed.parse::<Period>() {
            Some(with(period.as_seconds(), Some(ValueUnit::Seconds)))
        } else {
            trimmed.parse::<Size>().ok().map(|size| with(size.0 as f64, Some(ValueUnit::Bytes)))
        };
        parsed.ok_or_else(|| {
            format!("`{text}` is not a number, with or without a unit: write it as in 30, 30s, 10MiB, 5% or 12/s")
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.unit {
            None => write!(f, "{value}"),
            Some(ValueUnit::Seconds) if value < 60.0 => write!(f, "{value}s"),
            Some(ValueUnit::Seconds) => write!(f, "{}", Period(std::time::Duration::from_secs_f64(value))),
            Some(ValueUnit::Bytes) => write!(f, "{value}B"),
            // Rounded to a billionth, so that 0.07 is not shown as 7.000000000000001%.
            Some(ValueUnit::Ratio) => write!(f, "{}%", (value * 1e9).round() / 1e7),
            Some(ValueUnit::PerSecond) => write!(f, "{value}/s"),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl de::Visitor<'_> for NumberOrText {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, with or without a unit")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantity, E> {
                let is_finite = value.is_finite();
                is_finite.then_some(Quantity { value, unit: None }).ok_or_else(|| E::custom("not a finite number"))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
                self.visit_f64(value as f64)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                self.visit_f64(value as f64)
            }
        }
        from.deserialize_any(NumberOrText)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.unit {
            None => to.serialize_f64(self.value),
            Some(_) => to.collect_str(self),
        }
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"], "examples": [30, "30s", "10MiB", "5%", "12/s"]})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_a_unit_and_written_back() {
        for (written, value, unit) in [
            (json!(30.0), 30.0, None),
            (json!(-1.5), -1.5, None),
            (json!("30s"), 30.0, Some(ValueUnit::Seconds)),
            (json!("2h"), 7_200.0, Some(ValueUnit::Seconds)),
            (json!("0.25s"), 0.25, Some(ValueUnit::Seconds)),
            (json!("1024B"), 1_024.0, Some(ValueUnit::Bytes)),
            (json!("150%"), 1.5, Some(ValueUnit::Ratio)),
            (json!("12.5/s"), 12.5, Some(ValueUnit::PerSecond)),
        ] {
            let quantity: Quantity = from_value(written.clone()).unwrap();
            assert_eq!((quantity.value(), quantity.unit()), (value, unit), "{written}");
            assert_eq!(serde_json::to_value(quantity).unwrap(), written);
        }
        assert_eq!("500ms".parse::<Quantity>().unwrap().value(), 0.5);
        assert_eq!("10MiB".parse::<Quantity>().unwrap().value(), 10_485_760.0);
        assert_eq!(" 7 ".parse::<Quantity>().unwrap().unit(), None, "from a variable of the environment");
        for bad in ["", "x", "NaN", "inf", "5 apples", "%", "1e999"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn units_of_limits_and_of_the_setting_agree() {
        let of = |setting, limits: &[&str]| common_unit(setting, limits.iter().map(|limit| limit.parse().unwrap()));
        assert_eq!(of(None, &["3", "4"]), Ok(None));
        assert_eq!(of(None, &["3", "4s"]), Ok(Some(ValueUnit::Seconds)));
        assert_eq!(of(Some(ValueUnit::Bytes), &["3", "4KiB"]), Ok(Some(ValueUnit::Bytes)));
        assert!(of(Some(ValueUnit::Bytes), &["4s"]).is_err() && of(None, &["4s", "5%"]).is_err());
    }
}
