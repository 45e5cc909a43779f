//! The comparisons of an expectation with each value of a header, a JSON path or a fact.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

use super::{
    super::{
        decimal::Decimal,
        json::{digits_of, json_text},
    },
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

/// The results of a regular expression for each value, or the number of bytes that are too long for it.
type Matches = Result<Vec<bool>, (usize, TooLong)>;

impl Expectation {
    /// Compares each value; hidden values are not quoted.
    pub(super) fn compare(&self, compared: &Compared<'_>, values: &[&Value]) -> Evaluation {
        let what = compared.text;
        let finding = match (self.exists, values.is_empty()) {
            (Some(false), true) => return Evaluation::default(),
            (Some(false), false) => Some(wrong(Reason::Body, format!("{what} is there, expected none"))),
            (_, true) if self.absent_or_not.is_some() || self.optional => return Evaluation::default(),
            (_, true) => Some(wrong(Reason::Body, format!("{what} is missing"))),
            (_, false) => None,
        };
        if finding.is_some() {
            return Evaluation { finding, measures: Vec::new() };
        }
        let matches = self.matches.as_ref().map(|pattern| match_each(pattern, values));
        let not_matches = self.not_matches.as_ref().map(|pattern| match_each(pattern, values));
        let evaluations = values.iter().enumerate().map(|(at, value)| {
            let mut result = self.compare_value(compared, value);
            for (matches, is_wanted, pattern) in
                [(&matches, true, &self.matches), (&not_matches, false, &self.not_matches)]
            {
                if let (Some(matches), Some(pattern)) = (matches, pattern) {
                    result.worsen(pattern_finding(pattern, matches, at, is_wanted, compared, value), Vec::new());
                }
            }
            result
        });
        if self.any {
            let best = evaluations.min_by_key(Evaluation::badness).unwrap_or_default();
            let text = |text| match values.len() {
                1 => text,
                count => format!("none of the {count} values is accepted; the first: {text}"),
            };
            let finding = best.finding.map(|finding| Finding { text: text(finding.text), ..finding });
            return Evaluation { finding, ..best };
        }
        evaluations.fold(Evaluation::default(), |mut all, next| {
            all.worsen(next.finding, next.measures);
            all
        })
    }

    fn compare_value(&self, compared: &Compared<'_>, value: &Value) -> Evaluation {
        let mut result = Evaluation::default();
        let finding = self.difference(value).map(|expected| {
            let text = format!("{} is {}, expected {expected}", compared.text, shown(value, compared.is_hidden));
            wrong(Reason::Body, text)
        });
        result.worsen(finding, Vec::new());
        if let Some(kind) = self.numeric_kind() {
            self.compare_number(kind, compared, value, &mut result);
        }
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
        let exact =
            || exact_number(value, self.is_text() || self.number).filter(|_| matches!(kind, NumericKind::Number(_)));
        let finding = finding.or_else(|| rounded_beyond(&exact()?, &measures, compared, &shown()));
        // A measure would show a hidden value.
        result.worsen(finding, if compared.is_hidden { Vec::new() } else { measures });
    }

    /// Describes the expected value if a value differs from it; patterns and limits aside.
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
        match self.version.as_ref().map(|required| (required, required.is_met_by(&text_of(value)))) {
            Some((required, None)) => Some(format!("a version {required}")),
            Some((required, Some(false))) => Some(required.to_string()),
            _ => None,
        }
    }

    /// Numbers are the same by value: 1 is 1.0. A header is a text; a JSON text is a number if `number` is set.
    fn is_same(&self, value: &Value, expected: &Value) -> bool {
        let reads_text = self.number || (self.is_text() && expected.is_number());
        let numbers = (exact_number(value, reads_text), exact_number(expected, self.number));
        if let (Some(one), Some(other)) = numbers {
            return one == other;
        }
        match (value, expected) {
            (Value::String(text), Value::Number(_) | Value::Bool(_)) if self.is_text() => *text == text_of(expected),
            (Value::Array(list), Value::Array(expected)) => {
                list.len() == expected.len() && list.iter().zip(expected).all(|(one, other)| self.is_same(one, other))
            }
            (Value::Object(map), Value::Object(expected)) => {
                let is_in_map = |(key, value)| map.get(key).is_some_and(|found| self.is_same(found, value));
                map.len() == expected.len() && expected.iter().all(is_in_map)
            }
            (value, expected) => value == expected,
        }
    }
}

