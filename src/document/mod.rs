//! Vocabulary of writing: a piece of the configuration as it stands in a file, and the list of what is wrong with it.
//!
//! A [`Node`] knows its place and never forgets what was written: where `${NAME}` stood, no message shows what it
//! stood for. This module opens no file and knows no key of the configuration.

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

/// A piece of the configuration with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where its key stands; nowhere for list items and for the whole document.
    pub(crate) key: Location,
    /// Where it stands itself.
    pub(crate) location: Location,
    /// What it is.
    pub(crate) value: NodeValue,
}

/// What a piece is.
#[derive(Debug, Clone)]
pub(crate) enum NodeValue {
    /// Nothing, `null` or `~`.
    Null,
    /// Something that can't be made sense of; the list of problems says so already.
    Incomplete,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// A whole number that only fits without a sign.
    Unsigned(u64),
    /// Any other number; finite.
    Float(f64),
    /// A text, as it is written.
    Text(Box<str>),
    /// A text in which something was replaced.
    Interpolated(Box<Interpolated>),
    /// A list.
    List(Vec<Node>),
    /// A map in its order; no key is there twice.
    Map(Vec<MapEntry>),
}

/// A text that stands for another: what it stands for may be a secret.
#[derive(Debug, Clone)]
pub(crate) struct Interpolated {
    /// What is meant.
    pub value: String,
    /// What is written.
    pub source: Box<str>,
    /// The parts that were filled in.
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

/// A place in one of the sources; line 0 means that the source has no lines, or that there is no place at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Location {
    /// Number of the source in [`Diagnostics`], from 1; 0 is nowhere.
    pub source: u16,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1; saturates.
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

    /// The value of a key, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| &*entry.key == key).map(|entry| &entry.node)
    }

    /// As [`Node::get`], or the value of the key in the first map below that has it: `tls` names its own keys.
    fn find_key(&self, key: &str) -> Option<&Node> {
        self.get(key).or_else(|| self.entries().iter().find_map(|entry| entry.node.find_key(key)))
    }

    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[MapEntry] {
        if let NodeValue::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The text that is meant, if this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            NodeValue::Interpolated(resolved) => Some(&resolved.value),
            _ => None,
        }
    }

    /// The text that is written, if this is one: for messages.
    pub(crate) fn source_text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Interpolated(resolved) => Some(&resolved.source),
            _ => self.text(),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, NodeValue::Null)
    }

    /// The best place to point at for something that is wrong with the whole of it: its key, if it has one.
    pub(crate) fn key_location(&self) -> Location {
        if self.key.is_known() { self.key } else { self.location }
    }

    /// Takes everything out of a message that `${..}` in this piece stands for.
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

    /// Appends what is meant, in one form for everything that means the same: for fingerprints, never for eyes.
    pub(crate) fn write_canonical(&self, out: &mut String) {
        // Writing to a String can't fail.
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

/// Replaces a text wherever it doesn't run on into a longer word: `5` is not taken out of `15s`.
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

/// A piece without a place, for settings that come from code.
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
