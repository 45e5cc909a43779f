//! YAML: a text becomes a [`Node`], strictly and within bounds; values become a text again.
//!
//! It is read from the parser's events rather than through serde, because only so every key and value has a place
//! and a file is read on after a key that is there twice. Strict means YAML 1.2: `yes` is a text, `0600` is six
//! hundred, a key is a text and is there once, no tag but `!!str`. Aliases and `<<` work; what they copy is counted.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Diagnostics, Location, MapEntry, Node, NodeValue};

/// Deeper than any configuration, shallow enough for every stack.
const DEEPEST: usize = 64;
/// Pieces of one file with all copies through aliases; a text counts once for every 64 bytes.
const LARGEST: usize = 1_000_000;

impl Diagnostics {
    /// Reads a YAML document; what is wrong with it is added to the list. `None` if there is nothing to go on with.
    pub(crate) fn parse(&mut self, name: impl Into<String>, text: Arc<str>) -> Option<Node> {
        let source = self.source(name, Arc::clone(&text));
        if let Some(at) = text.find('\0') {
            let line = text.get(..at).unwrap_or_default().lines().count().max(1);
            let place = Location { source, line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
            self.push(place, "a NUL byte: this is not a text file", None);
            return None;
        }
        let options = granit_parser::options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            disallow_directives: true,
            flow_nesting_limit: DEEPEST,
            block_nesting_limit: DEEPEST,
        };
        let events = Parser::new_from_str_with_options(&text, options);
        TreeBuilder { source, problems: self, open: Vec::new(), anchors: HashMap::new(), spent: 0, root: None }
            .build(events)
    }
}

struct TreeBuilder<'p> {
    source: u16,
    problems: &'p mut Diagnostics,
    open: Vec<OpenContainer>,
    anchors: HashMap<usize, (Node, usize)>,
    /// Pieces so far.
    spent: usize,
    root: Option<Node>,
}

/// A list or map whose end has not come yet.
struct OpenContainer {
    place: Location,
    anchor: usize,
    /// What had been spent before it.
    before: usize,
    content: Container,
}

enum Container {
    List(Vec<Node>),
    Map { entries: Vec<MapEntry>, key: Option<(Box<str>, Location)>, seen: HashSet<Box<str>>, merged: Vec<Node> },
}

/// The document is given up; the problem is on the list.
struct GivenUp;