/// The number of a value with all digits. `reads_text` tells whether the number may be in a text.
fn exact_number(value: &Value, reads_text: bool) -> Option<Decimal> {
    match (digits_of(value), value) {
        (Some(digits), _) => Decimal::parse(&digits),
        (None, Value::String(text)) if reads_text => Decimal::parse(text.trim()),
        _ => None,
    }
}

/// Applies a regular expression to each value. The bytes of all values are bounded together.
fn match_each(pattern: &Pattern, values: &[&Value]) -> Matches {
    let texts: Vec<_> = values.iter().map(|value| text_of(value)).collect();
    let length = texts.iter().map(|text| text.len()).sum();
    let mut search = pattern.searcher(length).map_err(|error| (length, error))?;
    texts.iter().map(|text| search.is_match(text.as_bytes()).map_err(|error| (length, error))).collect()
}

fn pattern_finding(
    pattern: &Pattern,
    matches: &Matches,
    at: usize,
    is_wanted: bool,
    compared: &Compared<'_>,
    value: &Value,
) -> Option<Finding> {
    let pattern = excerpt(&pattern.to_string(), 60);
    match matches {
        Ok(matches) if matches.get(at) == Some(&is_wanted) => None,
        Ok(_) => {
            let expected = if is_wanted { "a match of" } else { "no match of" };
            let shown = shown(value, compared.is_hidden);
            Some(wrong(Reason::Body, format!("{} is {shown}, expected {expected} `{pattern}`", compared.text)))
        }
        Err((length, error)) => Some(Finding {
            outcome: Outcome::Unknown(Reason::TooLarge),
            text: format!("{}: {length} bytes are too long for `{pattern}`: {error}", compared.text),
        }),
    }
}

/// The finding for a number that is beyond a limit although both are the same as floating point.
fn rounded_beyond(exact: &Decimal, measures: &[Measure], compared: &Compared<'_>, shown: &str) -> Option<Finding> {
    measures.iter().find_map(|measure| {
        let beyond = match measure.bound {
            Bound::Max => Ordering::Greater,
            Bound::Min => Ordering::Less,
            _ => return None,
        };
        let is_beyond = |limit: Option<f64>| {
            limit
                .filter(|limit| *limit == measure.value)
                .and_then(Decimal::from_f64)
                .is_some_and(|limit| exact.cmp(&limit) == beyond)
        };
        let outcome = match (is_beyond(measure.fail), is_beyond(measure.warn)) {
            (true, _) => Outcome::Fail(Reason::Limit),
            (false, true) => Outcome::Warn,
            (false, false) => return None,
        };
        let side = if beyond == Ordering::Greater { "above" } else { "below" };
        let limit = measure.unit.display_value(measure.value);
        Some(Finding { outcome, text: format!("{} is {shown}, {side} the limit of {limit}", compared.text) })
    })
}

impl Evaluation {
    /// Rank of the finding; 0 without one.
    fn badness(&self) -> u8 {
        self.finding.as_ref().map_or(0, |finding| finding.outcome.severity_order())
    }

    /// Keeps the first of the worst findings, and of several values the measures with the least headroom.
    fn worsen(&mut self, finding: Option<Finding>, measures: Vec<Measure>) {
        if finding.as_ref().map_or(0, |finding| finding.outcome.severity_order()) > self.badness() {
            self.finding = finding;
        }
        let headroom =
            |measures: &[Measure]| measures.iter().filter_map(Measure::headroom).fold(f64::INFINITY, f64::min);
        if !measures.is_empty() && (self.measures.is_empty() || headroom(&measures) < headroom(&self.measures)) {
            self.measures = measures;
        }
    }
}

fn shown(value: &Value, is_hidden: bool) -> String {
    if is_hidden { "<hidden>".to_owned() } else { excerpt(&json_text(value), 60) }
}

/// The text of a value: the content of a text, the JSON notation of another value.
fn text_of(value: &Value) -> Cow<'_, str> {
    match (digits_of(value), value) {
        (Some(digits), _) => digits,
        (None, Value::String(text)) => text.into(),
        (None, value) => json_text(value).into(),
    }
}
