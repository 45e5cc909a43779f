//! Vocabulary of writing: a piece of the configuration as it stands in a file, and the list of what is wrong with it.

use serde::de::DeserializeOwned;

use crate::probe::Invalid;

/// A piece of the configuration.
#[derive(Debug, Clone)]
pub struct Node(pub serde_json::Value);

/// What is wrong with a configuration: all of it, not just the first.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<String>);

impl Node {
    /// Reads a value out of this piece.
    pub fn read<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        serde_json::from_value(self.0.clone()).map_err(|error| problems.0.push(error.to_string())).ok()
    }
}

impl Problems {
    /// Adds a broken rule, at the place of its key within the piece.
    pub fn invalid(&mut self, _at: &Node, invalid: Invalid) {
        self.0.push(invalid.to_string());
    }
}
