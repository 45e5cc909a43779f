//! Quantities of the configuration with their units: durations, sizes and ratios.
//!
//! A number without a unit is rejected where a unit is needed: `timeout: 5` may mean seconds or milliseconds.

mod humanize;
mod quantity;

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::{
    humanize::DisplayValue,
    quantity::{Quantity, ValueUnit, common_unit},
};

/// A duration with a unit: `500ms`, `90s`, `1h30m`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

/// A number of bytes with a unit: `512B`, `10MiB` (powers of 1024) or `10MB` (powers of 1000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// A ratio between 0 and 1, written as `5%` or `0.05`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Period {
    /// The duration in seconds, the base unit of metrics.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl Ratio {
    /// Creates a ratio; `None` for a number outside 0 to 1 and for NaN.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// Creates a ratio from a percentage, 100 at most.
    #[must_use]
    pub const fn from_percent(hundredths: u8) -> Self {
        Self(if hundredths > 100 { 1.0 } else { hundredths as f64 / 100.0 })
    }

    /// The ratio as a number between 0 and 1.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

/// Units of time in microseconds.
const TIME_UNITS: [(&str, u64); 7] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a duration: write a number and a unit, as in 500ms, 30s, 5m, 26h or 30d");
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let (number, tail) = split_number(rest).ok_or_else(bad)?;
            let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            // The sign for micro exists twice in Unicode.
            let unit = if matches!(unit, "\u{b5}s" | "\u{3bc}s") { "us" } else { unit };
            let (_, micros) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            let seconds = number * *micros as f64 / 1e6;
            let part = Duration::try_from_secs_f64(seconds).map_err(|_| bad())?;
            total = total.checked_add(part).ok_or_else(bad)?;
            rest = tail;
        }
        // A longer period is a typing error. The bound also keeps sums of periods far from overflow.
        if total > Duration::from_secs(100 * 366 * 86_400) {
            return Err(format!("`{text}` is longer than a hundred years"));
        }
        Ok(Self(total))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size: write a number and a unit, as in 512B, 64KiB, 10MiB or 2GB");
        let (number, unit) = split_number(text.trim()).ok_or_else(bad)?;
        let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(bad)?;
        let total = number * *bytes as f64;
        if total > 2f64.powi(53) {
            return Err(format!("`{text}` is larger than 8 PiB"));
        }
        Ok(Self(total as u64))
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a ratio: write a share such as 5% or 0.05");
        let text_ = text.trim();
        let value = match text_.strip_suffix('%') {
            Some(percent) => percent.trim_end().parse::<f64>().map_err(|_| bad())? / 100.0,
            None => text_.parse::<f64>().map_err(|_| bad())?,
        };
        if !value.is_finite() {
            return Err(bad());
        }
        Self::new(value).ok_or_else(|| format!("`{text}` is out of range: a ratio lies between 0 and 1 (0% and 100%)"))
    }
}

/// Splits a decimal number without sign and exponent off the beginning of a text.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut micros = self.0.as_micros() as u64;
        if micros == 0 {
            return f.write_str("0s");
        }
        // Weeks are accepted in the configuration but never written: `14d` is more common.
        for (unit, size) in TIME_UNITS.iter().rev().skip(1) {
            if micros == 0 || micros < *size {
                continue;
            }
            // The rest of a second is written as a fraction: 1.5s, not 1s500ms.
            if *size <= 1_000_000 {
                return write!(f, "{}{unit}", micros as f64 / *size as f64);
            }
            write!(f, "{}{unit}", micros / size)?;
            micros %= size;
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = SIZE_UNITS.iter().take(5).rev().find(|(_, size)| self.0 >= *size).unwrap_or(&("B", 1));
        let number = self.0 as f64 / *size as f64;
        if number.fract() == 0.0 { write!(f, "{number}{unit}") } else { write!(f, "{number:.1}{unit}") }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to a billionth: 0.07 would be written as 7.000000000000001% otherwise.
        write!(f, "{}%", (self.0 * 100.0 * 1e7).round() / 1e7)
    }
}

