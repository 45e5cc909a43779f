//! Titles and summaries: texts for people, which become labels and parts of alerts, so they are bounded.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{failure::Invalid, text::one_line};

/// Maximum length of a title in characters.
pub(super) const MAX_TITLE_LEN: usize = 120;
/// Maximum length of a summary in characters.
pub(super) const MAX_SUMMARY_LEN: usize = 500;

/// Title and summary of a probe or a check.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct PeopleTexts {
    /// Human-readable name, in one line. Pages, alerts, reports and dashboards show it.
    #[schemars(length(min = 1, max = MAX_TITLE_LEN))]
    pub title: Option<String>,
    /// Impact of a failure, in one sentence. Alerts and pages show it.
    #[schemars(length(min = 1, max = MAX_SUMMARY_LEN))]
    pub summary: Option<String>,
}

/// Names of the keys of [`PeopleTexts`].
pub(super) const TEXT_KEYS: [&str; 2] = ["title", "summary"];

impl PeopleTexts {
    /// Validates the texts. Line breaks of a summary become spaces, because YAML folds long texts.
    pub(super) fn validated(self) -> (Self, Vec<Invalid>) {
        let title = self.title.map(|title| title.trim().to_owned());
        let summary = self.summary.map(|summary| summary.split_whitespace().collect::<Vec<_>>().join(" "));
        let invalid = [
            title.as_deref().and_then(|title| check("title", title, MAX_TITLE_LEN)),
            summary.as_deref().and_then(|summary| check("summary", summary, MAX_SUMMARY_LEN)),
        ];
        (Self { title, summary }, invalid.into_iter().flatten().collect())
    }
}

fn check(key: &'static str, text: &str, max: usize) -> Option<Invalid> {
    let length = text.chars().count();
    let message = match () {
        () if text.is_empty() => format!("`{key}` is empty: remove the key, or write a text"),
        () if length > max => format!("`{key}` has {length} characters, at most {max} are allowed"),
        () if one_line(text) != text => format!("`{key}` must be one line of visible characters"),
        () => return None,
    };
    Some(Invalid::at(key, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_visible() {
        let problem = |title: &str, summary: &str| {
            let texts = PeopleTexts { title: Some(title.to_owned()), summary: Some(summary.to_owned()) };
            let (texts, invalid) = texts.validated();
            (
                texts.title.unwrap(),
                texts.summary.unwrap(),
                invalid.into_iter().map(|one| one.message).collect::<Vec<_>>(),
            )
        };
        let good = problem(" Orders are written ", "Nobody\n  can order.\n");
        assert_eq!(good, ("Orders are written".to_owned(), "Nobody can order.".to_owned(), vec![]));
        let long = "x".repeat(MAX_TITLE_LEN + 1);
        for (title, summary, message) in [
            ("", "x", "`title` is empty: remove the key, or write a text"),
            ("x", " ", "`summary` is empty: remove the key, or write a text"),
            (&*long, "x", "`title` has 121 characters, at most 120 are allowed"),
            ("two\nlines", "x", "`title` must be one line of visible characters"),
            ("x", "a\u{202e}b", "`summary` must be one line of visible characters"),
        ] {
            assert_eq!(problem(title, summary).2, [message]);
        }
    }
}
