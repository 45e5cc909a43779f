//! Parses YAML into [`Node`]s, strictly and within bounds, and serializes values as YAML.
//!
//! It uses the parser's events rather than serde, because only the events give every key and value a location and allow
//! parsing to continue after a duplicate key. Strict means YAML 1.2: `yes` is a text, `0600` is the number 600, keys
//! are unique texts, and `!!str` is the only tag. Aliases and `<<` work; their copies count towards the limits.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Diagnostics, Location, MapEntry, Node, NodeValue};

/// Deepest nesting; safe for every stack size.
const MAX_DEPTH: usize = 64;
/// Most nodes of one file, copies through aliases included. A text counts once for every 64 bytes.
const MAX_NODES: usize = 1_000_000;

impl Diagnostics {
    /// Parses a YAML document and adds its errors to the list. Returns `None` if no tree could be built.
    pub(crate) fn parse(&mut self, name: impl Into<String>, text: Arc<str>) -> Option<Node> {
        let source = self.add_source(name, Arc::clone(&text));
        if let Some(at) = text.find('\0') {
            let line = text.get(..at).unwrap_or_default().lines().count().max(1);
            let location = Location { source, line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
            self.push(location, "a NUL byte: this is not a text file", None);
            return None;
        }
        let options = granit_parser::options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            disallow_directives: true,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        let events = Parser::new_from_str_with_options(&text, options);
        TreeBuilder { source, problems: self, open: Vec::new(), anchors: HashMap::new(), node_count: 0, root: None }
            .build(events)
    }
}

struct TreeBuilder<'p> {
    source: u16,
    problems: &'p mut Diagnostics,
    open: Vec<OpenContainer>,
    anchors: HashMap<usize, (Node, usize)>,
    /// Number of nodes so far.
    node_count: usize,
    root: Option<Node>,
}

/// A list or map that has not ended yet.
struct OpenContainer {
    location: Location,
    anchor: usize,
    /// Node count before the container.
    before: usize,
    content: Container,
}

enum Container {
    List(Vec<Node>),
    Map { entries: Vec<MapEntry>, key: Option<(Box<str>, Location)>, seen: HashSet<Box<str>>, merged: Vec<Node> },
}

/// Parsing was aborted; the error is already reported.
struct Aborted;

