//! YAML of effective values, with a comment behind each value that states its source: `file:line`, an environment
//! variable, a flag, or `built in`.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use crate::document::{Diagnostics, Location, Node, NodeValue, to_yaml};

/// Source of a value and of the values below it.
#[derive(Clone, Copy)]
pub(super) enum ValueSource<'a> {
    /// The program; no file contains the value.
    BuiltIn,
    /// A location, for the value as a whole.
    At(Location),
    /// A node. Keys that it doesn't contain are built in.
    Node(&'a Node),
    /// A location for each key of a map.
    Keys(&'a BTreeMap<String, Location>),
}

impl<'a> ValueSource<'a> {
    /// The node, or the program if there is none.
    pub(super) fn of(node: Option<&'a Node>) -> Self {
        node.map_or(Self::BuiltIn, Self::Node)
    }

    /// The location, or the program if there is none.
    pub(super) fn at(location: Option<Location>) -> Self {
        location.map_or(Self::BuiltIn, Self::At)
    }

    fn key(self, key: &str) -> Self {
        match self {
            Self::Node(node) => match &node.value {
                NodeValue::Map(_) => Self::of(node.get(key)),
                NodeValue::Null => Self::BuiltIn,
                // A short form, such as `max: 5%` for a limit with one step.
                _ => Self::At(node.key_location()),
            },
            Self::Keys(keys) => Self::at(keys.get(key).copied()),
            whole => whole,
        }
    }

    fn item(self, index: usize) -> Self {
        match self {
            Self::Node(Node { value: NodeValue::List(items), .. }) => Self::of(items.get(index)),
            Self::Node(node) => Self::At(node.key_location()),
            whole => whole,
        }
    }
}

/// A key with its value and its source.
pub(super) struct Entry<'a> {
    key: Cow<'a, str>,
    value: Value,
    source: ValueSource<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(key: impl Into<Cow<'a, str>>, value: Value, source: ValueSource<'a>) -> Self {
        Self { key: key.into(), value, source }
    }
}

/// Writer of the YAML text.
pub(super) struct EffectiveYaml<'a> {
    text: String,
    /// The names of the files.
    files: &'a Diagnostics,
}

impl<'a> EffectiveYaml<'a> {
    pub(super) fn new(files: &'a Diagnostics) -> Self {
        Self { text: String::new(), files }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Writes the entries of a map at an indentation.
    pub(super) fn push_map(&mut self, indent: usize, entries: Vec<Entry<'_>>) {
        for Entry { key, value, source } in entries {
            self.push_indent(indent);
            self.push_entry(indent, &key, value, source);
        }
    }

    /// Writes a map as an item of a list at an indentation.
    pub(super) fn push_item(&mut self, indent: usize, entries: Vec<Entry<'_>>) {
        for (at, Entry { key, value, source }) in entries.into_iter().enumerate() {
            self.push_indent(indent);
            self.text.push_str(if at == 0 { "- " } else { "  " });
            self.push_entry(indent + 2, &key, value, source);
        }
    }

    /// Writes a key without a value; a list or a map follows.
    pub(super) fn push_key(&mut self, indent: usize, key: &str) {
        self.push_indent(indent);
        self.text.push_str(key);
        self.text.push_str(":\n");
    }

    fn push_entry(&mut self, indent: usize, key: &str, value: Value, source: ValueSource<'_>) {
        self.text.push_str(&scalar(&Value::from(key)));
        self.text.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.text.push('\n');
                self.push_map(indent + 2, below(&map, source));
            }
            Value::Array(items) if !items.is_empty() => {
                self.text.push('\n');
                for (at, item) in items.into_iter().enumerate() {
                    match item {
                        Value::Object(map) if !map.is_empty() => {
                            self.push_item(indent + 2, below(&map, source.item(at)));
                        }
                        other => {
                            self.push_indent(indent + 2);
                            self.text.push('-');
                            self.push_leaf(&other, source.item(at));
                        }
                    }
                }
            }
            leaf => self.push_leaf(&leaf, source),
        }
    }

    fn push_leaf(&mut self, value: &Value, source: ValueSource<'_>) {
        self.text.push(' ');
        self.text.push_str(&scalar(value));
        let location = match source {
            ValueSource::At(location) => Some(location),
            ValueSource::Node(node) => Some(node.key_location()),
            ValueSource::BuiltIn | ValueSource::Keys(_) => None,
        };
        self.text.push_str("  # ");
        match location.filter(|location| location.is_known()) {
            Some(location) => self.text.push_str(&self.files.describe_location(location)),
            None => self.text.push_str("built in"),
        }
        self.text.push('\n');
    }

    fn push_indent(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }
}

fn below<'a>(map: &'a Map<String, Value>, source: ValueSource<'a>) -> Vec<Entry<'a>> {
    map.iter().map(|(key, value)| Entry::new(key, value.clone(), source.key(key))).collect()
}

/// A value in one line. JSON is YAML, and escapes line breaks.
fn scalar(value: &Value) -> String {
    let text = to_yaml(value);
    let text = text.trim_end();
    if text.contains('\n') || value.is_array() || value.is_object() { value.to_string() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(written: &str, effective: &Value) -> String {
        let mut files = Diagnostics::default();
        let node = files.parse("a.yaml", written.into()).unwrap();
        let mut yaml = EffectiveYaml::new(&files);
        yaml.push_map(0, below(effective.as_object().unwrap(), ValueSource::Node(&node)));
        yaml.finish()
    }

    #[test]
    fn every_value_has_its_source_and_the_text_reads_back() {
        let written = "url: x\ntls:\n  ca: file\nlist:\n  - a\n  - {b: 1}\nmax: 5%\n";
        let effective = json!({
            "url": "x", "tls": {"ca": "file", "key": null}, "list": ["a", {"b": 1, "c": 2}], "max": {"fail": 0.05},
            "none": [], "odd": "two\nlines # : ", "nested": [[1]],
        });
        let text = write(written, &effective);
        for line in [
            "url: x  # a.yaml:1",
            "  ca: file  # a.yaml:3",
            "  key: null  # built in",
            "  - a  # a.yaml:5",
            "  - b: 1  # a.yaml:6",
            "    c: 2  # built in",
            "  fail: 0.05  # a.yaml:7",
            "none: []  # built in",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in\n{text}");
        }
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, effective, "{text}");
    }
}
