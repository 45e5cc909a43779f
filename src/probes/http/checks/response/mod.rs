#![doc = include_str!("response.md")]

mod content;
mod decimal;
mod expectation;
mod json;
mod version;

use std::{cell::OnceCell, cmp::Reverse, collections::HashSet};

use hyper::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    content::BodyContent,
    expectation::{Expectation, Finding, Subject},
    json::{JsonDocument, Unreadable},
};
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
        match seen.facts_or_verdict().map(ResponseContent::new) {
            Ok(Some(content)) => self.verdict(&content, seen.epoch_seconds()),
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

    fn verdict(&self, content: &ResponseContent<'_>, now: f64) -> Verdict {
        let mut findings = Vec::new();
        let mut measures = Vec::new();
        for (expectation, measure) in self.expectations() {
            let found = expectation.evaluate(content, (measure, now));
            measures.extend(found.measures);
            findings.extend(found.finding.map(|finding| (expectation, finding)));
        }
        // The first of the worst findings. A warning is a finding, too.
        let worst = findings.iter().min_by_key(|(_, finding)| Reverse(finding.outcome.severity_order()));
        let verdict = match worst {
            Some((expectation, Finding { outcome, text })) => {
                let verdict = Verdict::new(*outcome, expectation.named_text(text));
                Verdict { meaning: meaning(expectation, *outcome), ..verdict }
            }
            None if self.expect.len() == 1 => Verdict::new(Outcome::Pass, "the expectation is met"),
            None => Verdict::new(Outcome::Pass, format!("all {} expectations are met", self.expect.len())),
        };
        Verdict { measures, ..verdict }
    }
}

/// Explains in alerts which part of the response does not meet an expectation.
fn meaning(expectation: &Expectation, outcome: Outcome) -> Option<&'static str> {
    match (outcome.reason()?, expectation.subject()?) {
        (Reason::Parse, Subject::Json(_)) => Some("the response is not valid JSON"),
        (Reason::Body, Subject::Text(_, true)) => Some("the response does not contain an expected text"),
        (Reason::Body, Subject::Text(_, false)) => Some("the response contains a forbidden text"),
        (Reason::Body, Subject::Regex(_, true)) => Some("the response does not match an expected pattern"),
        (Reason::Body, Subject::Regex(_, false)) => Some("the response matches a forbidden pattern"),
        (Reason::Body, Subject::Header(_)) => Some("a response header does not have the expected value"),
        (Reason::Body, Subject::Json(_)) => Some("a value in the response is not the expected value"),
        _ => None,
    }
}

/// A response with its decoded body and its JSON document, which are computed at most once.
struct ResponseContent<'a> {
    facts: &'a HttpFacts,
    response: &'a HttpResponse,
    content_type: Option<String>,
    content: OnceCell<BodyContent<'a>>,
    document: OnceCell<Result<JsonDocument, Unreadable>>,
}

impl<'a> ResponseContent<'a> {
    fn new(facts: &'a HttpFacts) -> Option<Self> {
        let response = facts.response.as_ref()?;
        let content_type = response.header_values(CONTENT_TYPE.as_str()).next();
        Some(Self { facts, response, content_type, content: OnceCell::new(), document: OnceCell::new() })
    }

    fn is_empty(&self) -> bool {
        self.response.body.as_deref().is_none_or(<[u8]>::is_empty)
    }

    fn content(&self) -> &BodyContent<'a> {
        self.content.get_or_init(|| {
            let body = self.response.body.as_deref().unwrap_or_default();
            BodyContent::new(body, self.content_type.as_deref())
        })
    }

    fn document(&self) -> &Result<JsonDocument, Unreadable> {
        self.document.get_or_init(|| JsonDocument::parse(&self.content().json()))
    }
}

#[cfg(test)]
mod tests;
