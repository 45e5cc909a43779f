//! Failures of runs, and invalid settings.

use super::{text::one_line, words::Reason};

/// A violated rule between settings that are well-formed one by one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The invalid key, if the rule concerns a single key.
    pub key: Option<&'static str>,
    /// Description of the error and its remedy.
    pub message: String,
}

impl Invalid {
    /// Creates an error at a key.
    pub fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key: Some(key), message: message.into() }
    }
}

/// Cause of a failed operation: a reason for labels, and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// Reason from the closed list. It becomes a label.
    pub reason: Reason,
    /// Text for the log and the API. It never becomes a label and never contains a secret.
    pub detail: String,
}

impl Failure {
    /// Creates a failure; the text is reduced to one line.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: one_line(detail) }
    }

    /// Creates a failure from an error and its chain of sources.
    pub fn from_error(reason: Reason, what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut detail = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries repeat the text of the source in their own text.
            if !detail.contains(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
            cause = error.source();
        }
        Self::new(reason, detail)
    }
}
