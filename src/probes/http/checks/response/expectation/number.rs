//! Numeric expectations: numbers, ages and lengths, each with its limits as measures.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    super::{decimal::Decimal, json::digits_of},
    Compared, Expectation,
};
use crate::{
    checks::age::{self, AgeLimits},
    model::{
        limit::{Limit, Range},
        measure::{Bound, Measure},
        units::{Quantity, Unit, ValueUnit, common_unit},
    },
};

/// The quantity that a numeric expectation compares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NumericKind {
    /// The number itself, in a unit.
    Number(Unit),
    /// The time since the value.
    Age,
    /// The number of characters, items or keys.
    Length,
}

impl Expectation {
    /// The quantity that is compared with limits; `None` if the expectation is not numeric.
    pub(super) fn numeric_kind(&self) -> Option<NumericKind> {
        let unit = || self.known_unit().ok().flatten().map_or(Unit::Number, Unit::from);
        let equals_number = self.equals.as_ref().is_some_and(Value::is_number);
        match () {
            () if self.age_limits().are_set() => Some(NumericKind::Age),
            () if !self.range().is_unbounded() || equals_number => Some(NumericKind::Number(unit())),
            () if self.min_length.is_some() || self.max_length.is_some() => Some(NumericKind::Length),
            () => None,
        }
    }

    /// Whether the expectation is exported as a measure.
    pub(crate) fn is_numeric(&self) -> bool {
        self.numeric_kind().is_some()
    }

    /// The limits as measures without a value.
    pub(crate) fn limits(&self, measure: &'static str) -> Vec<Measure> {
        self.numeric_kind().map(|kind| self.measures(kind, measure, f64::NAN)).unwrap_or_default()
    }

    /// Rejects numeric settings that contradict each other.
    pub(super) fn validate_numbers(&self) -> Result<(), String> {
        let (has_range, has_age) = (!self.range().is_unbounded(), self.age_limits().are_set());
        let has_length = self.min_length.is_some() || self.max_length.is_some();
        let has_equals = self.equals.as_ref().is_some_and(Value::is_number);
        if [has_range || has_equals, has_age, has_length].into_iter().filter(|is_set| *is_set).count() > 1 {
            return Err("a value is compared as a number, as a time or by its length: write one expectation for each"
                .to_owned());
        }
        if self.range().is_crossed() {
            return Err("`min` is above `max`: that can never be met".to_owned());
        }
        self.age_limits().validate().map_err(|(key, message)| format!("`{key}`: {message}"))?;
        let is_number = |value: &Value| {
            value.is_number() || value.as_str().is_some_and(|text| Decimal::parse(text.trim()).is_some())
        };
        let listed = self.one_of.iter().flatten();
        let mut expected = self.equals.iter().chain(&self.not_equals).chain(&self.absent_or_not).chain(listed);
        if self.number && !has_range && !has_age && !expected.any(is_number) {
            let text = "`number` needs `min`, `max`, `min_age`, `max_age`, or a number to compare with";
            return Err(text.to_owned());
        }
        if self.unit.is_some() && !has_range && !has_equals {
            return Err("`unit` needs `min`, `max` or a number in `equals`".to_owned());
        }
        self.known_unit().map(|_| ())
    }

    /// The number of a value in the quantity that is compared.
    ///
    /// # Errors
    /// The reason why the value has no such number.
    pub(super) fn number_of(&self, kind: NumericKind, value: &Value, now: f64) -> Result<f64, NoNumber> {
        match kind {
            NumericKind::Number(_) => {
                self.parse_number(value).ok_or_else(|| NoNumber::Wrong(self.expected_number(value)))
            }
            NumericKind::Length => {
                length(value).map(|length| length as f64).ok_or(NoNumber::Wrong("something with a length".into()))
            }
            NumericKind::Age => {
                let time = self.parse_number(value).or_else(|| value.as_str().and_then(age::parse_time));
                let expected = "a time in RFC 3339 or in seconds since 1970";
                age::age(time.ok_or(NoNumber::Wrong(expected.into()))?, now).map_err(NoNumber::Unknown)
            }
        }
    }

    /// Compares a number with each limit.
    pub(super) fn measures(&self, kind: NumericKind, measure: &'static str, number: f64) -> Vec<Measure> {
        let name = self.name();
        let single =
            |unit, bound, fail| Measure { name: measure, subject: None, value: number, unit, bound, warn: None, fail };
        let mut measures = match kind {
            NumericKind::Number(unit) => self.range().measures_as(measure, number, unit),
            NumericKind::Age => self.age_limits().measures(measure, number),
            NumericKind::Length => {
                let least = self.min_length.map(|limit| single(Unit::Number, Bound::Min, Some(limit as f64)));
                let most = self.max_length.map(|limit| single(Unit::Number, Bound::Max, Some(limit as f64)));
                least.into_iter().chain(most).collect()
            }
        };
        if let (NumericKind::Number(unit), Some(equals)) = (kind, self.equals.as_ref().and_then(Value::as_f64)) {
            measures.push(single(unit, Bound::Equals, Some(equals)));
        }
        measures.into_iter().map(|measure| measure.with_subject(&*name)).collect()
    }

    /// Reads a number. A text counts if it is a header or if `number` is set.
    pub(super) fn parse_number(&self, value: &Value) -> Option<f64> {
        let number = match value {
            Value::String(text) => match digits_of(value) {
                Some(digits) => digits.parse().ok(),
                None if self.is_text() || self.number => text.trim().parse().ok(),
                None => None,
            },
            value => value.as_f64(),
        };
        number.filter(|number: &f64| !number.is_nan())
    }

    /// Whether the values are texts: they are headers or facts, and not JSON.
    pub(super) fn is_text(&self) -> bool {
        self.json.is_none()
    }

    fn expected_number(&self, value: &Value) -> Cow<'static, str> {
        let is_text_of_number = value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok_and(f64::is_finite));
        if is_text_of_number { "a number; `number: true` reads it from a text".into() } else { "a number".into() }
    }

    fn range(&self) -> Range<Quantity> {
        Range { min: self.min, max: self.max }
    }

    fn age_limits(&self) -> AgeLimits {
        AgeLimits { min: self.min_age, max: self.max_age }
    }

    fn known_unit(&self) -> Result<Option<ValueUnit>, String> {
        let min = self.min.iter().flat_map(Limit::steps_as_written);
        let max = self.max.iter().flat_map(Limit::steps_as_written);
        common_unit(self.unit, min.chain(max))
    }
}

/// Reason why a value has no number.
pub(super) enum NoNumber {
    /// The value is of the wrong kind; the text names the expected kind.
    Wrong(Cow<'static, str>),
    /// The number can't be known, with an explanation.
    Unknown(String),
}

impl NumericKind {
    /// The name of the compared quantity in findings.
    pub(super) fn name_of(self, compared: &Compared<'_>) -> String {
        match self {
            Self::Number(_) => compared.text.to_owned(),
            Self::Age => format!("the age of {}", compared.text),
            Self::Length => format!("the length of {}", compared.text),
        }
    }
}

/// The number of characters of a text, items of a list or keys of an object.
fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(_) if digits_of(value).is_some() => None,
        Value::String(text) => Some(text.chars().count()),
        Value::Array(list) => Some(list.len()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}
