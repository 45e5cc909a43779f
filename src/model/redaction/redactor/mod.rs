//! Redacts secrets in a text, also in common encodings.

use std::{
    cell::Cell,
    collections::{HashSet, VecDeque},
    ops::Range,
};

use serde_json::Value;

use super::{
    needles::{MIN_LENGTH, SecretSet},
    view::{CUTS, View},
};

/// Replacement of a secret.
const MARK: &str = "<hidden>";
/// Maximum number of encoding layers that are decoded: two of the target, one of the finding that quotes it, and one in
/// reserve.
const MAX_LAYERS: usize = 4;
/// Maximum length of a prefix of a secret before a cut. Displayed texts are cut at this length.
const MAX_PIECE: usize = 1_000;
/// Maximum number of bytes that are searched, in all decoded forms, for each byte of a text. A text that takes more was
/// crafted to take time.
const MAX_WORK_RATIO: usize = 128;
const MIN_WORK: usize = 64 << 10;
/// Maximum number of bytes that are searched for all findings and labels of a run: about 20 ms of CPU time. A thousand
/// labels of a hundred bytes take half of it.
const MAX_WORK: usize = 1 << 20;

/// Redactor for the texts of one run.
///
/// Before a cut in a text, only prefixes of the probe's own secrets are redacted; its target knows them. If prefixes of
/// all secrets were redacted, a target could guess the secret of another probe letter by letter: it would send guesses
/// that look cut, and a reader of the findings would see the redacted ones.
pub(crate) struct Redactor<'a> {
    /// Secrets that the probe sends.
    own: Vec<&'a SecretSet>,
    /// Secrets of all probes. Only whole secrets are redacted.
    all: Option<&'a SecretSet>,
    /// Number of bytes that may still be searched.
    left: Cell<usize>,
}

impl<'a> Redactor<'a> {
    pub(super) fn new(own: impl IntoIterator<Item = &'a SecretSet>, all: &'a SecretSet) -> Self {
        let own = own.into_iter().filter(|needles| !needles.is_empty()).collect();
        Self { own, all: Some(all).filter(|all| !all.is_empty()), left: Cell::new(MAX_WORK) }
    }

    fn sets(&self) -> impl Iterator<Item = &'a SecretSet> {
        self.own.iter().copied().chain(self.all)
    }

    /// Redacts every secret in a text; returns whether the text contained one.
    pub(crate) fn redact(&self, text: &mut String) -> bool {
        self.redact_within(text, self.left.get())
    }

    /// Redacts with a budget of bytes to search; returns the remaining budget, too.
    pub(super) fn redact_with_budget(&self, text: &mut String, budget: usize) -> (bool, usize) {
        self.left.set(budget);
        (self.redact(text), self.left.get())
    }

    fn redact_within(&self, text: &mut String, most: usize) -> bool {
        if self.sets().next().is_none() || text.len() < MIN_LENGTH {
            return false;
        }
        let most = most.min(text.len().saturating_mul(MAX_WORK_RATIO).max(MIN_WORK));
        let (found, work) = self.search(View::from_text(text, false), most);
        self.left.set(self.left.get().saturating_sub(work));
        // The positions are determined in a second search, only for texts that contain a secret.
        let places = match found {
            Some(found) if !found.is_empty() => self.search(View::from_text(text, true), most).0,
            found => found,
        };
        let Some(places) = places else {
            // The search was too expensive, so that the text may contain secrets.
            *text = MARK.to_owned();
            return true;
        };
        if places.is_empty() {
            return false;
        }
        *text = replace_places(text, places);
        true
    }

    /// Redacts every text of a document, including keys. Documents are rare, so that only the work for each text is
    /// bounded.
    pub(crate) fn redact_document(&self, value: &mut Value) {
        match value {
            Value::String(text) => _ = self.redact_within(text, usize::MAX),
            Value::Array(list) => list.iter_mut().for_each(|value| self.redact_document(value)),
            Value::Object(map) => {
                for (mut name, mut value) in std::mem::take(map) {
                    self.redact_within(&mut name, usize::MAX);
                    self.redact_document(&mut value);
                    map.insert(name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Searches a text and its decoded forms. Returns the positions of secrets, or `None` after too much work, and the
    /// number of searched bytes.
    fn search(&self, text: View, most: usize) -> (Option<Vec<Range<usize>>>, usize) {
        let (mut places, mut work) = (Vec::new(), 0);
        let mut seen = HashSet::new();
        // Forms with fewer decoded layers come first, so that each form is decoded as far as possible.
        let mut forms = VecDeque::from([(text, MAX_LAYERS)]);
        while let Some((view, layers)) = forms.pop_front() {
            work += view.bytes.len();
            if work > most {
                return (None, most);
            }
            self.search_form(&view, &mut places);
            if layers > 0 {
                let new =
                    view.decoded().into_iter().filter(|view| view.fingerprint().is_none_or(|print| seen.insert(print)));
                forms.extend(new.map(|view| (view, layers - 1)));
            }
        }
        (Some(places), work)
    }

    fn search_form(&self, view: &View, places: &mut Vec<Range<usize>>) {
        let folded = view.folded();
        for (at, first) in folded.windows(MIN_LENGTH).enumerate() {
            if !self.sets().any(|needles| needles.may_start(first)) {
                continue;
            }
            let rest = folded.get(at..).unwrap_or_default();
            let longest = self.sets().filter_map(|needles| needles.longest_prefix(rest)).max();
            places.extend(longest.map(|length| view.original_place(at..at + length)));
        }
        self.search_cuts(view, &folded, places);
    }

    /// Searches for prefixes of the probe's own secrets before each cut.
    fn search_cuts(&self, view: &View, folded: &[u8], places: &mut Vec<Range<usize>>) {
        if self.own.is_empty() {
            return;
        }
        let (mut from, mut at) = (0, 0);
        while let Some(rest) = folded.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(cut) = CUTS.iter().find(|cut| rest.starts_with(cut)) else {
                at += 1;
                continue;
            };
            let head = View::before_cut(folded.get(..at).unwrap_or_default());
            // Not before the previous cut, whose piece was searched already.
            let first = from.max(head.len().saturating_sub(MAX_PIECE));
            let piece = (first..(head.len() + 1).saturating_sub(MIN_LENGTH)).find(|start| {
                let piece = head.get(*start..).unwrap_or_default();
                self.own.iter().any(|needles| needles.has_prefix(piece))
            });
            places.extend(piece.map(|start| view.original_place(start..head.len())));
            at += cut.len();
            from = at;
        }
    }
}

/// Replaces each position with the mark. Overlapping positions get one mark.
fn replace_places(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_by_key(|place| (place.start, place.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for place in places {
        let start = (0..=place.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let mut end = (place.end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        // The padding of base64 belongs to the secret.
        let padding = text.get(end..).unwrap_or_default();
        end += padding.len() - padding.trim_start_matches('=').len();
        if done > 0 && start < done {
            done = done.max(end);
            continue;
        }
        out.push_str(text.get(done..start).unwrap_or_default());
        out.push_str(MARK);
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
pub(super) mod tests;
