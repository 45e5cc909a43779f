//! Reasons for which a selector matches no series of a page.
//!
//! A selector without a series may be early, because many services export a counter after its first event, or wrong. It
//! can never match if the page has a metric of nearly the same name, if no series of the metric has a label of the
//! selector, or if the values of a label have another notation.

use std::{collections::BTreeSet, fmt};

use serde::{Serialize, Serializer};

use super::{
    selector::{Matcher, Selector},
    series::Series,
};
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
            return Some(nearest_name(selector, names));
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

fn nearest_name(selector: &Selector, names: &SeenNames) -> SelectorMismatch {
    let Some(wanted) = selector.name() else { return SelectorMismatch::Name { similar: None, is_same_metric: false } };
    let all = || names.names.iter().map(|name| &**name);
    let same = all().find(|name| is_same_metric(wanted, name));
    // A summary, or a histogram without buckets, has the other series of a histogram.
    let of_other_type = || {
        let base = wanted.strip_suffix("_bucket")?;
        all().find(|name| name.strip_prefix(base).is_some_and(|rest| matches!(rest, "" | "_count" | "_sum")))
    };
    let similar = same.or_else(of_other_type).or_else(|| nearest_word(wanted, all()));
    SelectorMismatch::Name { similar: similar.map(Into::into), is_same_metric: same.is_some() }
}

/// Whether two names are notations of one metric: they differ in upper case, in separators, in the suffix `_total`, or
/// in the spelling of one word.
fn is_same_metric(wanted: &str, name: &str) -> bool {
    let plain = |name: &str| {
        let name = name.to_ascii_lowercase().replace(['.', '-', ':'], "_");
        name.strip_suffix("_total").map(str::to_owned).unwrap_or(name)
    };
    let (wanted, name) = (plain(wanted), plain(name));
    let (mut differing, mut a, mut b) = (None, wanted.split('_'), name.split('_'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return differing.is_none_or(|(a, b)| is_same_word(a, b)),
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) if differing.is_none() => differing = Some((a, b)),
            _ => return false,
        }
    }
}

/// Whether two words are spellings of one word: singular and plural, or a typing error. Short words and numbers are
/// different words, as in `queue1_errors_total` and `queue2_errors_total`.
fn is_same_word(a: &str, b: &str) -> bool {
    let shortest = a.len().min(b.len());
    if shortest < 4 || a.bytes().chain(b.bytes()).any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let allowed = if shortest < 9 { 1 } else { 2 };
    a.strip_suffix("es").unwrap_or(a) == b
        || b.strip_suffix("es").unwrap_or(b) == a
        || strsim::damerau_levenshtein(a, b) <= allowed
}

/// Returns a value of the page that the condition expects in another notation: in other letters, or as a class of
/// status codes (`5xx`) instead of a code (`500`), or the reverse.
fn same_value(matcher: &Matcher, values: &BTreeSet<Box<str>>, has_more: bool) -> Option<Box<str>> {
    let in_other_letters = |value: &&Box<str>| {
        let lower = value.to_lowercase();
        let mut capitalized = lower.clone();
        if let Some(first) = capitalized.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        [lower.to_uppercase(), capitalized, lower].iter().any(|variant| matcher.holds(variant))
    };
    if let Some(value) = values.iter().find(in_other_letters) {
        return Some(value.clone());
    }
    let is_code = |value: &str| value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit());
    let is_class = |value: &str| {
        let (Some(first), Some(rest)) = (value.get(..1), value.get(1..)) else { return false };
        matches!(first, "1" | "2" | "3" | "4" | "5") && rest.eq_ignore_ascii_case("xx")
    };
    let expects_class = ["4xx", "5xx", "4XX", "5XX"].iter().any(|class| matcher.holds(class));
    let expects_code = (400..600).any(|code: u16| matcher.holds(&code.to_string()));
    let all = |is: &dyn Fn(&str) -> bool| !has_more && values.iter().all(|value| is(value));
    let is_other_notation =
        (expects_class && !expects_code && all(&is_code)) || (expects_code && !expects_class && all(&is_class));
    // An error is nearer to the expected value than a success.
    is_other_notation.then(|| values.last().cloned()).flatten()
}

