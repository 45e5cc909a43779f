//! Whether a check looks back at failed runs.

use crate::document::Node;

/// Whether a check looks back: after an outage of its probe has ended, the check still counts the failed runs, until they
/// have left its window. Such a check does not describe the present, so it takes part in `/ready` only on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksBack {
    /// The check describes the present.
    Never,
    /// The check looks back.
    Always,
    /// The check looks back unless this setting is present.
    Unless(&'static str),
    /// The check looks back if this setting has this word as its value.
    If(&'static str, &'static str),
}

impl LooksBack {
    /// Whether a check with these settings looks back.
    #[must_use]
    pub(crate) fn applies_to(self, settings: &Node) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Unless(key) => settings.get(key).is_none(),
            Self::If(key, word) => settings.get(key).and_then(Node::text) == Some(word),
        }
    }

    /// The condition in words, for the reference; `None` for checks that never look back.
    #[must_use]
    pub fn condition_text(self) -> Option<String> {
        match self {
            Self::Never => None,
            Self::Always => Some("always".to_owned()),
            Self::Unless(key) => Some(format!("without `{key}`")),
            Self::If(key, word) => Some(format!("with `{key}: {word}`")),
        }
    }
}
