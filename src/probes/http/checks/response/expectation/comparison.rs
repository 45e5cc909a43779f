//! The comparisons of an expectation with each value of a header or of a JSON path.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::{
    Compared, Evaluation, Expectation, Finding,
    number::{NoNumber, NumericKind},
    wrong,
};
use crate::model::{
    measure::{Bound, Measure},
    pattern::{Pattern, TooLong},
    text::excerpt,
    words::{Outcome, Reason},
};

impl Expectation {
    /// Compares each value; hidden values are not quoted.
    pub(super) fn compare(&self, compared: &Compared<'_>, values: &[&Value]) -> Evaluation {
        let what = compared.text;
        let finding = match (self.exists, values.is_empty()) {
            (Some(false), true) => return Evaluation::default(),
            (Some(false), false) => Some(wrong(Reason::Body, format!("{what} is there, expected none"))),
            (_, true) if self.absent_or_not.is_some() => return Evaluation::default(),
            (_, true) => Some(wrong(Reason::Body, format!("{what} is missing"))),
            (_, false) => None,
        };
        if finding.is_some() {
            return Evaluation { finding, measures: Vec::new() };
        }
        let mut result = Evaluation::default();
        for value in values {
            let finding = self.difference(value).map(|expected| {
                wrong(Reason::Body, format!("{what} is {}, expected {expected}", shown(value, compared.is_hidden)))
            });
            result.worsen(finding, Vec::new());
            if let Some(kind) = self.numeric_kind() {
                self.compare_number(kind, compared, value, &mut result);
            }
        }
        result.worsen(self.unmatched(compared, values), Vec::new());
        result.worsen(self.matched(compared, values), Vec::new());
        result
    }

    /// Compares the number of a value with its limits.
    fn compare_number(&self, kind: NumericKind, compared: &Compared<'_>, value: &Value, result: &mut Evaluation) {
        let shown = || shown(value, compared.is_hidden);
        let number = match self.number_of(kind, value, compared.now) {
            Ok(number) => number,
            Err(NoNumber::Wrong(expected)) => {
                let text = format!("{} is {}, expected {expected}", compared.text, shown());
                return result.worsen(Some(wrong(Reason::Body, text)), Vec::new());
            }
            Err(NoNumber::Unknown(text)) => {
                let text = if compared.is_hidden { "the time is in the future".to_owned() } else { text };
                let finding =
                    Finding { outcome: Outcome::Unknown(Reason::Parse), text: format!("{}: {text}", compared.text) };
                return result.worsen(Some(finding), Vec::new());
            }
        };
        let measures = self.measures(kind, compared.measure, number);
        // `equals` has its finding already, with all digits.
        let limits = measures.iter().filter(|measure| measure.bound != Bound::Equals);
        let finding = limits.max_by_key(|measure| measure.outcome().severity_order()).and_then(|measure| {
            let name = kind.name_of(compared);
            let against = measure.limit_phrase();
            let text = match kind {
                _ if compared.is_hidden => format!("{name} is <hidden>{against}"),
                NumericKind::Age => format!("{name} is {}{against} ({})", measure.unit.display_value(number), shown()),
                _ => format!("{name} is {}{against}", measure.unit.display_value(number)),
            };
            let outcome = measure.outcome();
            (outcome != Outcome::Pass).then_some(Finding { outcome, text })
        });
        // A measure would show a hidden value.
        result.worsen(finding, if compared.is_hidden { Vec::new() } else { measures });
    }

    /// Finds the first value that `matches` does not match.
    fn unmatched(&self, compared: &Compared<'_>, values: &[&Value]) -> Option<Finding> {
        let pattern = self.matches.as_ref()?;
        let found = first_text(pattern, values, |is_match| !is_match);
        pattern_finding(pattern, found, compared, "a match of")
    }

    /// Finds the first value that `not_matches` matches.
    fn matched(&self, compared: &Compared<'_>, values: &[&Value]) -> Option<Finding> {
        let pattern = self.not_matches.as_ref()?;
        let found = first_text(pattern, values, |is_match| is_match);
        pattern_finding(pattern, found, compared, "no match of")
    }

