//! One expectation: a part of the response, and its required content.

mod comparison;
mod fact;
mod number;
mod validation;

use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json_path::JsonPath;

use self::fact::ResponseFact;
use super::{
    ResponseContent,
    json::{MAX_JSON_VALUES, Unreadable, deserialize_path},
    version::VersionRequirement,
};
use crate::{
    model::{
        limit::{Max, Min},
        measure::Measure,
        pattern::Pattern,
        text::excerpt,
        units::{Period, Quantity, ValueUnit},
        words::{Outcome, Reason},
    },
    probes::http::{Statuses, facts::SENSITIVE_HEADERS},
};

/// One part of the response (`status`, `header`, `text`, `not_text`, `regex`, `not_regex`, `json` or `fact`) and, for a
/// header, a JSON path or a fact, the comparisons that must all hold.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expectation {
    /// Name of the expectation in findings. Default: the part of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Accepted status codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Statuses>,
    /// Name of the header to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// Text that the body must contain. The body is decoded in the charset that it declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Text that the body must not contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_text: Option<String>,
    /// Regular expression that the body must match. An expression that would need more than about 50 ms on a long body
    /// (many overlapping counted repetitions, as in `a[ab]{3000}c`) is aborted; the check is then `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<Pattern>,
    /// Regular expression that the body must not match, with the time limit of `regex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_regex: Option<Pattern>,
    /// JSON path into the body (RFC 9535), which starts with `$`: `$.status`. Each selected value is compared.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "deserialize_path", skip_serializing_if = "Option::is_none")]
    json: Option<JsonPath>,
    /// Fact of the response to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    fact: Option<ResponseFact>,

    /// Whether the value must exist (`true`) or must not exist (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    /// Required value. Numbers are compared by value and exactly: `0.10` equals `0.1`.
    #[serde(deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    equals: Option<Value>,
    /// Forbidden value.
    #[serde(deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    not_equals: Option<Value>,
    /// Forbidden value. Unlike with `not_equals`, a missing value is accepted. Not allowed together with another
    /// comparison.
    #[serde(deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    absent_or_not: Option<Value>,
    /// Accepted values.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_of: Option<Vec<Value>>,
    /// Regular expression that the text of the value must match, with the time limit of `regex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<Pattern>,
    /// Regular expression that the text of the value must not match, with the time limit of `regex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_matches: Option<Pattern>,
    /// Required versions: comparisons such as `>=1.4.0, <2`, by the precedence of Semantic Versioning. A version may have
    /// a leading `v`, and fewer or more than three numbers.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionRequirement>,
    /// Minimum of the value, as a number or with a unit (`30s`, `10MiB`, `5%`). The value must be a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<Min<Quantity>>,
    /// Maximum of the value, as a number or with a unit (`30s`, `10MiB`, `5%`). The value must be a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Max<Quantity>>,
    /// Minimum age of the value, which must be a time: RFC 3339, or a number of seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_age: Option<Min<Period>>,
    /// Maximum age of the value, which must be a time: RFC 3339, or a number of seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<Max<Period>>,
    /// Whether a JSON text that contains a number (`"40"`) is compared as a number. A header or a fact that contains a
    /// number is always compared as a number.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    number: bool,
    /// Unit of the number. It selects the metric family and the notation in findings. Default: the unit of the limits,
    /// or none if the limits have no unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<ValueUnit>,
    /// Minimum number of characters of a text, items of a list or keys of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_length: Option<usize>,
    /// Maximum number of characters of a text, items of a list or keys of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_length: Option<usize>,
    /// Whether a missing value meets the expectation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    /// Whether one of several values is sufficient, such as one of several headers with the same name. Otherwise, each
    /// value must meet the expectation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    any: bool,
}

