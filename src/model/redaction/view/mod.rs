//! A text and its decoded forms, for the search of secrets.
//!
//! The encoded forms of a secret can't be listed: percent-encoding alone has one for each choice of encoded letters.
//! Therefore the text is decoded, and each decoded byte keeps its position in the original text.

mod escapes;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use self::escapes::EscapeFamily;

/// Marks at the end of a cut text. The text before a mark may end with a prefix of a secret.
pub(super) const CUTS: [&[u8]; 2] = [b"...", "…".as_bytes()];
/// Bytes between a prefix and the mark: a closing quotation mark, or the replacement of an incomplete character.
const BEFORE_CUT: [&[u8]; 2] = [b"\"", "\u{fffd}".as_bytes()];
/// Number of base64 letters that encode the shortest secret.
const MIN_BASE64: usize = 6;
/// Number of hexadecimal digits that encode the shortest secret.
const MIN_HEX: usize = 8;
/// Value of a byte that is no letter of an alphabet, and of a byte that may separate two letters.
const NO_LETTER: u8 = 0xff;
const BETWEEN: u8 = 0xfe;
/// Separator of two decoded pieces, so that no secret is found across them.
const BREAK: u8 = 0;

/// Bytes of a text, each with its position in the original text. The positions are optional, because most texts contain
/// no secret.
#[derive(Default)]
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    places: Vec<Range<u32>>,
    placed: bool,
    /// Whether decoding in another order may result in the same view.
    is_unescaped: bool,
}

/// A letter of an encoding: its value and its position in the view.
type Letter = (u8, usize);

impl View {
    /// Creates the view of an original text.
    pub(super) fn from_text(text: &str, placed: bool) -> Self {
        let bytes = text.as_bytes().to_vec();
        let places = if placed { (0..).zip(&bytes).map(|(at, _)| at..at + 1).collect() } else { Vec::new() };
        Self { bytes, places, placed, is_unescaped: false }
    }

    /// Position of a part of this view in the original text.
    pub(super) fn original_place(&self, part: Range<usize>) -> Range<usize> {
        if !self.placed {
            return 0..0;
        }
        // Decoding keeps the order.
        let places = self.places.get(part).unwrap_or_default();
        let start = places.first().map_or(0, |place| place.start);
        let end = places.last().map_or(0, |place| place.end);
        start as usize..end as usize
    }

    /// Hash of the bytes and their positions, for the detection of views that another order of decoding has produced;
    /// `None` if no other order exists.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        if !self.is_unescaped {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (&self.bytes, self.places.first(), self.places.last()).hash(&mut hasher);
        Some(hasher.finish())
    }

    /// The bytes for comparison: in lower case, with one kind of space. Forms of HTML encode a space as `+`, and
    /// findings contain spaces instead of line breaks.
    pub(super) fn folded(&self) -> Vec<u8> {
        self.bytes.iter().map(|byte| fold_byte(*byte)).collect()
    }

    /// Decodes one layer of each encoding. Encodings that the text does not contain are left out.
    pub(super) fn decoded(&self) -> Vec<Self> {
        let mut views = Vec::new();
        views.extend(EscapeFamily::ALL.iter().filter_map(|family| escapes::decode_family(self, *family)));
        let letters = self.letter_runs(&BASE64, MIN_BASE64);
        // A secret in the middle of an encoded text may start at any letter of a group of four.
        if !letters.is_empty() {
            views.extend((0..4).map(|skipped| self.decode_runs(&letters, skipped, 6)));
        }
        let digits = self.letter_runs(&HEX, MIN_HEX);
        if !digits.is_empty() {
            views.extend((0..2).map(|skipped| self.decode_runs(&digits, skipped, 4)));
        }
        views
    }

    /// Whether the view is cut at a position, apart from a closing quotation mark.
    pub(super) fn is_cut(&self, at: usize) -> bool {
        let mut rest = self.bytes.get(at..).unwrap_or_default();
        while let Some(next) = BEFORE_CUT.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            rest = next;
        }
        CUTS.iter().any(|cut| rest.starts_with(cut))
    }

    /// The text before a cut, without a closing quotation mark and the replacement of an incomplete character.
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

    /// Runs of at least `min` letters, across separators.
    fn letter_runs(&self, alphabet: &[u8; 256], min: usize) -> Vec<Vec<Letter>> {
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

    /// Decodes runs of letters with `bits` bits each, without the first `skipped` letters.
    fn decode_runs(&self, runs: &[Vec<Letter>], skipped: usize, bits: u32) -> Self {
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
                    view.push((held >> count & 0xff) as u8, self.original_place(start_here..at + 1));
                    // A letter with bits of two bytes belongs to both.
                    start = (count > 0).then_some(*at);
                }
            }
            let end = run.last().map_or(0, |(_, at)| at + 1);
            let place = self.original_place(end.saturating_sub(1)..end);
            if self.is_cut(end) {
                // A letter that was cut in its middle belongs to the byte before it.
                if let Some(last) = view.places.last_mut().filter(|_| count > 0) {
                    last.end = u32::try_from(place.end).unwrap_or(u32::MAX);
                }
                CUTS.iter().take(1).copied().flatten().for_each(|byte| view.push(*byte, place.end..place.end));
            }
            // The padding of base64 belongs to the last byte, also in an inner layer.
            let is_padding = |byte: &&u8| bits == 6 && **byte == b'=';
            let padding = self.bytes.get(end..).unwrap_or_default().iter().take(2).take_while(is_padding).count();
            if let Some(last) = view.places.last_mut().filter(|_| padding > 0) {
                last.end = u32::try_from(self.original_place(end..end + padding).end).unwrap_or(u32::MAX);
            }
            view.push(BREAK, place.end..place.end);
        }
        view
    }
}

/// Folds a byte for comparison.
pub(super) fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'+' | b'\n' | b'\r' | b'\t' => b' ',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Value of a base64 letter (RFC 4648, sections 4 and 5). Line breaks may separate two letters.
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

/// Computes the lookup table of an alphabet. The lookup takes most of the time of a search.
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

/// Decodes the escapes of a secret that contains some itself, one family at a time.
pub(super) fn unescaped_forms(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let view = View::from_text(text, false);
    EscapeFamily::ALL.iter().filter_map(move |family| escapes::decode_family(&view, *family)).map(|view| view.bytes)
}
