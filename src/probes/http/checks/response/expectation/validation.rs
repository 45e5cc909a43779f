//! Validation of an expectation.

use hyper::header::HeaderName;
use serde_json::Value;

use super::{
    super::{decimal::Decimal, json::EXACT_DIGITS},
    Expectation,
};

impl Expectation {
    /// Rejects an expectation that expects nothing or can't be met.
    ///
    /// # Errors
    /// An explanation.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let fixed = [
            self.status.is_some(),
            self.text.is_some(),
            self.not_text.is_some(),
            self.regex.is_some(),
            self.not_regex.is_some(),
        ];
        let compared = [self.header.is_some(), self.json.is_some(), self.fact.is_some()];
        let count = |set: &[bool]| set.iter().filter(|set| **set).count();
        if count(&fixed) + count(&compared) != 1 {
            return Err(
                "write exactly one of `status`, `header`, `text`, `not_text`, `regex`, `not_regex`, `json` and \
                        `fact`"
                    .to_owned(),
            );
        }
        if self.text.as_deref() == Some("") || self.not_text.as_deref() == Some("") {
            return Err("every body contains the empty text".to_owned());
        }
        if self.header.as_deref().is_some_and(|name| HeaderName::from_bytes(name.as_bytes()).is_err()) {
            return Err("not a name for a header".to_owned());
        }
        match (count(&compared), self.comparisons()) {
            (0, 0) if self.number || self.unit.is_some() || self.optional || self.any => {
                Err("`number`, `unit`, `optional` and `any` are for `header`, `json` and `fact`".to_owned())
            }
            (0, 0) => Ok(()),
            (0, _) => Err("comparisons are for `header`, `json` and `fact`".to_owned()),
            (_, 0) => Err("nothing is expected of it: add `equals`, `matches`, `min`, `max`, `one_of`, or \
                           `exists: true`"
                .to_owned()),
            (_, several) => self.validate_comparisons(several),
        }
    }

    fn comparisons(&self) -> usize {
        let set = [
            self.exists.is_some(),
            self.equals.is_some(),
            self.not_equals.is_some(),
            self.one_of.is_some(),
            self.absent_or_not.is_some(),
            self.matches.is_some(),
            self.not_matches.is_some(),
            self.version.is_some(),
            self.min.is_some(),
            self.max.is_some(),
            self.min_age.is_some(),
            self.max_age.is_some(),
            self.min_length.is_some(),
            self.max_length.is_some(),
        ];
        set.into_iter().filter(|set| *set).count()
    }

    fn validate_comparisons(&self, count: usize) -> Result<(), String> {
        if self.exists == Some(false) && count > 1 {
            return Err("a value that must not exist can't be compared".to_owned());
        }
        if self.optional && (self.exists.is_some() || self.absent_or_not.is_some()) {
            return Err("`optional` accepts a missing value: remove it, or `exists` and `absent_or_not`".to_owned());
        }
        if self.any && (self.exists.is_some() || self.absent_or_not.is_some()) {
            return Err("`any` needs a comparison other than `exists` and `absent_or_not`".to_owned());
        }
        if self.one_of.as_ref().is_some_and(Vec::is_empty) {
            return Err("`one_of: []` can never be met".to_owned());
        }
        if self.absent_or_not.is_some() && count > 1 {
            return Err(
                "`absent_or_not` accepts a missing value, and other comparisons do not: write it alone, or use \
                 `optional: true`"
                    .to_owned(),
            );
        }
        let listed = self.one_of.iter().flatten();
        let expected = self.equals.iter().chain(&self.not_equals).chain(&self.absent_or_not).chain(listed);
        if let Some(number) = expected.clone().find_map(rounded_number) {
            return Err(format!(
                "{number} may be rounded, because it has more than {EXACT_DIGITS} digits: write its digits in quotes, \
                 and add `number: true`"
            ));
        }
        self.validate_numbers()?;
        match (self.min_length, self.max_length) {
            (Some(0), None) => Err("nothing is shorter than `min_length: 0`".to_owned()),
            (Some(min), Some(max)) if min > max => {
                Err("`min_length` is above `max_length`: that can never be met".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A number in a configured value that the parser of the configuration may have rounded.
fn rounded_number(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            Decimal::parse(&text).is_some_and(|exact| exact.significant_digits() > EXACT_DIGITS).then_some(text)
        }
        Value::Array(list) => list.iter().find_map(rounded_number),
        Value::Object(map) => map.values().find_map(rounded_number),
        _ => None,
    }
}
