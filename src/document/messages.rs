//! Deserialization errors in the terms of a configuration instead of serde's.

use std::fmt;

use serde::de::{self, Unexpected};

use super::{Location, Node, diagnostics};

/// Error of deserializing a node.
#[derive(Debug)]
pub(super) struct Error(Box<ErrorDetails>);

#[derive(Debug)]
pub(super) struct ErrorDetails {
    pub message: String,
    pub suggestion: Option<String>,
    /// The missing key.
    pub missing: Option<&'static str>,
    /// Whether the diagnostics already contain this error.
    pub already_reported: bool,
    /// The location, once known.
    pub location: Option<Location>,
    /// The enclosing nodes, innermost first.
    pub path: Vec<*const Node>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(ErrorDetails {
            message,
            suggestion: None,
            missing: None,
            already_reported: false,
            location: None,
            path: Vec::new(),
        }))
    }

    fn unknown_name(what: &str, word: &str, valid: &[&str]) -> Self {
        let suggestion = diagnostics::nearest_word(word, valid.iter().copied()).map(str::to_owned);
        let mut error = Self::new(diagnostics::unknown_message(what, word, valid, suggestion.is_some()));
        error.0.suggestion = suggestion;
        error
    }

    pub(super) fn already_reported() -> Self {
        let mut error = Self::new("");
        error.0.already_reported = true;
        error
    }

    pub(super) fn into_inner(self) -> ErrorDetails {
        *self.0
    }

    pub(super) fn at_location(mut self, location: Location) -> Self {
        self.0.location.get_or_insert(location);
        self
    }

    pub(super) fn inside(mut self, node: &Node) -> Self {
        self.0.path.push(node);
        // A missing key is reported at the key of its map, any other error at the node itself.
        let location = if self.0.missing.is_some() { node.key_location() } else { node.location };
        self.at_location(location)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = plain_expectation(&expected.to_string());
        let is_word = matches!(
            found,
            Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_)
        );
        let hint = if is_word && expected == "a text" { ": put it in quotes" } else { "" };
        Self::new(format!("expected {expected}, found {}{hint}", describe_found(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!(
            "{} is out of range: expected {}",
            describe_found(found),
            plain_expectation(&expected.to_string())
        ))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        if expected.is_empty() {
            return Self::new(format!("unknown key `{field}`: this map has no keys"));
        }
        Self::unknown_name("key", field, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_name("word", variant, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(format!("key `{field}` is missing"));
        error.0.missing = Some(field);
        error
    }
}

/// Translates serde's description of an expected type.
fn plain_expectation(expected: &str) -> String {
    let words = match expected {
        "a boolean" => "`true` or `false`",
        "a string" => "a text",
        "path string" => "a path",
        "a sequence" => "a list",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        text if text.starts_with("struct ") || text.starts_with("a map") => "a map",
        text => text,
    };
    words.to_owned()
}

fn describe_found(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("the text `{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a map".to_owned(),
        other => other.to_string(),
    }
}
