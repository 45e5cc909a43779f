//! One expectation: a part of the answer, and what it must be.

mod comparison;
mod number;

use hyper::header::HeaderName;
use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::{MAX_JSON_VALUES, Unreadable};
use crate::{
    model::{
        limit::{Max, Min},
        measure::Measure,
        pattern::{Pattern, bracket_depth},
        text::excerpt,
        units::{Period, Quantity, ValueUnit},
        words::{Outcome, Reason},
    },
    probes::http::{HttpResponse, Statuses, facts::SENSITIVE_HEADERS},
};

/// One part of the response (`status`, `header`, `text`, `not_text`, `regex` or `json`) and, for a header or a JSON
/// path, the comparisons that must all hold.
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
    /// Text that the body must contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Text that the body must not contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_text: Option<String>,
    /// Regular expression that the body must match. An expression that would need more than about 50 ms on a long body
    /// (many overlapping counted repetitions, as in `a[ab]{3000}c`) is aborted; the check is then `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<Pattern>,
    /// JSON path into the body (RFC 9535). Each selected value is compared.
    #[schemars(with = "Option<String>")]
    #[serde(deserialize_with = "path", skip_serializing_if = "Option::is_none")]
    json: Option<JsonPath>,

    /// Whether the value must exist (`true`) or must not exist (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    /// Required value.
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
    /// Whether a JSON text that contains a number (`"40"`) is compared as a number. A header that contains a number is
    /// always compared as a number.
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
}

