//! The comparisons of an expectation: what must hold of each value of a header or of a JSON path.

use std::{borrow::Cow, fmt::Display};

use serde_json::Value;

use super::{Evaluation, Expectation, Finding, wrong};
use crate::model::{
    measure::Measure,
    text::excerpt,
    words::{Outcome, Reason},
};

impl Expectation {
    /// Holds all of them against each value; a hidden one is not quoted.
    pub(crate) fn compare(&self, what: &str, values: &[&Value], hidden: bool) -> Evaluation {
        let finding = match (self.exists, values.is_empty()) {
            (Some(false), true) => return Evaluation::default(),
            (Some(false), false) => Some(wrong(Reason::Body, format!("{what} is there, expected none"))),
            (_, true) => Some(wrong(Reason::Body, format!("{what} is missing"))),
            (_, false) => None,
        };
        if finding.is_some() {
            return Evaluation { finding, measure: None };
        }
        let mut held = Evaluation::default();
        for value in values {
            let shown = shown(value, hidden);
            let finding = self
                .differs(value)
                .map(|expected| wrong(Reason::Body, format!("{what} is {shown}, expected {expected}")));
            held.worsen(finding, None);
            for measure in self.measures(value, hidden) {
                let text = measure.to_string();
                let finding = match measure.outcome() {
                    Outcome::Pass => None,
                    outcome => Some(Finding { outcome, text: text.replacen(&*measure.display_name(), what, 1) }),
                };
                held.worsen(finding, Some(measure));
            }
        }
        held.worsen(self.unmatched(what, values, hidden), None);
        held
    }

    /// The first value that does not match, or that all together are too long to tell.
    fn unmatched(&self, what: &str, values: &[&Value], hidden: bool) -> Option<Finding> {
        let pattern = self.matches.as_ref()?;
        let texts: Vec<_> = values.iter().map(|value| text_of(value)).collect();
        let length = texts.iter().map(|text| text.len()).sum();
        let first = pattern.searcher(length).and_then(|mut search| {
            for (value, text) in values.iter().zip(&texts) {
                if !search.is_match(text.as_bytes())? {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        });
        let pattern = excerpt(&pattern.to_string(), 60);
        match first {
            Ok(value) => value.map(|value| {
                let shown = shown(value, hidden);
                wrong(Reason::Body, format!("{what} is {shown}, expected a match of `{pattern}`"))
            }),
            Err(error) => Some(Finding {
                outcome: Outcome::Unknown(Reason::TooLarge),
                text: format!("{length} bytes are too long for `{pattern}`: {error}"),
            }),
        }
    }

    /// What was expected of a value that is something else, matches aside.
    fn differs(&self, value: &Value) -> Option<String> {
        let compact = |value: &Value| excerpt(&value.to_string(), 60);
        if let Some(expected) = self.equals.as_ref().filter(|expected| !self.same(value, expected)) {
            return Some(compact(expected));
        }
        if let Some(unwanted) = self.not_equals.as_ref().filter(|unwanted| self.same(value, unwanted)) {
            return Some(format!("anything but {}", compact(unwanted)));
        }
        if let Some(all) = self.one_of.as_ref().filter(|all| !all.iter().any(|one| self.same(value, one))) {
            let shown: Vec<_> = all.iter().take(5).map(compact).collect();
            return Some(excerpt(&format!("one of {}", shown.join(", ")), 100));
        }
        let number = |set: bool| (set && self.number(value).is_none()).then(|| "a number".to_owned());
        number(self.min.is_some() || self.max.is_some()).or_else(|| self.wrong_length(value))
    }

    fn wrong_length(&self, value: &Value) -> Option<String> {
        let (least, most) = (self.min_length, self.max_length);
        if least.is_none() && most.is_none() {
            return None;
        }
        let length = match value {
            Value::String(text) => text.chars().count(),
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => return Some("something with a length".to_owned()),
        };
        let bound = |word: &str, limit: &dyn Display| Some(format!("a length of {word} {limit} (it is {length})"));
        match (least, most) {
            (Some(least), _) if length < least => bound("at least", &least),
            (_, Some(most)) if length > most => bound("at most", &most),
            _ => None,
        }
    }

    /// The limits set on a number. A hidden value has none: it would show.
    fn measures(&self, value: &Value, hidden: bool) -> impl Iterator<Item = Measure> {
        let number = self.number(value).filter(|_| !hidden);
        let name = self.name();
        let min = number.zip(self.min).map(|(number, min)| min.measure("value", number).with_subject(&*name));
        let max = number.zip(self.max).map(|(number, max)| max.measure("value", number).with_subject(&*name));
        min.into_iter().chain(max)
    }

    fn number(&self, value: &Value) -> Option<f64> {
        let number = match value {
            Value::String(text) if self.header.is_some() => text.trim().parse().ok(),
            value => value.as_f64(),
        };
        number.filter(|number| !number.is_nan())
    }

    /// Numbers are the same by value (1 is 1.0); a header is text, whatever it is compared with.
    fn same(&self, value: &Value, expected: &Value) -> bool {
        match (value, expected) {
            (Value::String(text), Value::Number(_) | Value::Bool(_)) if self.header.is_some() => {
                *text == text_of(expected)
            }
            (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
            (value, expected) => value == expected,
        }
    }
}

impl Evaluation {
    /// The first of the worst findings stays; of several values of one path the measure with the least headroom.
    fn worsen(&mut self, finding: Option<Finding>, measure: Option<Measure>) {
        let badness =
            |finding: &Option<Finding>| finding.as_ref().map_or(0, |finding| finding.outcome.severity_order());
        if badness(&finding) > badness(&self.finding) {
            self.finding = finding;
        }
        let headroom =
            |measure: &Option<Measure>| measure.as_ref().and_then(Measure::headroom).unwrap_or(f64::INFINITY);
        if measure.is_some() && (self.measure.is_none() || headroom(&measure) < headroom(&self.measure)) {
            self.measure = measure;
        }
    }
}

fn shown(value: &Value, hidden: bool) -> String {
    if hidden { "<hidden>".to_owned() } else { excerpt(&value.to_string(), 60) }
}

fn text_of(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::from)
}
