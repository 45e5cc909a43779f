//! Takes secrets out of a text, in whatever common encoding they stand there.

use std::{
    cell::Cell,
    collections::{HashSet, VecDeque},
    ops::Range,
};

use serde_json::Value;

use super::{
    needles::{MIN_LENGTH, Needles},
    view::{CUTS, View},
};

/// In the place of a secret.
const MARK: &str = "<hidden>";
/// Layers of encoding that are taken off: a target may encode twice, a finding quotes it with escapes of its own, and
/// one is in reserve.
const MAX_LAYERS: usize = 4;
/// Nothing that is shown has a longer piece of a secret before a cut.
const MAX_PIECE: usize = 1_000;
/// Bytes that are looked at, in all forms, for each byte of a text. A text that takes more was made to take time.
const MAX_WORK_RATIO: usize = 128;
const MIN_WORK: usize = 64 << 10;
/// Bytes that are looked at for all findings and labels of a run together: some 20 ms of a processor. A thousand labels
/// of a hundred bytes take half of it.
const MAX_WORK: usize = 1 << 20;

/// The secrets that are looked for in what one run brought.
///
/// Beginnings of secrets, where a text was cut, are looked for only among the probe's own secrets, which its target
/// knows. If beginnings of all secrets were hidden, a target could guess the secret of another probe letter by letter: it
/// would send guesses that look cut, and a reader of the findings would see which of them are hidden.
pub(crate) struct Redactor<'a> {
    /// Secrets that the probe sends.
    own: Vec<&'a Needles>,
    /// Secrets of all probes, hidden only whole.
    all: Option<&'a Needles>,
    /// Bytes that may still be looked at.
    left: Cell<usize>,
}

impl<'a> Redactor<'a> {
    pub(super) fn new(own: impl IntoIterator<Item = &'a Needles>, all: &'a Needles) -> Self {
        let own = own.into_iter().filter(|needles| !needles.is_empty()).collect();
        Self { own, all: Some(all).filter(|all| !all.is_empty()), left: Cell::new(MAX_WORK) }
    }

    fn sets(&self) -> impl Iterator<Item = &'a Needles> {
        self.own.iter().copied().chain(self.all)
    }

    /// Hides every secret in a text; tells whether there was one.
    pub(crate) fn hide(&self, text: &mut String) -> bool {
        self.hide_within(text, self.left.get())
    }

    /// The same, with a budget of bytes that may be searched; returns what is left of it, too.
    pub(super) fn hide_with_budget(&self, text: &mut String, budget: usize) -> (bool, usize) {
        self.left.set(budget);
        (self.hide(text), self.left.get())
    }

    fn hide_within(&self, text: &mut String, most: usize) -> bool {
        if self.sets().next().is_none() || text.len() < MIN_LENGTH {
            return false;
        }
        let most = most.min(text.len().saturating_mul(MAX_WORK_RATIO).max(MIN_WORK));
        let (found, work) = self.search(View::of(text, false), most);
        self.left.set(self.left.get().saturating_sub(work));
        // Where they are is only asked where there are any.
        let places = match found {
            Some(found) if !found.is_empty() => self.search(View::of(text, true), most).0,
            found => found,
        };
        let Some(places) = places else {
            // It can't be told what is in it.
            *text = MARK.to_owned();
            return true;
        };
        if places.is_empty() {
            return false;
        }
        *text = replaced(text, places);
        true
    }

    /// The same in every text of a document, names included. Documents are made for one reader, or to be saved, so only
    /// the work for each of their texts is bounded.
    pub(crate) fn hide_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => _ = self.hide_within(text, usize::MAX),
            Value::Array(list) => list.iter_mut().for_each(|value| self.hide_all(value)),
            Value::Object(map) => {
                for (mut name, mut value) in std::mem::take(map) {
                    self.hide_within(&mut name, usize::MAX);
                    self.hide_all(&mut value);
                    map.insert(name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The places of secrets, unless that takes too much work; and the work that it took.
    fn search(&self, text: View, most: usize) -> (Option<Vec<Range<usize>>>, usize) {
        let (mut places, mut work) = (Vec::new(), 0);
        let mut seen = HashSet::new();
        // The form with the fewest layers taken off comes first, so that each is decoded as far as may be.
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
            if !self.sets().any(|needles| needles.may_begin(first)) {
                continue;
            }
            let rest = folded.get(at..).unwrap_or_default();
            let longest = self.sets().filter_map(|needles| needles.longest(rest)).max();
            places.extend(longest.map(|length| view.place(at..at + length)));
        }
        self.search_cuts(view, &folded, places);
    }

    /// Finds beginnings of the probe's own secrets where the text was cut.
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
            // Not beyond the cut before, which has been looked at.
            let first = from.max(head.len().saturating_sub(MAX_PIECE));
            let piece = (first..(head.len() + 1).saturating_sub(MIN_LENGTH)).find(|start| {
                let piece = head.get(*start..).unwrap_or_default();
                self.own.iter().any(|needles| needles.begins(piece))
            });
            places.extend(piece.map(|start| view.place(start..head.len())));
            at += cut.len();
            from = at;
        }
    }
}

/// The text with a mark in each of the places; those that overlap get one.
fn replaced(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_by_key(|place| (place.start, place.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for place in places {
        let start = (0..=place.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let mut end = (place.end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        // The padding of base64 belongs to it.
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
