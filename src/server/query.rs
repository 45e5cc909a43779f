//! Filters in query strings, for the page and the API: `?status=fail,unknown&category=backup&q=orders`.

use std::{fmt, str::FromStr};

use url::form_urlencoded;

use crate::{
    board::{CheckState, ProbeState},
    model::words::{Category, Severity, Status},
};

/// Selects checks; an empty list selects all. Equivalent queries have equal filters, because pages are cached by filter
/// and a client must not multiply cached pages.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct CheckFilter {
    pub(super) statuses: Vec<Status>,
    pub(super) categories: Vec<Category>,
    pub(super) severities: Vec<Severity>,
    /// Text to find in names, service, owner or finding, ignoring case.
    pub(super) text: String,
}

/// An unknown value of a filter.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("`{word}` is not a {key}; valid values: {known}")]
pub(super) struct UnknownFilterValue {
    key: &'static str,
    word: String,
    known: String,
}

impl UnknownFilterValue {
    /// The error without the value, so that all unknown values share one page.
    pub(super) fn note(&self) -> String {
        let Self { key, known, .. } = self;
        format!("the address contains an unknown {key}; valid values: {known}")
    }
}

impl FromStr for CheckFilter {
    type Err = UnknownFilterValue;

    fn from_str(query: &str) -> Result<Self, UnknownFilterValue> {
        let mut filter = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
            match &*key {
                "status" => filter.statuses.extend(parse_words("status", words, Status::ALL)?),
                "category" => filter.categories.extend(parse_words("category", words, Category::ALL)?),
                "severity" => filter.severities.extend(parse_words("severity", words, Severity::ALL)?),
                "q" => filter.text = value.trim().to_owned(),
                _ => {}
            }
        }
        normalize(&mut filter.statuses);
        normalize(&mut filter.categories);
        normalize(&mut filter.severities);
        Ok(filter)
    }
}

fn normalize<T: Ord>(words: &mut Vec<T>) {
    words.sort_unstable();
    words.dedup();
}

fn parse_words<'a, T: Copy + fmt::Display>(
    key: &'static str,
    words: impl Iterator<Item = &'a str>,
    all: &[T],
) -> Result<Vec<T>, UnknownFilterValue> {
    let find = |word: &str| all.iter().copied().find(|one| one.to_string() == word);
    let list = || all.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    words
        .map(|word| find(word).ok_or_else(|| UnknownFilterValue { key, word: word.to_owned(), known: list() }))
        .collect()
}

impl CheckFilter {
    /// Whether the filter selects a check.
    pub(super) fn matches(&self, probe: &ProbeState, check: &CheckState) -> bool {
        is_among(&self.statuses, &check.status)
            && is_among(&self.categories, &check.info.category)
            && is_among(&self.severities, &check.info.severity)
            && self.matches_text(probe, check)
    }

    fn matches_text(&self, probe: &ProbeState, check: &CheckState) -> bool {
        let id = format!("{}/{}", probe.info.name, check.info.name);
        let texts = [&*id, &*probe.info.service, &*check.info.owner, check.info.kind, check.summary()];
        let wanted = self.text.to_lowercase();
        wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }
}

fn is_among<T: PartialEq>(wanted: &[T], one: &T) -> bool {
    wanted.is_empty() || wanted.contains(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_joined_or_repeated_and_unknown_ones_are_refused() {
        let filter: CheckFilter = "status=fail,unknown&status=warn&q=Two+Words&t=1".parse().unwrap();
        assert_eq!(filter.statuses, [Status::Warn, Status::Fail, Status::Unknown]);
        assert_eq!("x=1&status=warn,fail&q=+Two+Words&status=warn,unknown&y=2".parse(), Ok(filter.clone()));
        assert_eq!(filter.text, "Two Words");
        assert_eq!("".parse::<CheckFilter>(), Ok(CheckFilter::default()));
        let error = "status=failed".parse::<CheckFilter>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`failed` is not a status; valid values: pass, warn, fail, unknown, pending, skipped"
        );
    }
}
