//! Deserializes a typed value from a node and reports all of its errors.
//!
//! Serde stops at its first error. So this module leaves out the node with the error, supplies a placeholder for a
//! missing key and deserializes again, until no error is left. It doesn't report keys that are missing only because
//! their node was left out. A value with a placeholder never leaves this module.

use serde::de::DeserializeOwned;

use super::{
    Diagnostics, MapEntry, Node, NodeValue,
    deserialize::{Exclusions, NodeDeserializer},
    messages::{Error, ErrorDetails},
};

/// Number of errors reported for one node, which also bounds the time.
const MAX_ERRORS_PER_NODE: usize = 40;

impl Node {
    /// Deserializes a value and adds all errors to the list.
    pub fn read<T: DeserializeOwned>(&self, problems: &mut Diagnostics) -> Option<T> {
        let (value, whole) = self.recover(problems);
        value.filter(|_| whole)
    }

    /// As [`Node::read`]; a key under a former name is reported with its present name. `renamed` pairs them.
    pub(crate) fn read_renamed<T: DeserializeOwned>(
        &self,
        renamed: &[(&str, &str)],
        problems: &mut Diagnostics,
    ) -> Option<T> {
        let present_name =
            |entry: &MapEntry| renamed.iter().find(|(former, _)| *former == &*entry.key).map(|(_, name)| name);
        if !self.entries().iter().any(|entry| present_name(entry).is_some()) {
            return self.read(problems);
        }
        let mut entries = self.entries().to_vec();
        entries.retain(|entry| {
            let name = present_name(entry);
            if let Some(name) = name {
                problems.push(entry.node.key, format!("`{}` is called `{name}` now", entry.key), None);
            }
            name.is_none()
        });
        // The other keys are read only to report their errors.
        let _: Option<T> = Node { value: NodeValue::Map(entries), ..self.clone() }.read(problems);
        None
    }

    /// Like [`Node::read`], but also returns a value that is valid without the nodes with errors. The boolean tells
    /// whether the value is complete.
    pub(crate) fn recover<T: DeserializeOwned>(&self, problems: &mut Diagnostics) -> (Option<T>, bool) {
        let mut without = Exclusions::default();
        for mistakes in 0..MAX_ERRORS_PER_NODE {
            let error = match T::deserialize(NodeDeserializer { node: self, without: &without }) {
                Ok(value) => return (Some(value).filter(|_| without.placeholders.is_empty()), mistakes == 0),
                Err(error) => error.into_inner(),
            };
            let innermost = error.path.first().copied();
            let map = error.path.get(1).copied().unwrap_or(self);
            let known = error.already_reported || innermost.is_some_and(|at| without.nodes.contains(&at));
            let missing = error.missing;
            let absent = missing.map(|key| (innermost.unwrap_or(self), key.to_owned()));
            // The next node to leave out is the innermost one that is not left out yet.
            let next = error.path.iter().copied().find(|at| !without.nodes.contains(at));
            if !known && !absent.is_some_and(|absent| without.absent_keys.contains(&absent)) {
                let error = self.explain_error::<T>(error, &without);
                // A misspelled `nmae` stands for `name`, so `name` is not reported as missing.
                without.absent_keys.extend(error.suggestion.iter().map(|key| (map, key.clone())));
                let whole = if error.missing.is_some() { self.key_location() } else { self.location };
                problems.push(error.location.unwrap_or(whole), error.message, error.suggestion);
            }
            if missing.is_some_and(|key| without.placeholders.insert((innermost.unwrap_or(self), key))) {
                continue;
            }
            let Some(next) = next else { break };
            without.absent_keys.extend(self.key_of_node(next).map(|key| (map, key)));
            without.nodes.insert(next);
        }
        (None, false)
    }

