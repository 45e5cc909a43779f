//! Reasons for which a selector matches no series of a page.
//!
//! A selector without a series may be early, because many services export a counter after its first event, or wrong. It
//! can never match if the page has a metric of nearly the same name, if no series of the metric has a label of the
//! selector, or if the values of a label have another notation.

mod notation;

use std::{collections::BTreeSet, fmt};

use serde::{Serialize, Serializer};

use self::notation::{nearest_name, same_value};
use super::{selector::Selector, series::Series};
use crate::{document::nearest_word, model::text};

/// The reason for which a selector matches no series of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectorMismatch {
    /// No series has the name.
    Name {
        /// Name on the page that is similar.
        similar: Option<Box<str>>,
        /// Whether the similar name differs only in its notation.
        is_same_metric: bool,
    },
    /// No series of the metric has the label.
    Label {
        /// Label of the selector.
        label: Box<str>,
        /// Label of the page that was probably meant.
        similar: Option<Box<str>>,
        /// Labels of the metric.
        labels: Vec<Box<str>>,
    },
    /// No series of the metric has the value.
    Value {
        /// Label of the selector.
        label: Box<str>,
        /// Value of the page in another notation than that of the selector.
        same_value: Option<Box<str>>,
        /// Values of the label on the page.
        values: Vec<Box<str>>,
        /// Whether the page has further values.
        has_more: bool,
    },
    /// Each condition holds for some series, but no series meets all conditions.
    Combination,
}

impl SelectorMismatch {
    /// Name on the page that is similar to that of the selector.
    #[must_use]
    pub fn similar_name(&self) -> Option<&str> {
        match self {
            Self::Name { similar, .. } => similar.as_deref(),
            Self::Label { .. } | Self::Value { .. } | Self::Combination => None,
        }
    }

    /// Whether the metric and the labels of the selector exist, and a later page may have the value.
    #[must_use]
    pub fn is_missing_value(&self) -> bool {
        matches!(self, Self::Value { same_value: None, .. } | Self::Combination)
    }

    /// Whether a later page of the same service can't have a matching series either.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Name { is_same_metric, .. } => *is_same_metric,
            Self::Label { .. } => true,
            Self::Value { same_value, .. } => same_value.is_some(),
            Self::Combination => false,
        }
    }
}

/// Maximum number of labels or values in a sentence.
const MAX_SHOWN: usize = 5;

impl fmt::Display for SelectorMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { similar: Some(similar), .. } => {
                write!(f, "no series has the name; the nearest name is `{}`", text::bounded_name(&**similar))
            }
            Self::Name { similar: None, .. } => f.write_str("no series has the name"),
            Self::Label { label, similar, labels } => {
                write!(f, "no series of that name has the label `{label}`")?;
                match similar {
                    Some(similar) => write!(f, "; the nearest label is `{}`", text::bounded_name(&**similar)),
                    None if labels.is_empty() => f.write_str("; they have no labels"),
                    None => write!(f, "; their labels are {}", list(labels, false)),
                }
            }
            Self::Value { label, same_value: Some(value), .. } => {
                write!(f, "no series has such a value of `{label}`; the nearest value is `{}`", shown(value))
            }
            Self::Value { label, values, has_more, .. } => {
                write!(f, "no series has such a value of `{label}`; its values are {}", list(values, *has_more))
            }
            Self::Combination => f.write_str("no series of that name meets all conditions at once"),
        }
    }
}

impl Serialize for SelectorMismatch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn shown(value: &str) -> String {
    text::bounded_name(value)
}

fn list(words: &[Box<str>], has_more: bool) -> String {
    let mut texts: Vec<_> = words.iter().take(MAX_SHOWN).map(|word| format!("`{}`", shown(word))).collect();
    if has_more || words.len() > MAX_SHOWN {
        texts.push("...".to_owned());
    }
    texts.join(", ")
}

/// Maximum number of labels, and of values of a label, that are remembered for a selector without a series.
const MAX_REMEMBERED: usize = 40;
/// Maximum length of a remembered label or value in bytes.
const MAX_REMEMBERED_BYTES: usize = 128;
/// Maximum number of remembered metric names.
const MAX_NAMES: usize = 4_000;

