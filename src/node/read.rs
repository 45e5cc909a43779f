//! Reading a typed value out of a piece, with everything that is wrong with it and not just the first.
//!
//! Serde stops at its first error. So what was wrong is passed over and the rest is read again, until it ends well or
//! nothing is left; keys that are missing only because they were passed over are not reported.

use serde::de::DeserializeOwned;

use super::{
    Node, Problems, Value,
    de::{Error, Inner, Reader, Without},
};

/// Mistakes in one piece; more than anyone repairs at once, and a bound on the time that this takes.
const MOST: usize = 40;

impl Node {
    /// Reads a value out of this piece; what is wrong is added to the list, all of it.
    pub fn read<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        let (value, whole) = self.salvage(problems);
        value.filter(|_| whole)
    }

    /// As [`Node::read`], but what is left without the mistakes is handed out too, if that is enough for a value;
    /// the second says whether it is the whole.
    pub(crate) fn salvage<T: DeserializeOwned>(&self, problems: &mut Problems) -> (Option<T>, bool) {
        let mut without = Without::default();
        for mistakes in 0..MOST {
            let error = match T::deserialize(Reader { node: self, without: &without }) {
                Ok(value) => return (Some(value), mistakes == 0),
                Err(error) => error.into_inner(),
            };
            let innermost = error.path.first().copied();
            let map = error.path.get(1).copied().unwrap_or(self);
            let known = error.known || innermost.is_some_and(|at| without.nodes.contains(&at));
            let hole = error.missing.map(|key| (innermost.unwrap_or(self), key.to_owned()));
            // What gives way is the innermost piece that has not given way yet.
            let next = error.path.iter().copied().find(|at| !without.nodes.contains(at));
            if !known && !hole.is_some_and(|hole| without.holes.contains(&hole)) {
                let error = self.explain::<T>(error, &without);
                // `nmae` stands for `name`: that one isn't missing then.
                without.holes.extend(error.suggestion.iter().map(|key| (map, key.clone())));
                let whole = if error.missing.is_some() { self.head() } else { self.place };
                problems.push(error.place.unwrap_or(whole), error.message, error.suggestion);
            }
            let Some(next) = next else { break };
            without.holes.extend(self.key_of(next).map(|key| (map, key)));
            without.nodes.insert(next);
        }
        (None, false)
    }

    /// Makes sure that an error shows nothing that was filled in. If it is about one such text, the text as it is
    /// written is read in its place, which fails in the same words.
    fn explain<T: DeserializeOwned>(&self, error: Inner, without: &Without) -> Inner {
        let at = error.path.first().copied().unwrap_or(self);
        let Some(Node { value, .. }) = self.find(at) else { return error };
        if !matches!(value, Value::Resolved(_)) {
            let message = self.find(at).unwrap_or(self).veil(error.message);
            return Inner { message, ..error };
        }
        let veiled = Without { nodes: without.nodes.clone(), veiled: Some(at), ..Without::default() };
        let again = T::deserialize(Reader { node: self, without: &veiled }).map_err(Error::into_inner);
        match again {
            Err(again) if again.path.first() == error.path.first() => again,
            _ => Inner { message: "what is filled in here is not valid".to_owned(), suggestion: None, ..error },
        }
    }

    /// The piece with this address.
    fn find(&self, at: *const Node) -> Option<&Node> {
        if std::ptr::eq(self, at) {
            return Some(self);
        }
        match &self.value {
            Value::List(items) => items.iter().find_map(|item| item.find(at)),
            Value::Map(entries) => entries.iter().find_map(|entry| entry.node.find(at)),
            _ => None,
        }
    }

    /// The key of the piece with this address.
    fn key_of(&self, at: *const Node) -> Option<String> {
        match &self.value {
            Value::List(items) => items.iter().find_map(|item| item.key_of(at)),
            Value::Map(entries) => entries.iter().find_map(|entry| {
                if std::ptr::eq(&entry.node, at) { Some(entry.key.to_string()) } else { entry.node.key_of(at) }
            }),
            _ => None,
        }
    }
}
