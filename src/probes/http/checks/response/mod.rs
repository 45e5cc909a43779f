#![doc = include_str!("response.md")]

mod expectation;

use std::{cmp::Reverse, collections::HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::expectation::{Expectation, Finding, Subject};
use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        measure::{Measure, MeasureInfo},
        observation::{Observation, Timing},
        units::Unit,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::http::{HttpFactRequest, HttpFacts, HttpResponse},
};

/// Expectations on the response.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Expectations in the order of evaluation. The finding states the first expectation with the worst result.
    expect: Vec<Expectation>,
}

/// The measures of numeric expectations in their order.
const MEASURES: &[MeasureInfo] = &[
    measure("value", "The number, age or length of the first numeric expectation, in its unit."),
    measure("value_2", "The same of the second numeric expectation."),
    measure("value_3", "The same of the third numeric expectation."),
    measure("value_4", "The same of the fourth numeric expectation."),
    measure("value_5", "The same of the fifth numeric expectation."),
    measure("value_6", "The same of the sixth numeric expectation."),
    measure("value_7", "The same of the seventh numeric expectation."),
    measure("value_8", "The same of the eighth numeric expectation."),
];

const fn measure(name: &'static str, help: &'static str) -> MeasureInfo {
    MeasureInfo::new(name, Unit::Number, help)
}

impl CheckKind<HttpFacts> for Response {
    const NAME: &'static str = "response";
    const CATEGORY: Category = Category::Health;
    const SEVERITY: Severity = Severity::Critical;
    const MEASURES: &'static [MeasureInfo] = MEASURES;
    const DOC: &'static str = include_str!("response.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.expect.is_empty() {
            return Err(Invalid::at("expect", "an empty list expects nothing: add an expectation or remove the check"));
        }
        if self.expect.iter().filter(|expectation| expectation.is_numeric()).count() > MEASURES.len() {
            let text = format!("more than {} numeric expectations: write a second `response` check", MEASURES.len());
            return Err(Invalid::at("expect", text));
        }
        let mut names = HashSet::new();
        for (at, expectation) in self.expect.iter().enumerate() {
            let which = || format!("expectation {} ({})", at + 1, expectation.name());
            expectation.validate().map_err(|why| Invalid::at("expect", format!("{}: {why}", which())))?;
            if !names.insert(expectation.name()) {
                let text = format!("{}: the name is there twice; give each a `name` of its own", which());
                return Err(Invalid::at("expect", text));
            }
        }
        Ok(())
    }
}

impl Check<HttpFacts> for Response {
    fn judge(&mut self, seen: &Observation<HttpFacts>) -> Verdict {
        match seen.facts_or_verdict().map(|facts| &facts.response) {
            Ok(Some(response)) => self.verdict(response, seen.epoch_seconds()),
            Ok(None) => Verdict::new(Outcome::Unknown(Reason::Empty), "there was no response"),
            Err(verdict) => verdict,
        }
    }

    fn limits(&self) -> Vec<Measure> {
        self.expectations().flat_map(|(expectation, measure)| expectation.limits(measure)).collect()
    }

    fn requested_facts(&self) -> Vec<HttpFactRequest> {
        if self.expect.iter().any(Expectation::looks_into_the_body) { vec![HttpFactRequest::Body] } else { Vec::new() }
    }
}

impl Response {
    /// The expectations, each with the name of its measure.
    fn expectations(&self) -> impl Iterator<Item = (&Expectation, &'static str)> {
        let mut names = MEASURES.iter().map(|info| info.name);
        self.expect.iter().map(move |expectation| {
            let name = if expectation.is_numeric() { names.next() } else { None };
            (expectation, name.unwrap_or_default())
        })
    }

    fn verdict(&self, answered: &HttpResponse, now: f64) -> Verdict {
        let body = answered.body.as_deref().unwrap_or_default();
        let wanted = self.expect.iter().any(|expectation| matches!(expectation.subject(), Some(Subject::Json(_))));
        let document = wanted.then(|| read_json(body));
        let mut findings = Vec::new();
        let mut measures = Vec::new();
        for (expectation, measure) in self.expectations() {
            let found = expectation.evaluate(answered, body, document.as_ref(), (measure, now));
            measures.extend(found.measures);
            findings.extend(found.finding.map(|finding| (expectation.name(), finding)));
        }
        // The first of the worst: what warns is a finding too, but only where nothing is worse.
        let worst = findings.iter().min_by_key(|(_, finding)| Reverse(finding.outcome.severity_order()));
        let verdict = match worst {
            Some((name, Finding { outcome, text })) => Verdict::new(*outcome, format!("{name}: {text}")),
            None if self.expect.len() == 1 => Verdict::new(Outcome::Pass, "the expectation is met"),
            None => Verdict::new(Outcome::Pass, format!("all {} expectations are met", self.expect.len())),
        };
        Verdict { measures, ..verdict }
    }
}

/// Why a body is no JSON document to look into.
enum Unreadable {
    Syntax(serde_json::Error),
    TooManyValues,
}

/// Values of a document: each takes about a hundred bytes, however short it is in the body.
const MAX_JSON_VALUES: usize = 250_000;

fn read_json(body: &[u8]) -> Result<Value, Unreadable> {
    // RFC 8259, section 8.1: a parser may ignore a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Counted before anything is allocated.
    if count_values(body) > MAX_JSON_VALUES {
        return Err(Unreadable::TooManyValues);
    }
    serde_json::from_slice(body).map_err(Unreadable::Syntax)
}

/// Every value and every key but the first follows one of four characters outside of strings.
fn count_values(body: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' | b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests;