    /// Ensures that an error contains no interpolated value. If the error concerns an interpolated text, the source
    /// text is deserialized instead, which fails with the same message.
    fn explain_error<T: DeserializeOwned>(&self, error: ErrorDetails, without: &Exclusions) -> ErrorDetails {
        let at = error.path.first().copied().unwrap_or(self);
        let Some(Node { value, .. }) = self.find_node(at) else { return error };
        if !matches!(value, NodeValue::Interpolated(_)) {
            let message = self.find_node(at).unwrap_or(self).mask_interpolated(error.message);
            return ErrorDetails { message, ..error };
        }
        let (nodes, placeholders) = (without.nodes.clone(), without.placeholders.clone());
        let source_only = Exclusions { nodes, placeholders, source_only: Some(at), ..Exclusions::default() };
        let again = T::deserialize(NodeDeserializer { node: self, without: &source_only }).map_err(Error::into_inner);
        match again {
            Err(again) if again.path.first() == error.path.first() => again,
            _ => ErrorDetails { message: "the interpolated value is not valid".to_owned(), suggestion: None, ..error },
        }
    }

    /// Returns the node with an address.
    fn find_node(&self, at: *const Node) -> Option<&Node> {
        if std::ptr::eq(self, at) {
            return Some(self);
        }
        match &self.value {
            NodeValue::List(items) => items.iter().find_map(|item| item.find_node(at)),
            NodeValue::Map(entries) => entries.iter().find_map(|entry| entry.node.find_node(at)),
            _ => None,
        }
    }