/// The part of the response that an expectation compares.
pub(crate) enum Subject<'a> {
    Status(&'a Statuses),
    Header(&'a str),
    Text(&'a str, bool),
    Regex(&'a Pattern, bool),
    Json(&'a JsonPath),
    Fact(ResponseFact),
}

/// The part of a response that is compared.
struct Compared<'a> {
    /// Its name in findings.
    text: &'a str,
    /// Whether its values must not be quoted.
    is_hidden: bool,
    /// Name of the measure.
    measure: &'static str,
    /// Time of the run in seconds since the epoch.
    now: f64,
}

/// The result of an expectation.
#[derive(Default)]
pub(crate) struct Evaluation {
    pub(crate) finding: Option<Finding>,
    /// The number with its limits, one for each limit; of several values the one with the least headroom.
    pub(crate) measures: Vec<Measure>,
}

/// An expectation that is not met.
pub(crate) struct Finding {
    pub(crate) outcome: Outcome,
    pub(crate) text: String,
}

/// `null` is a value to compare with.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

fn wrong(reason: Reason, text: impl Into<String>) -> Finding {
    Finding { outcome: Outcome::Fail(reason), text: text.into() }
}

impl Expectation {
    /// The name of the expectation: the configured one, or the part of the response.
    pub(crate) fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match self.subject() {
            Some(Subject::Status(_)) => "status".to_owned(),
            Some(Subject::Header(name)) => format!("header {}", name.to_ascii_lowercase()),
            Some(Subject::Text(text, true)) => format!("text {}", excerpt(text, 30)),
            Some(Subject::Text(text, false)) => format!("not_text {}", excerpt(text, 30)),
            Some(Subject::Regex(pattern, true)) => format!("regex {}", excerpt(&pattern.to_string(), 30)),
            Some(Subject::Regex(pattern, false)) => format!("not_regex {}", excerpt(&pattern.to_string(), 30)),
            Some(Subject::Json(path)) => excerpt(&path.to_string(), 60),
            Some(Subject::Fact(fact)) => fact.as_str().to_owned(),
            None => "nothing".to_owned(),
        }
    }

    /// The text of a finding with the name of the expectation. Findings about a header, a path or a fact contain the
    /// default name already.
    pub(crate) fn named_text(&self, text: &str) -> String {
        let is_in_text = matches!(self.subject(), Some(Subject::Header(_) | Subject::Json(_) | Subject::Fact(_)));
        if self.name.is_none() && is_in_text { text.to_owned() } else { format!("{}: {text}", self.name()) }
    }

    /// The compared part of the response. Validation ensures that there is exactly one.
    pub(crate) fn subject(&self) -> Option<Subject<'_>> {
        let status = self.status.as_ref().map(Subject::Status);
        let header = self.header.as_deref().map(Subject::Header);
        let text = self.text.as_deref().map(|text| Subject::Text(text, true));
        let not_text = self.not_text.as_deref().map(|text| Subject::Text(text, false));
        let regex = self.regex.as_ref().map(|pattern| Subject::Regex(pattern, true));
        let not_regex = self.not_regex.as_ref().map(|pattern| Subject::Regex(pattern, false));
        let json = self.json.as_ref().map(Subject::Json);
        let fact = self.fact.map(Subject::Fact);
        status.or(header).or(text).or(not_text).or(regex).or(not_regex).or(json).or(fact)
    }

    /// Whether the expectation needs the body.
    pub(crate) fn looks_into_the_body(&self) -> bool {
        matches!(self.subject(), Some(Subject::Text(..) | Subject::Regex(..) | Subject::Json(_)))
    }

    /// Compares the expectation with a response. `now` is the time of the run in seconds since the epoch, and `measure` the
    /// name of the measure of a numeric expectation.
    pub(crate) fn evaluate(&self, response: &ResponseContent<'_>, (measure, now): (&'static str, f64)) -> Evaluation {
        let finding = match self.subject() {
            Some(Subject::Status(statuses)) => {
                let status = response.response.status;
                (!statuses.contains(status))
                    .then(|| wrong(Reason::Status, format!("the status is {status}, expected {statuses}")))
            }
            Some(Subject::Text(text, within)) => search_text(response, text, within),
            Some(Subject::Regex(pattern, within)) => search_pattern(response, pattern, within),
            Some(Subject::Header(name)) => {
                let values: Vec<_> = response.response.header_values(name).map(Value::from).collect();
                let hidden = SENSITIVE_HEADERS.iter().any(|private| name.eq_ignore_ascii_case(private.as_str()));
                let name = format!("header {}", name.to_ascii_lowercase());
                let what = Compared { text: &name, is_hidden: hidden, measure, now };
                return self.compare(&what, &values.iter().collect::<Vec<_>>());
            }
            Some(Subject::Fact(fact)) => {
                let value = fact.value(response.facts, response.response);
                let what = Compared { text: fact.as_str(), is_hidden: false, measure, now };
                return self.compare(&what, &value.iter().collect::<Vec<_>>());
            }
            Some(Subject::Json(path)) => match response.document() {
                Ok(document) => {
                    let text = excerpt(&path.to_string(), 60);
                    let what = Compared { text: &text, is_hidden: false, measure, now };
                    return self.compare(&what, &document.select(path));
                }
                Err(_) if response.is_empty() => Some(wrong(Reason::Parse, "the body is empty, expected JSON")),
                Err(Unreadable::Syntax(error)) => Some(wrong(Reason::Parse, format!("the body is not JSON: {error}"))),
                Err(Unreadable::TooManyValues) => Some(Finding {
                    outcome: Outcome::Unknown(Reason::TooLarge),
                    text: format!(
                        "the body has more than {MAX_JSON_VALUES} JSON values: ask for a smaller document, or expect a `regex`"
                    ),
                }),
            },
            None => None,
        };
        let finding = finding.map(|finding| match self.json {
            Some(_) => Finding { text: format!("{}: {}", self.name(), finding.text), ..finding },
            None => finding,
        });
        Evaluation { finding, measures: Vec::new() }
    }
}