impl TreeBuilder<'_> {
    fn build<'a>(mut self, events: Parser<'a, StrInput<'a>>) -> Option<Node> {
        for event in events {
            let step = match event {
                Ok((event, span)) => {
                    let location = self.location_of(&span);
                    self.handle_event(event, location)
                }
                Err(error) => {
                    let (line, column) = (error.marker().line(), error.marker().col());
                    let location = self.location_at(line, column);
                    Err(self.abort(location, format!("this is not valid YAML: {}", error.kind())))
                }
            };
            if step.is_err() {
                return None;
            }
        }
        if self.root.is_none() {
            let location = Location { source: self.source, ..Location::default() };
            self.problems.push(location, "the file is empty", None);
        }
        self.root
    }

    fn handle_event(&mut self, event: Event<'_>, location: Location) -> Result<(), Aborted> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                return Err(self.abort(location, "a second document: one file holds one document"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let weight = 1 + text.len() / 64;
                self.count_nodes(weight, location)?;
                let value = self.scalar(text, style, tag, location);
                self.add_node(Node::new(location, value), anchor, weight)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open_container(Container::List(Vec::new()), anchor, tag, location)?
            }
            Event::MappingStart(_, anchor, tag) => {
                let map = Container::Map { entries: Vec::new(), key: None, seen: HashSet::new(), merged: Vec::new() };
                self.open_container(map, anchor, tag, location)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close_container()?,
            Event::Alias(anchor) => {
                // An anchor is registered at the end of its node, so a node can't contain itself.
                let Some(weight) = self.anchors.get(&anchor).map(|(_, weight)| *weight) else {
                    return Err(self.abort(location, "this alias refers to a node that contains it"));
                };
                self.count_nodes(weight, location)?;
                if let Some((node, _)) = self.anchors.get(&anchor) {
                    let node = node.clone();
                    self.add_node(node, 0, 0)?;
                }
            }
            // The name is not quoted: it may be a password that should stand in quotes.
            Event::UnresolvedAlias(_) => {
                let message = "an alias without an anchor before it: put a text that starts with `*` in quotes";
                self.problems.push(location, message, None);
                self.add_node(Node::new(location, NodeValue::Incomplete), 0, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open_container(
        &mut self,
        content: Container,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        location: Location,
    ) -> Result<(), Aborted> {
        self.refuse_tag(tag.as_deref(), location);
        if let Some(OpenContainer { content: Container::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(self.abort(location, "a key must be a text, not a map or a list"));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(self.abort(location, format!("more than {MAX_DEPTH} levels deep")));
        }
        let before = self.node_count;
        self.count_nodes(1, location)?;
        self.open.push(OpenContainer { location, anchor, before, content });
        Ok(())
    }

    fn close_container(&mut self) -> Result<(), Aborted> {
        let Some(OpenContainer { location, anchor, before, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Container::List(items) => NodeValue::List(items),
            Container::Map { mut entries, mut seen, merged, .. } => {
                for node in merged {
                    self.merge(node, &mut entries, &mut seen);
                }
                NodeValue::Map(entries)
            }
        };
        self.add_node(Node::new(location, value), anchor, self.node_count - before)
    }

    /// Merges `<<`: explicit keys win over merged keys; of several merged maps, the first wins.
    fn merge(&mut self, node: Node, entries: &mut Vec<MapEntry>, seen: &mut HashSet<Box<str>>) {
        match node.value {
            NodeValue::Map(more) => entries.extend(more.into_iter().filter(|entry| seen.insert(entry.key.clone()))),
            NodeValue::List(nodes) => nodes.into_iter().for_each(|node| self.merge(node, entries, seen)),
            _ => self.problems.push_expected(&node, "a map, or a list of maps"),
        }
    }

    /// Adds a node to the open list or map, or as the root.
    fn add_node(&mut self, mut node: Node, anchor: usize, weight: usize) -> Result<(), Aborted> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Container::List(items) => items.push(node),
            Container::Map { entries, key, seen, merged } => match key.take() {
                None => {
                    let location = node.location;
                    let NodeValue::Text(text) = node.value else {
                        return Err(self.abort(location, "a key must be a text: put it in quotes"));
                    };
                    *key = Some((text, location));
                }
                Some((name, location)) if &*name == "<<" => {
                    node.key = location;
                    merged.push(node);
                }
                Some((name, location)) => {
                    node.key = location;
                    if seen.insert(name.clone()) {
                        entries.push(MapEntry { key: name, node });
                    } else {
                        let first = entries.iter().find(|entry| entry.key == name).map_or(0, |e| e.node.key.line);
                        self.problems.push(
                            location,
                            format!("key `{name}` is defined twice: first in line {first}"),
                            None,
                        );
                    }
                }
            },
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        location: Location,
    ) -> NodeValue {
        let is_text = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !is_text {
            self.refuse_tag(tag.as_deref(), location);
        }
        if is_text || style != ScalarStyle::Plain {
            return NodeValue::Text(text.into());
        }
        parse_plain_scalar(&text).unwrap_or_else(|| {
            self.problems.push(
                location,
                format!("`{text}` is not a finite number; put it in quotes if it is a text"),
                None,
            );
            NodeValue::Incomplete
        })
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, location: Location) {
        if tag.is_some() {
            let message = "only the tag `!!str` is supported: put a text that starts with `!` in quotes";
            self.problems.push(location, message, None);
        }
    }

    fn count_nodes(&mut self, weight: usize, location: Location) -> Result<(), Aborted> {
        self.node_count = self.node_count.saturating_add(weight);
        if self.node_count <= MAX_NODES {
            return Ok(());
        }
        Err(self.abort(location, "too large: more than a million values, copies through aliases included"))
    }

    fn abort(&mut self, location: Location, why: impl Into<String>) -> Aborted {
        self.problems.push(location, why, None);
        Aborted
    }

    fn location_of(&self, span: &Span) -> Location {
        self.location_at(span.start.line(), span.start.col())
    }

    fn location_at(&self, line: usize, column: usize) -> Location {
        let column = u16::try_from(column.saturating_add(1)).unwrap_or(u16::MAX);
        Location { source: self.source, line: u32::try_from(line).unwrap_or(u32::MAX), column }
    }
}

/// Parses a plain scalar by the core schema of YAML 1.2.2 (chapter 10.3.2). Returns `None` for `.nan`, `.inf` and
/// similar values.
fn parse_plain_scalar(text: &str) -> Option<NodeValue> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        _ if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => {
            NodeValue::Text(text.into())
        }
        _ => return parse_number(text),
    };
    Some(value)
}

fn parse_number(text: &str) -> Option<NodeValue> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return None;
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok());
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| text.parse().ok()) {
        return Some(NodeValue::Int(value));
    }
    if let Ok(value) = text.parse() {
        return Some(NodeValue::Unsigned(value));
    }
    // Rust also parses `inf` and similar words; the checks above exclude them.
    let is_float = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    match text.parse::<f64>() {
        Ok(value) if is_float => value.is_finite().then_some(NodeValue::Float(value)),
        _ => Some(NodeValue::Text(text.into())),
    }
}