/// The metric names of a page.
#[derive(Debug, Default)]
pub(super) struct SeenNames {
    names: BTreeSet<Box<str>>,
    last: String,
}

impl SeenNames {
    pub(super) fn add(&mut self, name: &str) {
        // The samples of a metric usually follow one another.
        if self.last != name && name.len() <= MAX_REMEMBERED_BYTES && self.names.len() < MAX_NAMES {
            name.clone_into(&mut self.last);
            if !self.names.contains(name) {
                self.names.insert(name.into());
            }
        }
    }
}

/// Observed differences between a selector and the series of a page.
#[derive(Debug, Default)]
pub(super) struct MatchProgress {
    has_match: bool,
    has_name: bool,
    labels: BTreeSet<Box<str>>,
    /// One entry for each condition of the selector.
    conditions: Vec<ConditionProgress>,
}

#[derive(Debug, Default)]
struct ConditionProgress {
    holds: bool,
    is_label_present: bool,
    values: BTreeSet<Box<str>>,
    has_more: bool,
    /// Another label with a value that meets the condition.
    label_with_value: Option<Box<str>>,
}

impl MatchProgress {
    /// Compares the next series. Returns whether it matches.
    pub(super) fn add(&mut self, selector: &Selector, series: &Series) -> bool {
        let has_match = selector.matches(&series.name, |label| series.label(label));
        self.has_match |= has_match;
        if !self.has_match && selector.matches_name(&series.name) {
            self.compare(selector, series);
        }
        has_match
    }

    fn compare(&mut self, selector: &Selector, series: &Series) {
        self.has_name = true;
        for (label, _) in &series.labels {
            remember(&mut self.labels, label);
        }
        let conditions = selector.label_matchers();
        self.conditions.resize_with(conditions.clone().count(), ConditionProgress::default);
        for (matcher, progress) in conditions.zip(&mut self.conditions) {
            let value = series.label(matcher.label());
            progress.holds |= matcher.holds(value);
            if !value.is_empty() {
                progress.is_label_present = true;
                progress.has_more |= !remember(&mut progress.values, value);
            } else if progress.label_with_value.is_none() {
                let other = series.labels.iter().find(|(_, value)| matcher.holds(value));
                progress.label_with_value = other.map(|(label, _)| label.clone());
            }
        }
    }

    /// Returns the reason for which no series matched; `None` if a series matched.
    pub(super) fn mismatch(self, selector: &Selector, names: &SeenNames) -> Option<SelectorMismatch> {
        if self.has_match {
            return None;
        }
        if !self.has_name {
            return Some(nearest_name(selector, &names.names));
        }
        let failed = selector.label_matchers().zip(self.conditions).filter(|(_, progress)| !progress.holds);
        // A label that no series has is a stronger reason than a value.
        let (mut value, labels) = (None, self.labels);
        for (matcher, progress) in failed {
            let label: Box<str> = matcher.label().into();
            if !progress.is_label_present {
                let near = nearest_word(&label, labels.iter().map(|label| &**label)).map(Into::into);
                let similar = progress.label_with_value.or(near);
                return Some(SelectorMismatch::Label { label, similar, labels: labels.into_iter().collect() });
            }
            value.get_or_insert_with(|| SelectorMismatch::Value {
                label,
                same_value: same_value(matcher, &progress.values, progress.has_more),
                values: progress.values.into_iter().collect(),
                has_more: progress.has_more,
            });
        }
        Some(value.unwrap_or(SelectorMismatch::Combination))
    }
}

/// Remembers a text within the limits. Returns whether it is remembered now.
fn remember(texts: &mut BTreeSet<Box<str>>, text: &str) -> bool {
    if texts.contains(text) {
        return true;
    }
    let fits = texts.len() < MAX_REMEMBERED && text.len() <= MAX_REMEMBERED_BYTES;
    if fits {
        texts.insert(text.into());
    }
    fits
}

#[cfg(test)]
mod tests;
