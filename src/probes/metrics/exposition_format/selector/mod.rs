//! Series selectors: instant vector selectors of Prometheus without offsets.
//!
//! `name`, `name{a="b",c!="d",e=~"x|y",f!~"z"}`, `{"a.name.with.dots"}`, `{__name__=~"a_.+"}`. As in Prometheus, a
//! regular expression must match the whole value, and an absent label is equal to an empty one
//! (<https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors>).

mod parse;

use std::{borrow::Cow, fmt, str::FromStr};

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::series::Series;

/// Series selector.
#[derive(Debug, Clone)]
pub struct Selector {
    text: Box<str>,
    name: Option<Box<str>>,
    matchers: Vec<Matcher>,
}

/// Condition on one label.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    label: Box<str>,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Is(Box<str>),
    IsNot(Box<str>),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => **wanted == *value,
            Self::IsNot(unwanted) => **unwanted != *value,
            Self::Matches(wanted) => wanted.is_match(value),
            Self::MatchesNot(unwanted) => !unwanted.is_match(value),
        }
    }
}

impl Matcher {
    /// Name of the label.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Whether a value meets the condition.
    pub(super) fn holds(&self, value: &str) -> bool {
        self.test.holds(value)
    }
}

impl Selector {
    /// Metric name, if the selector fixes it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the selector matches a series. `label` returns the value of a label, or an empty text for an absent
    /// label.
    pub fn matches<'a>(&self, name: &'a str, label: impl Fn(&str) -> &'a str) -> bool {
        let value = |wanted: &str| if wanted == NAME { name } else { label(wanted) };
        self.name.as_deref().is_none_or(|wanted| wanted == name)
            && self.matchers.iter().all(|matcher| matcher.test.holds(value(&matcher.label)))
    }

    /// Whether the conditions on the metric name hold.
    pub(super) fn matches_name(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name)
            && self.matchers.iter().all(|matcher| *matcher.label != *NAME || matcher.test.holds(name))
    }

    /// Conditions on labels other than the metric name.
    pub(super) fn label_matchers(&self) -> impl Iterator<Item = &Matcher> + Clone {
        self.matchers.iter().filter(|matcher| *matcher.label != *NAME)
    }

    /// Matching series of a page.
    pub fn matching_series<'a>(&'a self, page: &'a [Series]) -> impl Iterator<Item = &'a Series> {
        page.iter().filter(|series| self.matches(&series.name, |label| series.label(label)))
    }

    /// Whether the selector fixes the value of a label, as `{state="used"}` does.
    #[must_use]
    pub fn fixes_label(&self, label: &str) -> bool {
        self.matchers.iter().any(|matcher| *matcher.label == *label && matches!(matcher.test, Test::Is(_)))
    }

    /// Converts the selector of a histogram to a selector of its buckets.
    ///
    /// # Errors
    /// The selector has no name for the suffix `_bucket`.
    pub fn for_buckets(&self) -> Result<Self, String> {
        let name = self.name.as_deref().ok_or_else(|| {
            format!("`{self}` names no histogram: write its name first, as in `http_request_duration_seconds{{..}}`")
        })?;
        let name = format!("{}_bucket", name.strip_suffix("_bucket").unwrap_or(name));
        Ok(Self { name: Some(name.into()), ..self.clone() })
    }
}

/// Label that contains the metric name.
const NAME: &str = "__name__";

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse::selector(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.name == other.name
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct SelectorVisitor;
        impl de::Visitor<'_> for SelectorVisitor {
            type Value = Selector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a series selector such as `http_requests_total{code=~\"5..\"}`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Selector, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(SelectorVisitor)
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl JsonSchema for Selector {
    fn schema_name() -> Cow<'static, str> {
        "Selector".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "Prometheus instant selector: a metric name, label matchers, or both.",
            "examples": ["http_requests_total", "http_requests_total{code=~\"5..\"}"]
        })
    }
}
