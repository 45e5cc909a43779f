//! Set of secrets for a search in texts. Lookups and changes are cheap.
//!
//! A Bloom filter over the first four bytes rejects nearly every position of a text. Behind it, the secrets are in an
//! ordered map, so that a lookup among ten thousand secrets with a common prefix takes a few comparisons. An automaton
//! would be as fast, but each rotated password would require a new one.

use std::{borrow::Borrow, cmp::Ordering, collections::BTreeMap, ops::Bound};

use secrecy::{ExposeSecret, SecretSlice};

/// Minimum length of a secret in bytes. A shorter one (`ok`, `1`) protects nothing, and its redaction would make
/// findings unreadable.
pub(super) const MIN_LENGTH: usize = 4;
/// Bits of the filter for each secret. Two of them are set, so that about one position in a thousand is a false
/// positive.
const BITS_PER_TEXT: usize = 64;
const MIN_BITS: usize = 512;

/// Secrets with the number of their additions.
#[derive(Default)]
pub(super) struct SecretSet {
    /// Number of additions of each secret.
    texts: BTreeMap<Needle, u32>,
    filter: Vec<u64>,
}

struct Needle(SecretSlice<u8>);

impl SecretSet {
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn add(&mut self, text: Vec<u8>) {
        if text.len() < MIN_LENGTH {
            return;
        }
        if let Some(count) = self.texts.get_mut(text.as_slice()) {
            *count = count.saturating_add(1);
            return;
        }
        let needle = Needle(text.into());
        if (self.texts.len() + 1) * BITS_PER_TEXT > self.filter.len() * 64 {
            self.grow_filter();
        }
        self.mark_filter(needle.bytes());
        self.texts.insert(needle, 1);
    }

    /// Whether the secret was added exactly once.
    pub(super) fn is_last(&self, text: &[u8]) -> bool {
        self.texts.get(text) == Some(&1)
    }

    /// Reverts one addition. The filter keeps its bits until it grows: superfluous bits cost time, missing bits would
    /// disclose a secret.
    pub(super) fn remove(&mut self, text: &[u8]) {
        match self.texts.get_mut(text) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(self.texts.remove(text)),
            None => {}
        }
    }

    /// Length of the longest secret that is a prefix of a text.
    pub(super) fn longest_prefix(&self, text: &[u8]) -> Option<usize> {
        if !self.may_start(text) {
            return None;
        }
        let mut text = text;
        loop {
            // All prefixes of the text precede it in the map. The last entry before the text shares the longest prefix.
            let (last, _) = self.texts.range::<[u8], _>((Bound::Unbounded, Bound::Included(text))).next_back()?;
            let common = last.bytes().iter().zip(text).take_while(|(a, b)| a == b).count();
            if common == last.bytes().len() {
                return Some(common);
            }
            text = text.get(..common).filter(|text| text.len() >= MIN_LENGTH)?;
        }
    }

    /// Whether a piece is a prefix of any secret.
    pub(super) fn has_prefix(&self, piece: &[u8]) -> bool {
        self.may_start(piece)
            && self
                .texts
                .range::<[u8], _>((Bound::Included(piece), Bound::Unbounded))
                .next()
                .is_some_and(|(first, _)| first.bytes().starts_with(piece))
    }

    /// Whether any secret may start with the first bytes of a text.
    #[inline]
    pub(super) fn may_start(&self, text: &[u8]) -> bool {
        let Some(first) = text.first_chunk::<MIN_LENGTH>() else { return false };
        let is_set = |bit: usize| self.filter.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1);
        let [one, two] = self.filter_bits(*first);
        is_set(one) && is_set(two)
    }

    fn mark_filter(&mut self, text: &[u8]) {
        let Some(first) = text.first_chunk::<MIN_LENGTH>() else { return };
        for bit in self.filter_bits(*first) {
            if let Some(word) = self.filter.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
    }

    /// Positions in the filter: a multiplicative hash of the first bytes. The size of the filter is a power of two.
    #[inline]
    fn filter_bits(&self, first: [u8; MIN_LENGTH]) -> [usize; 2] {
        let hash = u64::from(u32::from_le_bytes(first)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mask = (self.filter.len() * 64).saturating_sub(1);
        [hash >> 40, hash >> 16 & 0xff_ffff].map(|half| usize::try_from(half).unwrap_or_default() & mask)
    }

    fn grow_filter(&mut self) {
        let bits = ((self.texts.len() + 1) * BITS_PER_TEXT * 2).next_power_of_two().max(MIN_BITS);
        self.filter = vec![0; bits / 64];
        let texts = std::mem::take(&mut self.texts);
        texts.keys().for_each(|needle| self.mark_filter(needle.bytes()));
        self.texts = texts;
    }
}

impl Needle {
    fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl Borrow<[u8]> for Needle {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Needle {}

impl PartialOrd for Needle {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Needle {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_is_found_also_among_many_with_the_same_beginning() {
        let mut needles = SecretSet::default();
        for text in ["token", "token-1", "token-1-a", "token-2", "abc"] {
            needles.add(text.into());
        }
        for n in 0..2_000 {
            needles.add(format!("token-1-{n}x").into_bytes());
        }
        for (text, length) in [
            ("token-1-ab", Some(9)),
            ("token-1-1999x", Some(13)),
            ("token-1-1999", Some(7)),
            ("token-3", Some(5)),
            ("toke", None),
            ("abc", None),
            ("xtoken", None),
        ] {
            assert_eq!(needles.longest_prefix(text.as_bytes()), length, "{text}");
        }
        assert!(needles.has_prefix(b"toke") && needles.has_prefix(b"token-1-19") && !needles.has_prefix(b"token-9"));
        assert!(!needles.has_prefix(b"tok"), "three bytes guard nothing");
    }

    #[test]
    fn a_text_that_was_added_twice_stays_until_it_is_removed_twice() {
        let mut needles = SecretSet::default();
        needles.add(b"hunter2".to_vec());
        needles.add(b"hunter2".to_vec());
        needles.remove(b"hunter2");
        assert!(needles.is_last(b"hunter2") && needles.longest_prefix(b"hunter2").is_some());
        needles.remove(b"hunter2");
        needles.remove(b"hunter2");
        assert!(needles.is_empty() && needles.longest_prefix(b"hunter2").is_none());
    }
}
