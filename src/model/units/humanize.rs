//! Numbers the way a person would say them. Every run of every check writes some, so they are written in place.

use std::{fmt, time::Duration};

use super::{Period, Size, Unit};

/// A number with its unit, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    unit: Unit,
    value: f64,
}

impl Unit {
    /// A number the way a person would say it.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        self.shown(value).to_string()
    }

    /// The same for a place in a longer text.
    #[must_use]
    pub fn shown(self, value: f64) -> Shown {
        Shown { unit: self, value }
    }
}

impl fmt::Display for Shown {
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
            Unit::Seconds => seconds(f, size),
            Unit::Bytes => write!(f, "{}", Size(size as u64)),
            Unit::Ratio => significant(f, value * 100.0, "%"),
            Unit::Number => significant(f, value, ""),
            Unit::PerSecond => significant(f, value, "/s"),
            Unit::Timestamp => match jiff::Timestamp::from_second(value as i64) {
                Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
                Err(_) => significant(f, value, "s"),
            },
        }
    }
}

fn seconds(f: &mut fmt::Formatter<'_>, seconds: f64) -> fmt::Result {
    match seconds {
        0.0 => f.write_str("0s"),
        s if s < 0.001 => significant(f, s * 1e6, "us"),
        s if s < 1.0 => significant(f, s * 1e3, "ms"),
        s if s < 60.0 => significant(f, s, "s"),
        // Two units are enough for a person: 2h5m, 3d4h.
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

/// Three significant digits for small numbers, whole numbers for large ones, no trailing zeros.
fn significant(f: &mut fmt::Formatter<'_>, value: f64, unit: &str) -> fmt::Result {
    let (mut digits, mut scale) = match value.abs() {
        v if v >= 100.0 => (0, 1_u64),
        v if v >= 10.0 => (1, 10),
        v if v >= 1.0 => (2, 100),
        _ => (3, 1_000),
    };
    let scaled = value.abs() * scale as f64;
    // The standard library is exact to the last digit of any number, which takes it longer than all the rest of a
    // sentence; here only numbers halfway between two need that, and those that no integer holds.
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
            assert_eq!(unit.show(value), shown);
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
                prop_assert_eq!(Unit::Number.show(value), text);
            }
        }
    }
}
