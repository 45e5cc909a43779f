//! Formats numbers for people. Every run of every check formats some, so they are written into the text directly.

use std::{fmt, time::Duration};

use super::{Period, Size, Unit};

/// A number with its unit; `Display` formats it.
#[derive(Clone, Copy, Debug)]
pub struct DisplayValue {
    unit: Unit,
    value: f64,
}

impl Unit {
    /// Formats a number for people.
    #[must_use]
    pub fn format_value(self, value: f64) -> String {
        self.display_value(value).to_string()
    }

    /// Formats a number as a part of a longer text.
    #[must_use]
    pub fn display_value(self, value: f64) -> DisplayValue {
        DisplayValue { unit: self, value }
    }
}

impl fmt::Display for DisplayValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, value } = *self;
        if !value.is_finite() {
            return write!(f, "{value}");
        }
        let size = value.abs();
        if matches!(unit, Unit::Seconds | Unit::Bytes) && value < 0.0 {
            f.write_str("-")?;
        }
        match unit {
            Unit::Seconds => write_seconds(f, size),
            Unit::Bytes => write!(f, "{}", Size(size as u64)),
            Unit::Ratio => write_significant(f, value * 100.0, "%"),
            Unit::Number | Unit::Code => write_significant(f, value, ""),
            Unit::PerSecond => write_significant(f, value, "/s"),
            Unit::Timestamp => match jiff::Timestamp::from_second(value as i64) {
                Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
                Err(_) => write_significant(f, value, "s"),
            },
        }
    }
}

fn write_seconds(f: &mut fmt::Formatter<'_>, seconds: f64) -> fmt::Result {
    match seconds {
        0.0 => f.write_str("0s"),
        s if s < 0.001 => write_significant(f, s * 1e6, "us"),
        s if s < 1.0 => write_significant(f, s * 1e3, "ms"),
        s if s < 60.0 => write_significant(f, s, "s"),
        // Two units are enough: 2h5m, 3d4h.
        s => {
            let step = match s {
                s if s < 3_600.0 => 1,
                s if s < 86_400.0 => 60,
                _ => 3_600,
            };
            write!(f, "{}", Period(Duration::from_secs((s as u64 / step) * step)))
        }
    }
}

/// Formats three significant digits of small numbers and all digits of large integers, without trailing zeros.
fn write_significant(f: &mut fmt::Formatter<'_>, value: f64, unit: &str) -> fmt::Result {
    let (mut digits, mut scale) = match value.abs() {
        v if v >= 100.0 => (0, 1_u64),
        v if v >= 10.0 => (1, 10),
        v if v >= 1.0 => (2, 100),
        _ => (3, 1_000),
    };
    let scaled = value.abs() * scale as f64;
    // The standard library formats any number exactly, which takes longer than the rest of a sentence. Only numbers
    // halfway between two results, and numbers that no integer can hold, need this exactness.
    if scaled.fract() == 0.5 || scaled > 1e15 {
        let text = format!("{value:.digits$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        return write!(f, "{text}{unit}");
    }
    let mut number = scaled.round() as u64;
    while digits > 0 && number.is_multiple_of(10) {
        (number, digits, scale) = (number / 10, digits - 1, scale / 10);
    }
    if value.is_sign_negative() {
        f.write_str("-")?;
    }
    let (whole, rest) = (number / scale, number % scale);
    if digits == 0 { write!(f, "{whole}{unit}") } else { write!(f, "{whole}.{rest:0digits$}{unit}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_shown_as_a_person_says_them() {
        for (unit, value, shown) in [
            (Unit::Seconds, 0.4123, "412ms"),
            (Unit::Seconds, 0.00002, "20us"),
            (Unit::Seconds, 7_512.0, "2h5m"),
            (Unit::Seconds, -3.0, "-3s"),
            (Unit::Ratio, 0.0425, "4.25%"),
            (Unit::Bytes, 10_485_760.0, "10MiB"),
            (Unit::Bytes, -1_024.0, "-1KiB"),
            (Unit::Number, 1_234.0, "1234"),
            (Unit::Number, 9.996, "10"),
            (Unit::Number, 1.005, "1"),
            (Unit::Number, 1e300, &format!("{:.0}", 1e300)),
            (Unit::PerSecond, 12.5, "12.5/s"),
            (Unit::Number, f64::NAN, "NaN"),
        ] {
            assert_eq!(unit.format_value(value), shown);
        }
    }

    proptest! {
        #[test]
        fn digits_are_those_of_the_standard_library(value in any::<f64>(), small in -1_000.0..1_000.0_f64, thousandths in -9_999..9_999_i32) {
            for value in [value, small, f64::from(thousandths) / 1_000.0, f64::from(thousandths) / 16.0] {
                let digits = match value.abs() {
                    v if v >= 100.0 => 0,
                    v if v >= 10.0 => 1,
                    v if v >= 1.0 => 2,
                    _ => 3,
                };
                let text = format!("{value:.digits$}");
                let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
                prop_assert_eq!(Unit::Number.format_value(value), text);
            }
        }
    }
}