impl TreeBuilder<'_> {
    fn build<'a>(mut self, events: Parser<'a, StrInput<'a>>) -> Option<Node> {
        for event in events {
            let step = match event {
                Ok((event, span)) => {
                    let place = self.place(&span);
                    self.take(event, place)
                }
                Err(error) => {
                    let (line, column) = (error.marker().line(), error.marker().col());
                    let place = self.at(line, column);
                    Err(self.give_up(place, format!("this is not valid YAML: {}", error.kind())))
                }
            };
            if step.is_err() {
                return None;
            }
        }
        if self.root.is_none() {
            let place = Location { source: self.source, ..Location::default() };
            self.problems.push(place, "the file is empty", None);
        }
        self.root
    }

    fn take(&mut self, event: Event<'_>, place: Location) -> Result<(), GivenUp> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                return Err(self.give_up(place, "a second document: one file holds one document"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let weight = 1 + text.len() / 64;
                self.spend(weight, place)?;
                let value = self.scalar(text, style, tag, place);
                self.add(Node::new(place, value), anchor, weight)?;
            }
            Event::SequenceStart(_, anchor, tag) => self.open(Container::List(Vec::new()), anchor, tag, place)?,
            Event::MappingStart(_, anchor, tag) => {
                let map = Container::Map { entries: Vec::new(), key: None, seen: HashSet::new(), merged: Vec::new() };
                self.open(map, anchor, tag, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => {
                // An anchor that is still open is not known yet: nothing can contain itself.
                let Some(weight) = self.anchors.get(&anchor).map(|(_, weight)| *weight) else {
                    return Err(self.give_up(place, "this alias stands inside of what it stands for"));
                };
                self.spend(weight, place)?;
                if let Some((node, _)) = self.anchors.get(&anchor) {
                    let node = node.clone();
                    self.add(node, 0, 0)?;
                }
            }
            Event::UnresolvedAlias(name) => {
                self.problems.push(
                    place,
                    format!("`*{name}` stands for nothing: there is no `&{name}` before it"),
                    None,
                );
                self.add(Node::new(place, NodeValue::Incomplete), 0, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        content: Container,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        place: Location,
    ) -> Result<(), GivenUp> {
        self.refuse_tag(tag.as_deref(), place);
        if let Some(OpenContainer { content: Container::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(self.give_up(place, "a key must be a text, not a map or a list"));
        }
        if self.open.len() == DEEPEST {
            return Err(self.give_up(place, format!("more than {DEEPEST} levels deep")));
        }
        let before = self.spent;
        self.spend(1, place)?;
        self.open.push(OpenContainer { place, anchor, before, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), GivenUp> {
        let Some(OpenContainer { place, anchor, before, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Container::List(items) => NodeValue::List(items),
            Container::Map { mut entries, mut seen, merged, .. } => {
                for node in merged {
                    self.merge(node, &mut entries, &mut seen);
                }
                NodeValue::Map(entries)
            }
        };
        self.add(Node::new(place, value), anchor, self.spent - before)
    }

    /// What `<<` brings gives way to what is written, and what comes first to what comes later.
    fn merge(&mut self, node: Node, entries: &mut Vec<MapEntry>, seen: &mut HashSet<Box<str>>) {
        match node.value {
            NodeValue::Map(more) => entries.extend(more.into_iter().filter(|entry| seen.insert(entry.key.clone()))),
            NodeValue::List(nodes) => nodes.into_iter().for_each(|node| self.merge(node, entries, seen)),
            _ => self.problems.expected(&node, "a map, or a list of maps"),
        }
    }

    /// Puts a piece where it belongs: into the list or map that is open, or at the root.
    fn add(&mut self, mut node: Node, anchor: usize, weight: usize) -> Result<(), GivenUp> {
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
                    let place = node.place;
                    let NodeValue::Text(text) = node.value else {
                        return Err(self.give_up(place, "a key must be a text: put it in quotes"));
                    };
                    *key = Some((text, place));
                }
                Some((name, place)) if &*name == "<<" => {
                    node.key = place;
                    merged.push(node);
                }
                Some((name, place)) => {
                    node.key = place;
                    if seen.insert(name.clone()) {
                        entries.push(MapEntry { key: name, node });
                    } else {
                        let first = entries.iter().find(|entry| entry.key == name).map_or(0, |e| e.node.key.line);
                        self.problems.push(place, format!("key `{name}` is there twice: first in line {first}"), None);
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
        place: Location,
    ) -> NodeValue {
        let is_text = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if !is_text {
            self.refuse_tag(tag.as_deref(), place);
        }
        if is_text || style != ScalarStyle::Plain {
            return NodeValue::Text(text.into());
        }
        plain(&text).unwrap_or_else(|| {
            self.problems.push(
                place,
                format!("`{text}` is not a number to work with; put it in quotes if it is a text"),
                None,
            );
            NodeValue::Incomplete
        })
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: Location) {
        if let Some(tag) = tag {
            self.problems.push(place, format!("the tag `{}` is not supported: only `!!str` is", tag.original()), None);
        }
    }

    fn spend(&mut self, weight: usize, place: Location) -> Result<(), GivenUp> {
        self.spent = self.spent.saturating_add(weight);
        if self.spent <= LARGEST {
            return Ok(());
        }
        Err(self.give_up(place, "too large: more than a million values, copies through aliases included"))
    }

    fn give_up(&mut self, place: Location, why: impl Into<String>) -> GivenUp {
        self.problems.push(place, why, None);
        GivenUp
    }

    fn place(&self, span: &Span) -> Location {
        self.at(span.start.line(), span.start.col())
    }

    fn at(&self, line: usize, column: usize) -> Location {
        let column = u16::try_from(column.saturating_add(1)).unwrap_or(u16::MAX);
        Location { source: self.source, line: u32::try_from(line).unwrap_or(u32::MAX), column }
    }
}

/// A plain scalar by the core schema of YAML 1.2.2 (chapter 10.3.2); `None` for `.nan`, `.inf` and their like.
fn plain(text: &str) -> Option<NodeValue> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        _ if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => {
            NodeValue::Text(text.into())
        }
        _ => return number(text),
    };
    Some(value)
}

fn number(text: &str) -> Option<NodeValue> {
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
    // Rust reads `inf` and the like too, but those start with a letter or are caught above.
    let is_float = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    match text.parse::<f64>() {
        Ok(value) if is_float => value.is_finite().then_some(NodeValue::Float(value)),
        _ => Some(NodeValue::Text(text.into())),
    }
}

/// A value as YAML, for people.
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
            Some(node) if problems.is_empty() => node.canonical(&mut out),
            _ => out = problems.to_string(),
        }
        out
    }

    #[test]
    fn scalars_are_what_yaml_1_2_says() {
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
        assert!(canonical(".nan").contains("not a number to work with"));
        assert!(canonical("1e999").contains("not a number to work with"));
    }

    #[test]
    fn aliases_and_merges_copy_and_give_way_to_what_is_written() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\nd: *a\n";
        assert!(canonical(text).ends_with("\"c\":{\"x\":9,\"y\":2,\"z\":4,},\"d\":{\"x\":1,\"y\":2,},}"));
    }

    #[test]
    fn places_are_those_of_keys_and_values() {
        let mut problems = Diagnostics::default();
        let node = problems.parse("x", "# c\na:\n  - é: [1, two]\n".into()).unwrap();
        let NodeValue::List(items) = &node.get("a").unwrap().value else { panic!("{node:?}") };
        let list = items[0].get("é").unwrap();
        let NodeValue::List(inner) = &list.value else { panic!("{list:?}") };
        let at = |place: Location| (place.line, place.column);
        assert_eq!((at(node.get("a").unwrap().key), at(list.key), at(list.place)), ((2, 1), (3, 5), (3, 8)));
        assert_eq!(at(inner[1].place), (3, 12));
    }

    #[test]
    fn what_is_written_as_yaml_reads_back() {
        let value = serde_json::json!({"a": ["yes", "5", 5, null, true, ": #", "two\nlines", ""], "b": {}, "c": []});
        let back: serde_json::Value = serde_saphyr::from_str(&to_yaml(&value)).unwrap();
        assert_eq!(back, value);
    }
}