    /// Describes the expected value if a value differs from it; patterns and numbers aside.
    fn difference(&self, value: &Value) -> Option<String> {
        let compact = |value: &Value| excerpt(&value.to_string(), 60);
        if let Some(expected) = self.equals.as_ref().filter(|expected| !self.is_same(value, expected)) {
            return Some(compact(expected));
        }
        let unwanted = self.not_equals.iter().chain(&self.absent_or_not).find(|unwanted| self.is_same(value, unwanted));
        if let Some(unwanted) = unwanted {
            return Some(format!("anything but {}", compact(unwanted)));
        }
        if let Some(all) = self.one_of.as_ref().filter(|all| !all.iter().any(|one| self.is_same(value, one))) {
            let shown: Vec<_> = all.iter().take(5).map(compact).collect();
            return Some(excerpt(&format!("one of {}", shown.join(", ")), 100));
        }
        None
    }

    /// Numbers are the same by value (1 is 1.0). A header is a text; a JSON text is a number if `number` is set.
    fn is_same(&self, value: &Value, expected: &Value) -> bool {
        match (value, expected) {
            (Value::String(text), Value::Number(_) | Value::Bool(_)) if self.header.is_some() => {
                *text == text_of(expected)
            }
            (Value::String(_), Value::Number(expected)) if self.number => self.parse_number(value) == expected.as_f64(),
            (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
            (value, expected) => value == expected,
        }
    }
}

/// Finds the first value whose text matches, or does not match, as `is_wanted` tells. The number of bytes of all texts is
/// returned with the error if they are too long.
fn first_text<'a>(
    pattern: &Pattern,
    values: &[&'a Value],
    is_wanted: impl Fn(bool) -> bool,
) -> Result<Option<&'a Value>, (usize, TooLong)> {
    let texts: Vec<_> = values.iter().map(|value| text_of(value)).collect();
    let length = texts.iter().map(|text| text.len()).sum();
    let mut search = pattern.searcher(length).map_err(|error| (length, error))?;
    for (value, text) in values.iter().zip(&texts) {
        if is_wanted(search.is_match(text.as_bytes()).map_err(|error| (length, error))?) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn pattern_finding(
    pattern: &Pattern,
    found: Result<Option<&Value>, (usize, TooLong)>,
    compared: &Compared<'_>,
    expected: &str,
) -> Option<Finding> {
    let pattern = excerpt(&pattern.to_string(), 60);
    match found {
        Ok(value) => value.map(|value| {
            let shown = shown(value, compared.is_hidden);
            wrong(Reason::Body, format!("{} is {shown}, expected {expected} `{pattern}`", compared.text))
        }),
        Err((length, error)) => Some(Finding {
            outcome: Outcome::Unknown(Reason::TooLarge),
            text: format!("{length} bytes are too long for `{pattern}`: {error}"),
        }),
    }
}

impl Evaluation {
    /// Keeps the first of the worst findings, and of several values the measures with the least headroom.
    fn worsen(&mut self, finding: Option<Finding>, measures: Vec<Measure>) {
        let badness =
            |finding: &Option<Finding>| finding.as_ref().map_or(0, |finding| finding.outcome.severity_order());
        if badness(&finding) > badness(&self.finding) {
            self.finding = finding;
        }
        let headroom =
            |measures: &[Measure]| measures.iter().filter_map(Measure::headroom).fold(f64::INFINITY, f64::min);
        if !measures.is_empty() && (self.measures.is_empty() || headroom(&measures) < headroom(&self.measures)) {
            self.measures = measures;
        }
    }
}

/// Integers of up to 64 bits are compared exactly: as floating point, 9007199254740993 would be 9007199254740992.
fn is_same_number(one: &Number, other: &Number) -> bool {
    let integer = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.as_f64() == other.as_f64(),
    }
}

fn shown(value: &Value, is_hidden: bool) -> String {
    if is_hidden { "<hidden>".to_owned() } else { excerpt(&value.to_string(), 60) }
}

fn text_of(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::from)
}
