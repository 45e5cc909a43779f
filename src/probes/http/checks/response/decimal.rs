//! Decimal numbers of any size and precision, for exact comparisons. As floating point, 9007199254740993 would equal
//! 9007199254740992.

use std::cmp::Ordering;

/// A decimal number in its shortest form: two numbers with the same value are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Digits without leading and trailing zeros; empty for zero.
    digits: Vec<u8>,
    /// Position of the decimal point, counted from the start of the digits: 0.05 has the digits `5` and -1.
    point: i64,
}

/// Maximum length of the digits of an exponent. A larger exponent is no number of any practical use.
const MAX_EXPONENT_DIGITS: usize = 15;

impl Decimal {
    /// Parses a number such as `-12.50` or `1.5e-3`. `None` for a text of another form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => (text.get(..at)?, parse_exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let end = all.iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1);
        let digits = all.get(zeros..end).unwrap_or_default().to_vec();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, point: 0 });
        }
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()? + exponent;
        Some(Self { is_negative, digits, point })
    }

    /// The shortest decimal number that has the given floating point value.
    pub(super) fn from_f64(number: f64) -> Option<Self> {
        Self::parse(&format!("{number:e}"))
    }

    /// Number of digits without leading and trailing zeros.
    pub(super) fn significant_digits(&self) -> usize {
        self.digits.len()
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
        }
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    if digits.len() > MAX_EXPONENT_DIGITS {
        return None;
    }
    // `parse` accepts one sign.
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_are_compared_by_value() {
        for (one, other) in [
            ("0.10", "0.1"),
            ("1", "1.0"),
            ("100", "1e2"),
            ("1E+2", "100.000"),
            ("0", "-0.0"),
            ("0e99", "0"),
            ("-1.5", "-15e-1"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0.00012", "12e-5"),
        ] {
            assert_eq!(number(one), number(other), "{one} {other}");
        }
        let ascending = [
            "-1e30",
            "-9007199254740993",
            "-9007199254740992",
            "-2",
            "-0.1",
            "0",
            "1e-30",
            "0.1",
            "0.1000000000000000055",
            "0.2",
            "1",
            "9007199254740992",
            "9007199254740993",
            "123456789012345678901234567890",
            "123456789012345678901234567891",
            "1e400",
            "2e400",
        ];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]) && number(pair[1]) > number(pair[0]), "{pair:?}");
        }
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "1e5.0",
            "0x10",
            "1,5",
            "1 ",
            "inf",
            "NaN",
            "--1",
            "1e1e1",
            "1e+-5",
            "1e9999999999999999",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_floating_point_where_it_is_exact(one in -1_000_000_i32..1_000_000, other in -1_000_000_i32..1_000_000, scale in 0..6_u32) {
            let decimal = |n: i32| number(&format!("{}e-{scale}", n));
            prop_assert_eq!(decimal(one).cmp(&decimal(other)), one.cmp(&other));
            let float = f64::from(one) / 10f64.powi(scale.cast_signed());
            prop_assert_eq!(Decimal::from_f64(float), Some(decimal(one)));
        }
    }
}