/// Serializes a value as YAML for display.
#[must_use]
pub fn to_yaml(value: &impl serde::Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# {error}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut problems = Diagnostics::default();
        let mut out = String::new();
        match problems.parse("x", text.into()) {
            Some(node) if problems.is_empty() => node.write_canonical(&mut out),
            _ => out = problems.to_string(),
        }
        out
    }

    #[test]
    fn scalars_follow_yaml_1_2() {
        for (text, meant) in [
            ("~", "~"),
            ("null", "~"),
            ("true", "true"),
            ("yes", "\"yes\""),
            ("'true'", "\"true\""),
            ("0600", "600"),
            ("0o17", "15"),
            ("0x1F", "31"),
            ("-5", "-5"),
            ("18446744073709551615", "18446744073709551615"),
            ("99999999999999999999", "1e20"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("1.2.3", "\"1.2.3\""),
            ("127.0.0.1:80", "\"127.0.0.1:80\""),
            ("5m", "\"5m\""),
            ("1_000", "\"1_000\""),
            ("-", "[~,]"),
            ("infinity", "\"infinity\""),
            ("!!str 5", "\"5\""),
            ("|\n  a\n  b\n", "\"a\\nb\\n\""),
        ] {
            assert_eq!(canonical(text), meant, "{text}");
        }
        assert!(canonical(".nan").contains("not a finite number"));
        assert!(canonical("1e999").contains("not a finite number"));
    }

    #[test]
    fn aliases_and_merges_copy_and_explicit_keys_win() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd: *a\n";
        assert!(canonical(text).ends_with("\"c\":{\"x\":9,\"y\":2,\"z\":4,},\"d\":{\"x\":1,\"y\":2,},}"));
    }

    #[test]
    fn locations_are_those_of_keys_and_values() {
        let mut problems = Diagnostics::default();
        let node = problems.parse("x", "# c\na:\n  - é: [1, two]\n".into()).unwrap();
        let NodeValue::List(items) = &node.get("a").unwrap().value else { panic!("{node:?}") };
        let list = items[0].get("é").unwrap();
        let NodeValue::List(inner) = &list.value else { panic!("{list:?}") };
        let at = |location: Location| (location.line, location.column);
        assert_eq!((at(node.get("a").unwrap().key), at(list.key), at(list.location)), ((2, 1), (3, 5), (3, 8)));
        assert_eq!(at(inner[1].location), (3, 12));
    }

    #[test]
    fn what_is_written_as_yaml_reads_back() {
        let value = serde_json::json!({"a": ["yes", "5", 5, null, true, ": #", "two\nlines", ""], "b": {}, "c": []});
        let back: serde_json::Value = serde_saphyr::from_str(&to_yaml(&value)).unwrap();
        assert_eq!(back, value);
    }
}