fn search_text(response: &ResponseContent<'_>, text: &str, within: bool) -> Option<Finding> {
    let body = response.content();
    let is_found = body.forms().any(|form| memmem::find(form, text.as_bytes()).is_some());
    body_finding(response, is_found, within, &format!("`{}`", excerpt(text, 60)), ["contain", "contains"])
}

fn search_pattern(response: &ResponseContent<'_>, pattern: &Pattern, within: bool) -> Option<Finding> {
    let body = response.content();
    let shown = excerpt(&pattern.to_string(), 60);
    let mut is_found = false;
    for form in body.forms() {
        match pattern.is_match(form) {
            Ok(is_match) => is_found |= is_match,
            Err(error) => {
                return Some(Finding {
                    outcome: Outcome::Unknown(Reason::TooLarge),
                    text: format!("a body of {} bytes is too long for `{shown}`: {error}", body.len()),
                });
            }
        }
    }
    body_finding(response, is_found, within, &format!("`{shown}`"), ["match", "matches"])
}

/// The finding of a search in the body. A body in an unknown charset may contain a text that was not found.
fn body_finding(
    response: &ResponseContent<'_>,
    is_found: bool,
    within: bool,
    wanted: &str,
    [infinitive, verb]: [&str; 2],
) -> Option<Finding> {
    let body = response.content();
    match (is_found, within, body.unknown_charset()) {
        (false, _, Some(charset)) => Some(Finding {
            outcome: Outcome::Unknown(Reason::Parse),
            text: format!(
                "the body is declared as `{charset}`, which is no known charset, so that {wanted} can't be searched in \
                 it: correct Content-Type"
            ),
        }),
        (true, true, _) | (false, false, _) => None,
        (false, true, None) => {
            Some(wrong(Reason::Body, format!("the body does not {infinitive} {wanted}{}", body.remark())))
        }
        (true, false, _) => Some(wrong(Reason::Body, format!("the body {verb} {wanted}"))),
    }
}
