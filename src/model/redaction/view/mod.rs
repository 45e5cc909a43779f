//! A text in the forms in which a secret may stand in it: as it is, and with its encodings taken off.
//!
//! Nobody can list every form of a secret: percent-encoding alone has one for each choice of letters to encode. So the
//! text is decoded rather than the secrets encoded, and each decoded byte remembers from where in the text it came.

mod escapes;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use self::escapes::Family;

/// Marks of a text that was cut; a secret before one may be there in part.
pub(super) const CUTS: [&[u8]; 2] = [b"...", "…".as_bytes()];
/// Bytes that a quotation or half a letter leaves between a piece and the mark of its cut.
const BEFORE_CUT: [&[u8]; 2] = [b"\"", "\u{fffd}".as_bytes()];
/// Letters of base64 that hold the shortest secret.
const MIN_BASE64: usize = 6;
/// Hexadecimal digits that hold the shortest secret.
const MIN_HEX: usize = 8;
/// No letter of an alphabet, and one that may stand between two letters.
const NO_LETTER: u8 = 0xff;
const BETWEEN: u8 = 0xfe;
/// Stands between two decoded pieces, so that no secret is found across them.
const BREAK: u8 = 0;

/// Bytes with the place that each has in the original text, if that is wanted: most texts hold no secret, and to know
/// that takes no places.
#[derive(Default)]
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    places: Vec<Range<u32>>,
    placed: bool,
    /// Whether the same may come out of decoding in another order, too.
    is_unescaped: bool,
}

/// A letter of an encoding: its value and its position in the view.
type Letter = (u8, usize);

impl View {
    /// The text itself.
    pub(super) fn of(text: &str, placed: bool) -> Self {
        let bytes = text.as_bytes().to_vec();
        let places = if placed { (0..).zip(&bytes).map(|(at, _)| at..at + 1).collect() } else { Vec::new() };
        Self { bytes, places, placed, is_unescaped: false }
    }