#[cfg(test)]
mod tests {
    use crate::probes::metrics::fixture::parse;

    /// The reason, and whether it is permanent.
    fn mismatch(selector: &str, page: &str) -> Option<(String, bool)> {
        let page = parse(page, &[selector]);
        page.mismatch(&selector.parse().unwrap()).map(|found| (found.to_string(), found.is_permanent()))
    }

    #[test]
    fn a_selector_without_a_series_has_a_reason() {
        let requests =
            "x_requests_total{code=\"200\",method=\"GET\"} 1\nx_requests_total{code=\"404\",method=\"POST\"} 1\n";
        for (selector, page, reason, is_permanent) in [
            ("y_total", requests, "no series has the name", false),
            ("x_request_total", requests, "the nearest name is `x_requests_total`", true),
            ("x_requests", requests, "the nearest name is `x_requests_total`", true),
            ("X_Requests", requests, "the nearest name is `x_requests_total`", true),
            ("x_errors_total", requests, "no series has the name", false),
            ("queue2_errors_total", "queue1_errors_total 1\n", "the nearest name is `queue1_errors_total`", false),
            ("http_get_total", "http_put_total 1\n", "the nearest name is `http_put_total`", false),
            ("import_errors_total", "export_errors_total 1\n", "the nearest name", false),
            (
                "x_requests_total{status=~\"5..\"}",
                requests,
                "has the label `status`; their labels are `code`, `method`",
                true,
            ),
            (
                "x_requests_total{status=~\"4..\"}",
                requests,
                "has the label `status`; the nearest label is `code`",
                true,
            ),
            ("x_requests_total{codes=~\"5..\"}", requests, "has the label `codes`; the nearest label is `code`", true),
            ("x_requests_total{a=\"b\"}", "x_requests_total 1\n", "has the label `a`; they have no labels", true),
            ("x_requests_total{code=~\"5..\"}", requests, "such a value of `code`; its values are `200`, `404`", false),
            ("x_requests_total{code=\"5xx\"}", requests, "such a value of `code`; the nearest value is `404`", true),
            ("x_requests_total{code=~\"5xx|4xx\"}", requests, "the nearest value is `404`", true),
            ("x_requests_total{code=~\"5..\"}", "x_requests_total{code=\"2xx\"} 1\n", "its values are `2xx`", false),
            (
                "x_requests_total{code=~\"5\\\\d+\"}",
                "x_requests_total{code=\"2xx\"} 1\n",
                "the nearest value is `2xx`",
                true,
            ),
            (
                "x_requests_total{method=\"get\"}",
                requests,
                "such a value of `method`; the nearest value is `GET`",
                true,
            ),
            (
                "x_requests_total{method=\"GET\",code=\"404\"}",
                requests,
                "no series of that name meets all conditions",
                false,
            ),
            ("{__name__=~\"y.*\",code=\"200\"}", requests, "no series has the name", false),
        ] {
            let (text, permanent) = mismatch(selector, page).unwrap();
            assert!(text.contains(reason), "{selector}: {text} / {reason}");
            assert_eq!(permanent, is_permanent, "{selector}: {text}");
        }
        for selector in ["x_requests_total", "x_requests_total{code!=\"1\"}", "x_requests_total{nothing=\"\"}"] {
            assert_eq!(mismatch(selector, requests), None, "{selector}");
        }
    }

    #[test]
    fn many_values_and_long_texts_are_bounded() {
        let page: String = (0..1_000).map(|n| format!("a{{l{n}=\"{n}\",x=\"{n}{}\"}} 1\n", "v".repeat(200))).collect();
        for selector in ["a{y=\"1\"}", "a{x=\"1\"}", "b"] {
            let (text, _) = mismatch(selector, &page).unwrap();
            assert!(text.len() < 1_500, "{text}");
        }
    }
}
