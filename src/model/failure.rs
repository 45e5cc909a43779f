//! Failures of runs, and invalid settings.

use super::{
    text::one_line,
    words::{Origin, Reason},
};

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
    /// Clause that explains the failure in alerts, if the general meaning of the reason is too vague. It becomes a
    /// label, and its type keeps the number of values small.
    pub meaning: Option<&'static str>,
    /// Side on which the cause lies.
    pub origin: Origin,
}

impl Failure {
    /// Creates a failure; the text is reduced to one line.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: one_line(detail), meaning: None, origin: Origin::Target }
    }

    /// Replaces the general meaning of the reason in alerts by a clause, such as "the secret file does not exist".
    #[must_use]
    pub fn with_meaning(self, meaning: &'static str) -> Self {
        Self { meaning: Some(meaning), ..self }
    }

    /// States that the cause lies in the credentials, files or privileges of this exporter, and replaces the meaning.
    #[must_use]
    pub fn of_exporter(self, meaning: &'static str) -> Self {
        Self { meaning: Some(meaning), origin: Origin::Exporter, ..self }
    }

    /// Replaces the text and keeps the cause.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: one_line(detail), ..self }
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
