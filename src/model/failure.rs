//! Failures: why something could not be observed, and which setting is wrong.

use super::{text::one_line, words::Reason};

/// A rule broken by otherwise well-formed settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The key that carries the mistake, where it is one.
    pub key: Option<&'static str>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Invalid {
    /// A mistake at a key.
    pub fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key: Some(key), message: message.into() }
    }
}

/// Why something could not be observed: a word for labels, prose for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// From the closed list; becomes a label.
    pub reason: Reason,
    /// For the log and the API; never a label, never a secret.
    pub detail: String,
}

impl Failure {
    /// A failure with its story.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: one_line(detail) }
    }

    /// A failure with the story of an error and of what caused it.
    pub fn from_error(reason: Reason, what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut detail = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many libraries repeat the cause in their own text already.
            if !detail.contains(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
            cause = error.source();
        }
        Self::new(reason, detail)
    }
}