    /// The place in the original text of a part of this view.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        if !self.placed {
            return 0..0;
        }
        // Decoding keeps the order.
        let places = self.places.get(part).unwrap_or_default();
        let start = places.first().map_or(0, |place| place.start);
        let end = places.last().map_or(0, |place| place.end);
        start as usize..end as usize
    }

    /// Tells two views apart: the same bytes of the same places are found by decoding in another order, too.
    /// `None` where there is no other order.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        if !self.is_unescaped {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (&self.bytes, self.places.first(), self.places.last()).hash(&mut hasher);
        Some(hasher.finish())
    }

    /// The bytes as they are compared: without difference in case, and with one kind of blank, for a form has `+` and
    /// a finding has blanks in the place of line ends.
    pub(super) fn folded(&self) -> Vec<u8> {
        self.bytes.iter().map(|byte| fold(*byte)).collect()
    }

    /// The text with one layer of each encoding taken off; those that are not there are left out.
    pub(super) fn decoded(&self) -> Vec<Self> {
        let mut views = Vec::new();
        views.extend(Family::ALL.iter().filter_map(|family| escapes::decoded(self, *family)));
        let letters = self.runs(&BASE64, MIN_BASE64);
        // A secret in the middle of what was encoded may start at any letter of a group of four.
        if !letters.is_empty() {
            views.extend((0..4).map(|skipped| self.unpacked(&letters, skipped, 6)));
        }
        let digits = self.runs(&HEX, MIN_HEX);
        if !digits.is_empty() {
            views.extend((0..2).map(|skipped| self.unpacked(&digits, skipped, 4)));
        }
        views
    }

    /// Whether the view is cut at a position, a closing quotation mark left aside.
    pub(super) fn is_cut(&self, at: usize) -> bool {
        let mut rest = self.bytes.get(at..).unwrap_or_default();
        while let Some(next) = BEFORE_CUT.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            rest = next;
        }
        CUTS.iter().any(|cut| rest.starts_with(cut))
    }

    /// What stands before a cut, without the end of a quotation and half a letter.
    pub(super) fn before_cut(head: &[u8]) -> &[u8] {
        let mut head = head;
        while let Some(shorter) = BEFORE_CUT.iter().find_map(|mark| head.strip_suffix(*mark)) {
            head = shorter;
        }
        head
    }

    fn push(&mut self, byte: u8, place: Range<usize>) {
        self.bytes.push(byte);
        if self.placed {
            let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            self.places.push(short(place.start)..short(place.end));
        }
    }

    /// Runs of letters that are long enough, across what may stand between two of them.
    fn runs(&self, alphabet: &[u8; 256], min: usize) -> Vec<Vec<Letter>> {
        let (mut runs, mut run) = (Vec::new(), Vec::new());
        for (at, byte) in self.bytes.iter().enumerate() {
            match alphabet.get(usize::from(*byte)).copied().unwrap_or(NO_LETTER) {
                BETWEEN => {}
                NO_LETTER if run.len() >= min => runs.push(std::mem::take(&mut run)),
                NO_LETTER => run.clear(),
                value => run.push((value, at)),
            }
        }
        if run.len() >= min {
            runs.push(run);
        }
        runs
    }

    /// Bytes of runs of letters of so many bits each, the first letters left out.
    fn unpacked(&self, runs: &[Vec<Letter>], skipped: usize, bits: u32) -> Self {
        let mut view = Self { placed: self.placed, ..Self::default() };
        view.bytes.reserve(self.bytes.len());
        for run in runs {
            let (mut held, mut count, mut start) = (0_u32, 0, None);
            for (value, at) in run.iter().skip(skipped) {
                let start_here = start.unwrap_or(*at);
                held = (held << bits | u32::from(*value)) & 0xffff;
                count += bits;
                start = Some(start_here);
                if count >= 8 {
                    count -= 8;
                    view.push((held >> count & 0xff) as u8, self.place(start_here..at + 1));
                    // A letter that holds bits of the next byte too belongs to both.
                    start = (count > 0).then_some(*at);
                }
            }
            let end = run.last().map_or(0, |(_, at)| at + 1);
            let place = self.place(end.saturating_sub(1)..end);
            if self.is_cut(end) {
                // The letter that was cut in its middle belongs to the byte before it.
                if let Some(last) = view.places.last_mut().filter(|_| count > 0) {
                    last.end = u32::try_from(place.end).unwrap_or(u32::MAX);
                }
                CUTS.iter().take(1).copied().flatten().for_each(|byte| view.push(*byte, place.end..place.end));
            }
            // The padding of base64 belongs to the last byte, in an inner layer too.
            let is_padding = |byte: &&u8| bits == 6 && **byte == b'=';
            let padding = self.bytes.get(end..).unwrap_or_default().iter().take(2).take_while(is_padding).count();
            if let Some(last) = view.places.last_mut().filter(|_| padding > 0) {
                last.end = u32::try_from(self.place(end..end + padding).end).unwrap_or(u32::MAX);
            }
            view.push(BREAK, place.end..place.end);
        }
        view
    }
}

/// A byte as it is compared.
pub(super) fn fold(byte: u8) -> u8 {
    match byte {
        b'+' | b'\n' | b'\r' | b'\t' => b' ',
        byte => byte.to_ascii_lowercase(),
    }
}

/// RFC 4648, sections 4 and 5; line ends may stand between two letters.
const fn base64_value(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        b' ' | b'\n' | b'\r' | b'\t' => BETWEEN,
        _ => NO_LETTER,
    }
}

const fn hex_value(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b' ' | b':' | b'-' | b',' => BETWEEN,
        _ => NO_LETTER,
    }
}

/// Fills the table of an alphabet: a look into it is what most of the time goes into.
macro_rules! alphabet {
    ($value:ident) => {{
        let (mut table, mut byte) = ([NO_LETTER; 256], 0);
        #[expect(clippy::indexing_slicing, reason = "the compiler fills the table and checks it")]
        while byte < 256 {
            table[byte] = $value(byte as u8);
            byte += 1;
        }
        table
    }};
}

static BASE64: [u8; 256] = alphabet!(base64_value);
static HEX: [u8; 256] = alphabet!(hex_value);

/// A text with its escapes taken off, one family at a time, for a secret that holds some itself.
pub(super) fn unescaped(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let view = View::of(text, false);
    Family::ALL.iter().filter_map(move |family| escapes::decoded(&view, *family)).map(|view| view.bytes)
}
