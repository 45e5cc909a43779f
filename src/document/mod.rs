//! A configuration document as a tree of nodes with locations, and the list of its errors.
//!
//! A [`Node`] keeps its location and its source text: messages show `${NAME}` and never its value. This module opens no
//! file and knows no configuration key.

mod deserialize;
mod diagnostics;
mod messages;
mod recover;
mod yaml;

use std::fmt::Write;

pub(crate) use self::diagnostics::list_words;
pub use self::{
    diagnostics::{Diagnostic, Diagnostics, nearest_word},
    yaml::to_yaml,
};

/// A value of the document with its location.
#[derive(Debug, Clone)]
pub struct Node {
    /// Location of the node's key; unknown for list items and the root.
    pub(crate) key: Location,
    /// Location of the value.
    pub(crate) location: Location,
    /// The value.
    pub(crate) value: NodeValue,
}

/// Value of a node.
#[derive(Debug, Clone)]
pub(crate) enum NodeValue {
    /// An empty value, `null` or `~`.
    Null,
    /// A value with an error that is already reported.
    Incomplete,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits into 64 bits.
    Int(i64),
    /// An integer that fits into 64 bits only without a sign.
    Unsigned(u64),
    /// Any other finite number.
    Float(f64),
    /// A text without interpolation.
    Text(Box<str>),
    /// A text with interpolated variables or files.
    Interpolated(Box<Interpolated>),
    /// A list.
    List(Vec<Node>),
    /// A map in source order with unique keys.
    Map(Vec<MapEntry>),
}

/// An interpolated text; its value may be a secret.
#[derive(Debug, Clone)]
pub(crate) struct Interpolated {
    /// The text after interpolation.
    pub value: String,
    /// The text as written in the source.
    pub source: Box<str>,
    /// The interpolated parts.
    pub parts: Vec<String>,
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub(crate) struct MapEntry {
    /// The key.
    pub key: Box<str>,
    /// The value.
    pub node: Node,
}

/// A position in a source. Line 0 means that the source has no lines or that the location is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Location {
    /// Index of the source in [`Diagnostics`], from 1; 0 if unknown.
    pub source: u16,
    /// Line number, from 1.
    pub line: u32,
    /// Column in characters, from 1; saturates at the maximum.
    pub column: u16,
}

impl Location {
    pub(crate) fn is_known(self) -> bool {
        self.source > 0
    }
}

impl Node {
    pub(crate) fn new(location: Location, value: NodeValue) -> Self {
        Self { key: Location::default(), location, value }
    }

