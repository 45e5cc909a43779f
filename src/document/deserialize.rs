//! Implements a serde deserializer for [`Node`]. Its errors contain the node and the location.

use std::collections::HashSet;

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::{MapEntry, Node, NodeValue, diagnostics, messages::Error};

/// Deserializes a node, leaving out the nodes with known errors.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    pub node: &'a Node,
    pub without: &'a Exclusions,
}

/// Nodes and keys with known errors. Nodes are identified by their address.
#[derive(Default)]
pub(super) struct Exclusions {
    /// Entries and items to leave out.
    pub nodes: HashSet<*const Node>,
    /// Keys that are absent only because their node was left out, with the map of each.
    pub absent_keys: HashSet<(*const Node, String)>,
    /// Missing keys that were already reported, with the map of each. A placeholder value replaces each of them, so
    /// that further missing keys are found.
    pub placeholders: HashSet<(*const Node, &'static str)>,
    /// A node to read as its source text instead of its interpolated value.
    pub source_only: Option<*const Node>,
}

impl<'a> NodeDeserializer<'a> {
    fn child(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn is_excluded(self, node: &Node) -> bool {
        self.without.nodes.contains(&std::ptr::from_ref(node))
    }

    fn shows_source(self) -> bool {
        self.without.source_only == Some(std::ptr::from_ref(self.node))
    }

    fn map<'de, V: Visitor<'de>>(self, entries: &'a [MapEntry], visitor: V) -> Result<V::Value, Error> {
        let here = std::ptr::from_ref(self.node);
        let placeholders =
            self.without.placeholders.iter().filter(|(map, _)| *map == here).map(|(_, key)| *key).collect();
        visitor.visit_map(Map { reader: self, entries: entries.iter(), current: None, placeholders })
    }

    fn list<'de, V: Visitor<'de>>(self, items: &'a [Node], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(List { reader: self, items: items.iter() })
    }

    /// Parses an interpolated text as a number or boolean, because a variable can only hold text.
    fn interpolated_scalar(self) -> Option<Scalar> {
        let NodeValue::Interpolated(resolved) = &self.node.value else { return None };
        if self.shows_source() {
            return None;
        }
        let text = resolved.value.trim();
        match text {
            "true" => return Some(Scalar::Bool(true)),
            "false" => return Some(Scalar::Bool(false)),
            _ => {}
        }
        let number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        if let Some(number) = text.parse().ok().filter(|_| number) {
            return Some(Scalar::Int(number));
        }
        if let Some(number) = text.parse().ok().filter(|_| number) {
            return Some(Scalar::Unsigned(number));
        }
        text.parse().ok().filter(|value: &f64| number && value.is_finite()).map(Scalar::Float)
    }
}

enum Scalar {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (&self.node.value, self.interpolated_scalar()) {
            (_, Some(Scalar::Bool(value))) | (&NodeValue::Bool(value), _) => visitor.visit_bool(value),
            (_, Some(Scalar::Int(number))) | (&NodeValue::Int(number), _) => match u64::try_from(number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(number),
            },
            (_, Some(Scalar::Unsigned(number))) | (&NodeValue::Unsigned(number), _) => visitor.visit_u64(number),
            (_, Some(Scalar::Float(number))) | (&NodeValue::Float(number), _) => visitor.visit_f64(number),
            (NodeValue::Null, _) => visitor.visit_unit(),
            (NodeValue::Incomplete, _) => Err(Error::already_reported()),
            (NodeValue::Text(_) | NodeValue::Interpolated(_), _) => self.deserialize_str(visitor),
            (NodeValue::List(items), _) => self.list(items, visitor),
            (NodeValue::Map(entries), _) => self.map(entries, visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            NodeValue::Text(text) => visitor.visit_str(text),
            NodeValue::Interpolated(resolved) if self.shows_source() => visitor.visit_str(&resolved.source),
            NodeValue::Interpolated(resolved) => visitor.visit_str(&resolved.value),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            // `health:` is equivalent to `health: {}`.
            NodeValue::Null => self.map(&[], visitor),
            // Serde would accept a list as the values of the keys in order.
            NodeValue::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &"a map")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            NodeValue::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant { reader: self, entry }),
                _ => Err(Error::new(format!("expected one key: {}", diagnostics::list_words(words)))),
            },
            NodeValue::Text(text) => visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(&**text)),
            NodeValue::Interpolated(resolved) => {
                let text = if self.shows_source() { &*resolved.source } else { resolved.value.as_str() };
                visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(text))
            }
            NodeValue::Incomplete => Err(Error::already_reported()),
            _ => Err(Error::new(format!("expected {}", diagnostics::list_words(words)))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple tuple_struct
        map ignored_any
    }
}

struct Map<'a> {
    reader: NodeDeserializer<'a>,
    entries: std::slice::Iter<'a, MapEntry>,
    current: Option<&'a MapEntry>,
    placeholders: Vec<&'static str>,
}

impl<'de> de::MapAccess<'de> for Map<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let reader = self.reader;
        self.current = self.entries.find(|entry| !reader.is_excluded(&entry.node));
        let Some(entry) = self.current else {
            let key = self.placeholders.pop().map(IntoDeserializer::<Error>::into_deserializer);
            return key.map(|key| seed.deserialize(key)).transpose();
        };
        let key = seed.deserialize(IntoDeserializer::<Error>::into_deserializer(&*entry.key));
        key.map(Some).map_err(|error| error.at_location(entry.node.key).inside(&entry.node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.current.take() else {
            return seed.deserialize(PlaceholderValue).map_err(|_| Error::already_reported());
        };
        seed.deserialize(self.reader.child(&entry.node)).map_err(|error| error.inside(&entry.node))
    }
}

struct List<'a> {
    reader: NodeDeserializer<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'de> de::SeqAccess<'de> for List<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let reader = self.reader;
        let Some(item) = self.items.find(|item| !reader.is_excluded(item)) else { return Ok(None) };
        seed.deserialize(reader.child(item)).map(Some).map_err(|error| error.inside(item))
    }
}

/// An externally tagged enum: `variant: settings`.
struct Variant<'a> {
    reader: NodeDeserializer<'a>,
    entry: &'a MapEntry,
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let key = seed.deserialize(IntoDeserializer::<Error>::into_deserializer(&*self.entry.key));
        match key {
            Ok(key) => Ok((key, self)),
            Err(error) => Err(error.at_location(self.entry.node.key)),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.entry.node.is_null() {
            return Ok(());
        }
        Err(Error::new(format!("`{}` takes no settings", self.entry.key)).at_location(self.entry.node.location))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let node = &self.entry.node;
        seed.deserialize(self.reader.child(node)).map_err(|error| error.inside(node))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        let node = &self.entry.node;
        self.reader.child(node).deserialize_any(visitor).map_err(|error| error.inside(node))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let node = &self.entry.node;
        self.reader.child(node).deserialize_struct("", &[], visitor).map_err(|error| error.inside(node))
    }
}

/// Replaces a missing value. It suits most types; for other types no further error of its map is reported.
struct PlaceholderValue;

impl<'de> Deserializer<'de> for PlaceholderValue {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(false)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(1)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(1)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(de::value::SeqDeserializer::new(std::iter::empty::<&str>()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf option unit unit_struct tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