    /// Returns the key of the node with an address.
    fn key_of_node(&self, at: *const Node) -> Option<String> {
        match &self.value {
            NodeValue::List(items) => items.iter().find_map(|item| item.key_of_node(at)),
            NodeValue::Map(entries) => entries.iter().find_map(|entry| {
                if std::ptr::eq(&entry.node, at) { Some(entry.key.to_string()) } else { entry.node.key_of_node(at) }
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::{
        document::Interpolated,
        model::{
            limit::Max,
            units::{Period, Ratio},
            words::Severity,
        },
    };

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        url: String,
        #[serde(default)]
        port: u16,
        retry: Option<bool>,
        window: Option<Period>,
        max: Option<Max<Ratio>>,
        level: Option<Max<f64>>,
        severity: Option<Severity>,
        #[serde(default)]
        source: Source,
        #[serde(default)]
        nested: Vec<Nested>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Source {
        #[default]
        Modified,
        Name {
            pattern: String,
        },
        Every(Period),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Nested {
        a: String,
        b: Option<u32>,
    }

    fn read(text: &str) -> Result<Settings, String> {
        let mut problems = Diagnostics::default();
        let value = problems.parse("x", text.into()).and_then(|node| node.read(&mut problems));
        let said: Vec<_> =
            problems.iter().map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.message)).collect();
        assert_eq!(value.is_some(), said.is_empty(), "{said:?}");
        value.ok_or_else(|| said.join("\n"))
    }

    #[test]
    fn values_of_every_shape_are_read() {
        let settings = read(
            "url: x\nport: 80\nretry: true\nwindow: 5m\nmax: {warn: 1%, fail: 0.05}\nlevel: 3\nseverity: info\n\
             source: {every: 1h}\nnested: [{a: x, b: 1}, {a: y}]\nlabels: {a: b}\n",
        )
        .unwrap();
        assert_eq!((settings.port, settings.retry, settings.severity), (80, Some(true), Some(Severity::Info)));
        assert_eq!(settings.source, Source::Every("1h".parse().unwrap()));
        assert_eq!(settings.nested.len(), 2);
        assert_eq!(
            read("{url: x, source: {name: {pattern: y}}}").unwrap().source,
            Source::Name { pattern: "y".into() }
        );
        assert_eq!(read("{url: x, source: modified, retry: ~, labels: {}}").unwrap().source, Source::Modified);
    }

    #[test]
    fn every_mistake_is_found_and_none_that_only_follows_from_another() {
        let text = "ulr: x\nport: 99999\nretry: yes\nwindow: 5\nmax: {warn: 2%, fail: 1%}\nseverity: {a: 1}\n\
                    source: {name: {patern: x}}\nnested: [{a: 1}, {b: -1}, {a: x, c: 1}, 5]\nlabels: {a: 1, b: [c]}\n";
        let expected = "1:1 unknown key `ulr`\n\
                        2:7 the number 99999 is out of range: expected a whole number from 0 to 65535\n\
                        3:8 expected `true` or `false`, found the text `yes`\n\
                        4:9 `5` is not a duration: write a number and a unit, as in 500ms, 30s, 5m, 26h or 30d\n\
                        5:6 `warn: 2%` can never be seen before `fail: 1%`: here warn must be below fail\n\
                        6:12 unknown word `a`: it can be `critical`, `warning` or `info`\n\
                        7:10 key `pattern` is missing\n\
                        8:14 expected a text, found the number 1: put it in quotes\n\
                        8:18 key `a` is missing\n\
                        8:22 the number -1 is out of range: expected a whole number from 0\n\
                        8:34 unknown key `c`: it can be `a` or `b`\n\
                        8:41 expected a map, found the number 5\n\
                        9:13 expected a text, found the number 1: put it in quotes\n\
                        9:19 expected a text, found a list";
        assert_eq!(read(text).unwrap_err(), expected);
        assert_eq!(read("{port: 1}").unwrap_err(), "1:1 key `url` is missing");
        assert_eq!(
            read("{url: x, nested: [{b: x}, {}], retry: 5}").unwrap_err(),
            "1:19 key `a` is missing\n1:23 expected a whole number from 0, found the text `x`\n1:27 key `a` is missing\n\
             1:39 expected `true` or `false`, found the number 5"
        );
        assert_eq!(several("{b: x}"), "key `a` is missing; key `c` is missing; key `d` is missing");
        assert_eq!(
            several("{e: 1, b: x}"),
            "key `a` is missing; key `c` is missing; key `d` is missing; unknown key `e`: it can be `a`, `b`, `d`, `c` or `f`"
        );
        assert_eq!(read("[x]").unwrap_err(), "1:1 expected a map, found a list");
        assert_eq!(
            read("{url: x, source: {modified: 1, name: 2}}").unwrap_err(),
            "1:18 expected one key: `modified`, `name` or `every`"
        );
    }

    fn several(text: &str) -> String {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only what is said about it counts")]
        struct Several {
            a: String,
            #[serde(default)]
            b: String,
            d: u32,
            c: Nested,
            f: Option<Period>,
        }
        let mut problems = Diagnostics::default();
        let read = problems.parse("x", text.into()).and_then(|node| node.read::<Several>(&mut problems));
        assert!(read.is_none());
        let mut said: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
        said.sort();
        said.join("; ")
    }

    fn filled_in(key: &str, text: &str) -> (Option<Settings>, String) {
        let resolved = Interpolated { value: text.to_owned(), source: "${X}".into(), parts: vec![text.to_owned()] };
        let value = Node::new(Default::default(), NodeValue::Interpolated(Box::new(resolved)));
        let mut node = Node::from(serde_json::json!({"url": "x", "port": 1}));
        if let NodeValue::Map(entries) = &mut node.value {
            entries.retain(|entry| &*entry.key != key);
            entries.push(MapEntry { key: key.into(), node: value });
        }
        let mut problems = Diagnostics::default();
        let value = node.read(&mut problems);
        (value, problems.to_string())
    }

    #[test]
    fn what_is_filled_in_may_be_a_number_or_a_truth_value_and_is_never_shown() {
        assert_eq!(filled_in("port", "80").0.unwrap().port, 80);
        assert_eq!(filled_in("retry", "true").0.unwrap().retry, Some(true));
        assert_eq!(filled_in("level", "0.5").0.unwrap().level.unwrap().fail_at(), Some(0.5));
        assert_eq!(filled_in("max", "5%").0.unwrap().max.unwrap().fail_at(), Some(0.05));
        assert_eq!(filled_in("url", "5").0.unwrap().url, "5", "a text stays one");
        for (key, text, message) in [
            ("port", "hunter2", "expected a whole number from 0 to 65535, found the text `${X}`"),
            ("port", "99999", "expected a whole number from 0 to 65535, found the text `${X}`"),
            (
                "window",
                "hunter2",
                "`${X}` is not a duration: write a number and a unit, as in 500ms, 30s, 5m, 26h or 30d",
            ),
            ("severity", "hunter2", "unknown word `${X}`: it can be `critical`, `warning` or `info`"),
            ("nested", "hunter2", "expected a list, found the text `${X}`"),
        ] {
            let (value, said) = filled_in(key, text);
            assert!(value.is_none());
            assert_eq!(said, message, "{key}");
        }
    }
}
