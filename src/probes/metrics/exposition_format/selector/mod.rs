//! Which series a check is about: Prometheus' instant selectors, without offsets, ranges and functions.
//!
//! `name`, `name{a="b",c!="d",e=~"x|y",f!~"z"}`, `{"a.name.with.dots"}`, `{__name__=~"a_.+"}`. As in Prometheus a
//! regular expression must match the whole value, and a label that a series doesn't have counts as empty
//! (<https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors>).

mod parse;

use std::{borrow::Cow, fmt, str::FromStr};

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::series::Series;

/// A choice of series.
#[derive(Debug, Clone)]
pub struct Selector {
    text: Box<str>,
    name: Option<Box<str>>,
    matchers: Vec<Matcher>,
}

/// What one label must be.
#[derive(Debug, Clone)]
struct Matcher {
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

impl Selector {
    /// The metric name, where the selector fixes it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether a series is chosen; `label` gives the value of a label, empty where there is none.
    pub fn matches<'a>(&self, name: &'a str, label: impl Fn(&str) -> &'a str) -> bool {
        let value = |wanted: &str| if wanted == NAME { name } else { label(wanted) };
        self.name.as_deref().is_none_or(|wanted| wanted == name)
            && self.matchers.iter().all(|matcher| matcher.test.holds(value(&matcher.label)))
    }

    /// The series that are chosen among those of a page.
    pub fn of<'a>(&'a self, page: &'a [Series]) -> impl Iterator<Item = &'a Series> {
        page.iter().filter(|series| self.matches(&series.name, |label| series.label(label)))
    }

    /// Whether the selector itself says what the value of a label is, as `{state="used"}` does.
    #[must_use]
    pub fn fixes_label(&self, label: &str) -> bool {
        self.matchers.iter().any(|matcher| *matcher.label == *label && matches!(matcher.test, Test::Is(_)))
    }

    /// The same choice among the buckets of a histogram of that name.
    ///
    /// # Errors
    /// There is no name to add `_bucket` to.
    pub fn buckets(&self) -> Result<Self, String> {
        let name = self.name.as_deref().ok_or_else(|| {
            format!("`{self}` names no histogram: write its name first, as in `http_request_duration_seconds{{..}}`")
        })?;
        let name = format!("{}_bucket", name.strip_suffix("_bucket").unwrap_or(name));
        Ok(Self { name: Some(name.into()), ..self.clone() })
    }
}

/// The label that holds the name of a metric.
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
        self.text == other.text
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Selector;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a series selector such as `http_requests_total{code=~\"5..\"}`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Selector, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
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
