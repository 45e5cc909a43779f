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
        measure::MeasureInfo,
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
    /// Expectations in the order of evaluation. The finding is the first one with the worst result.
    expect: Vec<Expectation>,
}

impl CheckKind<HttpFacts> for Response {
    const NAME: &'static str = "response";
    const CATEGORY: Category = Category::Health;
    const SEVERITY: Severity = Severity::Critical;
    const MEASURES: &'static [MeasureInfo] = &[MeasureInfo::new(
        "value",
        Unit::Number,
        "A number in the response; of several the one closest to its limit.",
    )];
    const DOC: &'static str = include_str!("response.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.expect.is_empty() {
            return Err(Invalid::at("expect", "an empty list expects nothing: add an expectation or remove the check"));
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
            Ok(Some(response)) => self.verdict(response),
            Ok(None) => Verdict::new(Outcome::Unknown(Reason::Empty), "there was no response"),
            Err(verdict) => verdict,
        }
    }

    fn requested_facts(&self) -> Vec<HttpFactRequest> {
        if self.expect.iter().any(Expectation::looks_into_the_body) { vec![HttpFactRequest::Body] } else { Vec::new() }
    }
}

impl Response {
    fn verdict(&self, answered: &HttpResponse) -> Verdict {
        let body = answered.body.as_deref().unwrap_or_default();
        let wanted = self.expect.iter().any(|expectation| matches!(expectation.subject(), Some(Subject::Json(_))));
        let document = wanted.then(|| read_json(body));
        let mut findings = Vec::new();
        let mut measures = Vec::new();
        for expectation in &self.expect {
            let found = expectation.evaluate(answered, body, document.as_ref());
            measures.extend(found.measure);
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
