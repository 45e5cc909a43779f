//! Filters in query strings, for the page and the API: `?status=fail,unknown&category=backup&service=shop&q=orders`.

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
    pub(super) services: Vec<String>,
    /// Text to find in names, service, owner or finding, ignoring case.
    pub(super) text: String,
    /// The text in lower case.
    wanted: String,
}

/// Most characters of the text, as in the search field of the page.
const MAX_TEXT_CHARS: usize = 200;
/// Most services in a filter.
const MAX_SERVICES: usize = 20;

/// A filter that can't be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum InvalidFilter {
    /// A value that doesn't exist.
    #[error("`{word}` is not a {key}; valid values: {known}")]
    UnknownValue { key: &'static str, word: String, known: String },
    /// A text that is too long.
    #[error("the text q is longer than {MAX_TEXT_CHARS} characters")]
    TextTooLong,
    /// Too many services, or a name that is too long.
    #[error("a filter has at most {MAX_SERVICES} services of at most {MAX_TEXT_CHARS} characters each")]
    InvalidServices,
}

impl InvalidFilter {
    /// The error without the value, so that all unknown values share one page.
    pub(super) fn note(&self) -> String {
        match self {
            Self::UnknownValue { key, known, .. } => {
                format!("the address contains an unknown {key}; valid values: {known}")
            }
            Self::TextTooLong | Self::InvalidServices => self.to_string(),
        }
    }
}

impl FromStr for CheckFilter {
    type Err = InvalidFilter;

    fn from_str(query: &str) -> Result<Self, InvalidFilter> {
        let mut filter = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
            match &*key {
                "status" => filter.statuses.extend(parse_words("status", words, Status::ALL)?),
                "category" => filter.categories.extend(parse_words("category", words, Category::ALL)?),
                "severity" => filter.severities.extend(parse_words("severity", words, Severity::ALL)?),
                // The name of a service may contain a comma.
                "service" => filter.services.extend(Some(value.trim().to_owned()).filter(|name| !name.is_empty())),
                "q" => filter.text = value.trim().to_owned(),
                _ => {}
            }
        }
        if filter.text.chars().nth(MAX_TEXT_CHARS).is_some() {
            return Err(InvalidFilter::TextTooLong);
        }
        let is_too_long = |name: &String| name.chars().nth(MAX_TEXT_CHARS).is_some();
        normalize(&mut filter.services);
        if filter.services.len() > MAX_SERVICES || filter.services.iter().any(is_too_long) {
            return Err(InvalidFilter::InvalidServices);
        }
        filter.wanted = filter.text.to_lowercase();
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
) -> Result<Vec<T>, InvalidFilter> {
    let find = |word: &str| all.iter().copied().find(|one| one.to_string() == word);
    let list = || all.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    words
        .map(|word| find(word).ok_or_else(|| InvalidFilter::UnknownValue { key, word: word.to_owned(), known: list() }))
        .collect()
}

impl CheckFilter {
    /// Whether the filter was set by a reader.
    pub(super) fn is_active(&self) -> bool {
        *self != Self::default()
    }

    /// Returns the filter with other statuses.
    pub(super) fn with_statuses(&self, statuses: Vec<Status>) -> Self {
        Self { statuses, ..self.clone() }
    }

    /// Returns the filter with other services.
    pub(super) fn with_services(&self, services: Vec<String>) -> Self {
        Self { services, ..self.clone() }
    }

    /// The pairs of the query except `q`.
    pub(super) fn choices(&self) -> Vec<(&'static str, &str)> {
        let mut pairs: Vec<(&'static str, &str)> = Vec::new();
        pairs.extend(self.statuses.iter().map(|status| ("status", status.as_str())));
        pairs.extend(self.categories.iter().map(|category| ("category", category.as_str())));
        pairs.extend(self.severities.iter().map(|severity| ("severity", severity.as_str())));
        pairs.extend(self.services.iter().map(|service| ("service", &**service)));
        pairs
    }

    /// The address of the status page with this filter, relative to the status page.
    pub(super) fn address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.choices());
        if !self.text.is_empty() {
            query.append_pair("q", &self.text);
        }
        match query.finish() {
            query if query.is_empty() => "./".to_owned(),
            query => format!("?{query}"),
        }
    }

    /// Whether the filter selects a check.
    pub(super) fn matches(&self, probe: &ProbeState, check: &CheckState) -> bool {
        is_among(&self.statuses, &check.status)
            && is_among(&self.categories, &check.info.category)
            && is_among(&self.severities, &check.info.severity)
            && is_among(&self.services, &probe.info.service)
            && self.matches_text(probe, check)
    }

    fn matches_text(&self, probe: &ProbeState, check: &CheckState) -> bool {
        if self.wanted.is_empty() {
            return true;
        }
        let id = format!("{}/{}", probe.info.name, check.info.name);
        let info = &check.info;
        let texts = [&*id, &*info.title, &*probe.info.service, &*info.owner, info.kind, check.summary()];
        texts.iter().any(|text| text.to_lowercase().contains(&self.wanted))
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
        let filter: CheckFilter = "service=b+c&service=a%2Cb&service=b+c&status=warn&q=x%26y".parse().unwrap();
        assert_eq!(filter.services, ["a,b", "b c"]);
        assert_eq!(filter.address(), "?status=warn&service=a%2Cb&service=b+c&q=x%26y");
        assert_eq!(filter.address().trim_start_matches('?').parse(), Ok(filter));
        assert_eq!(CheckFilter::default().address(), "./");
        let many = (0..21).map(|n| format!("service={n}")).collect::<Vec<_>>().join("&");
        for query in [many, format!("service={}", "x".repeat(201))] {
            assert_eq!(query.parse::<CheckFilter>(), Err(InvalidFilter::InvalidServices));
        }
        let text = |length: usize| format!("q={}", "%C3%A4".repeat(length)).parse::<CheckFilter>();
        assert!(text(200).is_ok() && text(201) == Err(InvalidFilter::TextTooLong));
    }
}