/// Implements serde and JSON Schema for a quantity that is written as text.
macro_rules! quantity {
    ($type:ident, $name:literal, $pattern:expr, $($number:ident)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct QuantityVisitor;
                impl de::Visitor<'_> for QuantityVisitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $name))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                from.deserialize_any(QuantityVisitor)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $pattern
            }
        }
    };
}

quantity!(
    Period,
    "duration such as 30s",
    json_schema!({"type": "string", "pattern": r"^\s*([0-9.]+([uµμ]s|ms|s|m|h|d|w))+\s*$", "examples": ["500ms", "30s", "26h", "30d"]}),
);
quantity!(
    Size,
    "size such as 10MiB",
    json_schema!({"type": "string", "pattern": r"^\s*[0-9.]+\s*([KMGT]i)?B|[0-9.]+\s*[kMGT]B\s*$", "examples": ["64KiB", "10MiB"]}),
);
quantity!(
    Ratio,
    "ratio such as 5%",
    json_schema!({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\s*[0-9.]+\s*%?\s*$"}], "examples": ["5%", 0.05]}),
);

/// Unit of a number. It determines the generic metric family and the format for people, not the stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds, formatted as `412ms` or `2h5m`.
    Seconds,
    /// Bytes, formatted as `10.2MiB`.
    Bytes,
    /// A ratio, formatted as `4.2%`.
    Ratio,
    /// A count, or a number in a unit of the user, without a unit in texts.
    Number,
    /// Events per second, formatted as `12.5/s`.
    PerSecond,
    /// Seconds since the epoch, formatted as a time in UTC.
    Timestamp,
    /// A code such as an HTTP status, shown as it is. A code has no distance from another code, so it has no headroom.
    Code,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 7] =
        [Self::Seconds, Self::Bytes, Self::Ratio, Self::PerSecond, Self::Timestamp, Self::Number, Self::Code];

    /// The unit whose generic metric families serve values in this unit.
    #[must_use]
    pub fn exposed_as(self) -> Self {
        if self == Self::Code { Self::Number } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_written_back() {
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("1.5s", 1_500, "1.5s"),
            ("1s995ms", 1_995, "1.995s"),
            ("1m500ms", 60_500, "1m500ms"),
            ("1.5ms", 1, "1.5ms"),
            ("20us", 0, "20us"),
            ("20\u{b5}s", 0, "20us"),
            ("20\u{3bc}s", 0, "20us"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("26h", 93_600_000, "1d2h"),
            ("2w", 1_209_600_000, "14d"),
            ("0s", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0.as_millis(), millis, "{text}");
            assert_eq!(period.to_string(), shown);
        }
        for text in ["", "5", "s", "5 s", "-5s", "1e3s", "5sec", "5M", "999999999w", "1..5s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    /// Durations below a second are printed with `us` and `ms`: people copy them into a configuration.
    #[test]
    fn a_printed_duration_can_be_configured() {
        for micros in
            [1, 20, 999, 1_000, 1_500, 412_000, 999_999, 1_000_000, 1_995_000, 59_999_999, 90_500_000, 90_061_001_001]
        {
            let period = Period(Duration::from_micros(micros));
            assert_eq!(period.to_string().parse(), Ok(period), "{period}");
            let shown = Unit::Seconds.format_value(micros as f64 / 1e6);
            assert!(shown.parse::<Period>().is_ok(), "{shown}");
        }
    }

    #[test]
    fn sizes_and_ratios_know_their_bounds() {
        assert_eq!("10MiB".parse(), Ok(Size(10 << 20)));
        assert_eq!("1.5kB".parse(), Ok(Size(1_500)));
        assert_eq!(Size(10 << 20).to_string(), "10MiB");
        assert!("10".parse::<Size>().is_err() && "10mb".parse::<Size>().is_err());
        assert_eq!("5%".parse::<Ratio>().unwrap().get(), 0.05);
        assert_eq!("0.07".parse::<Ratio>().unwrap().to_string(), "7%");
        for text in ["150%", "-1%", "NaN", "inf", "5", "%"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }
}
