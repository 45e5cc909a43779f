//! Vocabulary of matching: a regular expression as an operator writes it, of bounded size, over any bytes.

use std::{borrow::Cow, fmt};

use regex::bytes::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A regular expression in the syntax of the crate `regex`: no look-around, linear time.
#[derive(Clone)]
pub struct Pattern(Regex);

/// Memory for one compiled expression: `\w{1000}` needs more than this and is nothing to run every few seconds.
const LARGEST: usize = 1 << 20;

impl Pattern {
    /// A pattern from its text.
    ///
    /// # Errors
    /// Where it breaks the syntax, or that it is too large.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty expression matches everything".to_owned());
        }
        RegexBuilder::new(text).size_limit(LARGEST).build().map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("`{text}` needs more than 1MiB of memory: make it smaller"),
            error => error.to_string(),
        })
    }

    /// Whether it matches anywhere.
    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Pattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "regex", "minLength": 1})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_expression_or_too_large_is_refused() {
        for bad in ["(", "", r"\w{2000}", "(?=x)"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        assert!(Pattern::new("^a.c$").unwrap().is_match(b"abc"));
        assert!(Pattern::new(r"(?-u)\xff").unwrap().is_match(b"\xff"));
    }
}
