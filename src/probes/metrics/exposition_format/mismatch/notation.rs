//! Notations: names, labels and values that differ and probably mean the same.

use std::collections::BTreeSet;

use super::{
    super::selector::{Matcher, Selector},
    SelectorMismatch,
};
use crate::document::nearest_word;

/// Finds the name on the page that the selector probably means.
pub(super) fn nearest_name(selector: &Selector, names: &BTreeSet<Box<str>>) -> SelectorMismatch {
    let Some(wanted) = selector.name() else { return SelectorMismatch::Name { similar: None, is_same_metric: false } };
    let all = || names.iter().map(|name| &**name);
    let same = all().find(|name| is_same_metric(wanted, name));
    // A summary, or a histogram without buckets, has the other series of a histogram.
    let of_other_type = || {
        let base = wanted.strip_suffix("_bucket")?;
        all().find(|name| name.strip_prefix(base).is_some_and(|rest| matches!(rest, "" | "_count" | "_sum")))
    };
    // The comparison of all names would be expensive in each run.
    let words: Vec<&str> = wanted.split('_').filter(|word| is_telling(word)).collect();
    let is_candidate = |name: &&str| {
        name.len().abs_diff(wanted.len()) <= 1 + wanted.len() / 4 && name.split('_').any(|word| words.contains(&word))
    };
    let similar = same.or_else(of_other_type).or_else(|| nearest_word(wanted, all().filter(is_candidate)));
    SelectorMismatch::Name { similar: similar.map(Into::into), is_same_metric: same.is_some() }
}

/// Whether a word of a metric name says more than its type or unit.
fn is_telling(word: &str) -> bool {
    word.len() >= 3 && !matches!(word, "total" | "seconds" | "bytes" | "bucket" | "count" | "sum")
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
pub(super) fn same_value(matcher: &Matcher, values: &BTreeSet<Box<str>>, has_more: bool) -> Option<Box<str>> {
    let in_other_letters = |value: &str| {
        let lower = value.to_lowercase();
        let mut capitalized = lower.clone();
        if let Some(first) = capitalized.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        [lower.to_uppercase(), capitalized, lower].iter().any(|variant| matcher.holds(variant))
    };
    if let Some(value) = values.iter().find(|value| in_other_letters(value)) {
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