/// The part of the answer that an expectation is about.
pub(crate) enum Subject<'a> {
    Status(&'a Statuses),
    Header(&'a str),
    Text(&'a str, bool),
    Regex(&'a Pattern),
    Json(&'a JsonPath),
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

/// `null` is something to compare with, not the lack of it.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Deepest brackets of a JSON path. The parser recurses, and tries each filter in several ways: every level doubles its
/// time.
const MAX_PATH_NESTING: usize = 8;

/// With the path in the error: the crate says only where it breaks.
fn path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<JsonPath>, D::Error> {
    let path = |text: String| {
        let nesting = bracket_depth(&text, &['"', '\'']);
        if nesting > MAX_PATH_NESTING {
            let text = excerpt(&text, 60);
            return Err(de::Error::custom(format!(
                "`{text}` nests brackets {nesting} levels deep; a JSON path may have {MAX_PATH_NESTING}"
            )));
        }
        JsonPath::parse(&text)
            .map_err(|error| de::Error::custom(format!("`{text}` is not a JSON path (RFC 9535): {error}")))
    };
    Option::<String>::deserialize(from)?.map(path).transpose()
}

fn wrong(reason: Reason, text: impl Into<String>) -> Finding {
    Finding { outcome: Outcome::Fail(reason), text: text.into() }
}

impl Expectation {
    /// What it is called: its name, or what it is about.
    pub(crate) fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match self.subject() {
            Some(Subject::Status(_)) => "status".to_owned(),
            Some(Subject::Header(name)) => format!("header {}", name.to_ascii_lowercase()),
            Some(Subject::Text(text, true)) => format!("text {}", excerpt(text, 30)),
            Some(Subject::Text(text, false)) => format!("not_text {}", excerpt(text, 30)),
            Some(Subject::Regex(pattern)) => format!("regex {}", excerpt(&pattern.to_string(), 30)),
            Some(Subject::Json(path)) => excerpt(&path.to_string(), 60),
            None => "nothing".to_owned(),
        }
    }

    /// What it is about; validation makes sure that it is about exactly one thing.
    pub(crate) fn subject(&self) -> Option<Subject<'_>> {
        let status = self.status.as_ref().map(Subject::Status);
        let header = self.header.as_deref().map(Subject::Header);
        let text = self.text.as_deref().map(|text| Subject::Text(text, true));
        let not_text = self.not_text.as_deref().map(|text| Subject::Text(text, false));
        let regex = self.regex.as_ref().map(Subject::Regex);
        let json = self.json.as_ref().map(Subject::Json);
        status.or(header).or(text).or(not_text).or(regex).or(json)
    }

    /// Whether it needs the body.
    pub(crate) fn looks_into_the_body(&self) -> bool {
        matches!(self.subject(), Some(Subject::Text(..) | Subject::Regex(_) | Subject::Json(_)))
    }

    /// # Errors
    /// Why it expects nothing, or what can never be.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let fixed = [self.status.is_some(), self.text.is_some(), self.not_text.is_some(), self.regex.is_some()];
        let compared = [self.header.is_some(), self.json.is_some()];
        let count = |set: &[bool]| set.iter().filter(|set| **set).count();
        if count(&fixed) + count(&compared) != 1 {
            return Err("write exactly one of `status`, `header`, `text`, `not_text`, `regex` and `json`".to_owned());
        }
        if self.text.as_deref() == Some("") || self.not_text.as_deref() == Some("") {
            return Err("every body contains the empty text".to_owned());
        }
        if self.header.as_deref().is_some_and(|name| HeaderName::from_bytes(name.as_bytes()).is_err()) {
            return Err("not a name for a header".to_owned());
        }
        match (count(&compared), self.comparisons()) {
            (0, 0) if self.number || self.unit.is_some() => {
                Err("`number` and `unit` are for `header` and `json`".to_owned())
            }
            (0, 0) => Ok(()),
            (0, _) => Err("comparisons are for `header` and `json`".to_owned()),
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
            return Err("what must not exist can't be compared".to_owned());
        }
        if self.one_of.as_ref().is_some_and(Vec::is_empty) {
            return Err("`one_of: []` can never be met".to_owned());
        }
        if self.absent_or_not.is_some() && count > 1 {
            return Err(
                "`absent_or_not` accepts a missing value, and other comparisons do not: write it alone".to_owned()
            );
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

    /// Compares it with a response. `document` is the body as JSON, for expectations that need it, `now` the time of the
    /// run in seconds since the epoch, and `measure` the name of the measure of a numeric expectation.
    pub(crate) fn evaluate(
        &self,
        answered: &HttpResponse,
        body: &[u8],
        document: Option<&Result<Value, Unreadable>>,
        (measure, now): (&'static str, f64),
    ) -> Evaluation {
        let finding = match self.subject() {
            Some(Subject::Status(statuses)) => (!statuses.contains(answered.status))
                .then(|| wrong(Reason::Status, format!("the status is {}, expected {statuses}", answered.status))),
            Some(Subject::Text(text, within)) => (memmem::find(body, text.as_bytes()).is_some() != within).then(|| {
                let verb = if within { "does not contain" } else { "contains" };
                wrong(Reason::Body, format!("the body {verb} `{}`", excerpt(text, 60)))
            }),
            Some(Subject::Regex(pattern)) => {
                let shown = || excerpt(&pattern.to_string(), 60);
                match pattern.is_match(body) {
                    Ok(true) => None,
                    Ok(false) => Some(wrong(Reason::Body, format!("the body does not match `{}`", shown()))),
                    Err(error) => Some(Finding {
                        outcome: Outcome::Unknown(Reason::TooLarge),
                        text: format!("a body of {} bytes is too long for `{}`: {error}", body.len(), shown()),
                    }),
                }
            }
            Some(Subject::Header(name)) => {
                let values: Vec<_> = answered.header_values(name).map(Value::from).collect();
                let hidden = SENSITIVE_HEADERS.iter().any(|private| name.eq_ignore_ascii_case(private.as_str()));
                let what = Compared { text: &format!("header {name}"), is_hidden: hidden, measure, now };
                return self.compare(&what, &values.iter().collect::<Vec<_>>());
            }
            Some(Subject::Json(path)) => match document {
                Some(Ok(document)) => {
                    let text = excerpt(&path.to_string(), 60);
                    let what = Compared { text: &text, is_hidden: false, measure, now };
                    return self.compare(&what, &path.query(document).all());
                }
                Some(Err(_)) if body.is_empty() => Some(wrong(Reason::Parse, "the body is empty, expected JSON")),
                Some(Err(Unreadable::Syntax(error))) => {
                    Some(wrong(Reason::Parse, format!("the body is not JSON: {error}")))
                }
                Some(Err(Unreadable::TooManyValues)) => Some(Finding {
                    outcome: Outcome::Unknown(Reason::TooLarge),
                    text: format!(
                        "the body has more than {MAX_JSON_VALUES} JSON values: ask for a smaller document, or expect a `regex`"
                    ),
                }),
                None => None,
            },
            None => None,
        };
        Evaluation { finding, measures: Vec::new() }
    }
}