    /// Returns the value of a key, if this node is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| &*entry.key == key).map(|entry| &entry.node)
    }

    /// Like [`Node::get`], but also searches the maps below, because sections such as `tls` report their own keys.
    fn find_key(&self, key: &str) -> Option<&Node> {
        self.get(key).or_else(|| self.entries().iter().find_map(|entry| entry.node.find_key(key)))
    }

    /// Returns the entries of a map; empty for other values.
    pub(crate) fn entries(&self) -> &[MapEntry] {
        if let NodeValue::Map(entries) = &self.value { entries } else { &[] }
    }

    /// Returns the text after interpolation, if the value is a text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            NodeValue::Interpolated(resolved) => Some(&resolved.value),
            _ => None,
        }
    }

    /// Returns the source text for messages, if the value is a text.
    pub(crate) fn source_text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Interpolated(resolved) => Some(&resolved.source),
            _ => self.text(),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, NodeValue::Null)
    }

    /// Returns the best location for an error of the whole node: its key, if it has one.
    pub(crate) fn key_location(&self) -> Location {
        if self.key.is_known() { self.key } else { self.location }
    }

    /// Replaces interpolated values in a message by their source text.
    pub(crate) fn mask_interpolated(&self, message: String) -> String {
        match &self.value {
            NodeValue::Interpolated(resolved) => {
                let whole = replace_words(message, &resolved.value, &resolved.source);
                resolved.parts.iter().fold(whole, |message, part| replace_words(message, part, "${..}"))
            }
            NodeValue::List(items) => items.iter().fold(message, |message, item| item.mask_interpolated(message)),
            NodeValue::Map(entries) => {
                entries.iter().fold(message, |message, entry| entry.node.mask_interpolated(message))
            }
            _ => message,
        }
    }

    /// Appends a canonical form of the value after interpolation, for fingerprints. The form may contain secrets and
    /// must not be displayed.
    pub(crate) fn write_canonical(&self, out: &mut String) {
        let _ = match &self.value {
            NodeValue::Null | NodeValue::Incomplete => write!(out, "~"),
            NodeValue::Bool(value) => write!(out, "{value}"),
            NodeValue::Int(value) => write!(out, "{value}"),
            NodeValue::Unsigned(value) => write!(out, "{value}"),
            NodeValue::Float(value) => write!(out, "{value:?}"),
            NodeValue::Text(text) => write!(out, "{text:?}"),
            NodeValue::Interpolated(resolved) => write!(out, "{:?}", resolved.value),
            NodeValue::List(items) => {
                out.push('[');
                for item in items {
                    item.write_canonical(out);
                    out.push(',');
                }
                write!(out, "]")
            }
            NodeValue::Map(entries) => {
                let mut sorted: Vec<&MapEntry> = entries.iter().collect();
                sorted.sort_by(|a, b| a.key.cmp(&b.key));
                out.push('{');
                for entry in sorted {
                    let _ = write!(out, "{:?}:", entry.key);
                    entry.node.write_canonical(out);
                    out.push(',');
                }
                write!(out, "}}")
            }
        };
    }
}

/// Replaces a text unless it is part of a longer word: `5` is not replaced in `15s`.
fn replace_words(message: String, from: &str, to: &str) -> String {
    if from.is_empty() || !message.contains(from) {
        return message;
    }
    let mut out = String::with_capacity(message.len());
    let mut rest = message.as_str();
    while let Some(at) = rest.find(from) {
        let (before, tail) = rest.split_at(at);
        let after = tail.strip_prefix(from).unwrap_or_default();
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let runs_on = is_word(before.chars().next_back().or(out.chars().next_back())) || is_word(after.chars().next());
        out.push_str(before);
        out.push_str(if runs_on { from } else { to });
        rest = after;
    }
    out + rest
}

/// Creates a node without a location, for settings from code.
impl From<serde_json::Value> for Node {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => NodeValue::Null,
            Json::Bool(value) => NodeValue::Bool(value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => NodeValue::Int(value),
                (None, Some(value)) => NodeValue::Unsigned(value),
                (None, None) => NodeValue::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => NodeValue::Text(text.into()),
            Json::Array(items) => NodeValue::List(items.into_iter().map(Node::from).collect()),
            Json::Object(entries) => NodeValue::Map(
                entries.into_iter().map(|(key, value)| MapEntry { key: key.into(), node: value.into() }).collect(),
            ),
        };
        Self::new(Location::default(), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_veiled_but_not_inside_of_longer_words() {
        let resolved =
            Interpolated { value: "u:hunter2@h".into(), source: "u:${PW}@h".into(), parts: vec!["hunter2".into()] };
        let node = Node::new(Location::default(), NodeValue::Interpolated(Box::new(resolved)));
        assert_eq!(node.mask_interpolated("bad `u:hunter2@h`: `hunter2`".into()), "bad `u:${PW}@h`: `${..}`");
        assert_eq!(node.mask_interpolated("xhunter2".into()), "xhunter2");
    }

    #[test]
    fn the_canonical_form_does_not_depend_on_the_order_of_keys() {
        let form = |json| {
            let mut out = String::new();
            Node::from(json).write_canonical(&mut out);
            out
        };
        assert_eq!(
            form(serde_json::json!({"a": 1, "b": [true, null]})),
            form(serde_json::json!({"b": [true, null], "a": 1}))
        );
        assert_ne!(form(serde_json::json!({"a": 1})), form(serde_json::json!({"a": "1"})));
    }
}
