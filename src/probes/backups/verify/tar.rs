//! Parser of tar archives: the checksum of each header, the length of each member, and the end mark.
//!
//! Format: POSIX.1-2017 `pax`, and the GNU extensions for large numbers and sparse files (GNU tar manual, "Basic Tar
//! Format").

use super::Defect;

/// Bytes of a header and of a unit of data.
const BLOCK: usize = 512;
/// Largest pax header that is read for the length of its member.
const MAX_PAX_BYTES: u64 = 64 << 10;

/// An archive that is being read.
#[derive(Debug, Default)]
pub(super) struct TarReader {
    /// A block that is not complete yet.
    block: Vec<u8>,
    /// Bytes of data and padding that are still to come.
    skip: u64,
    /// Records of the last pax header, while its data comes.
    pax: Option<Vec<u8>>,
    /// Length of the next member, where a pax header tells it.
    next_size: Option<u64>,
    /// Data behind the sparse headers of the current member.
    sparse_data: Option<u64>,
    has_ended: bool,
    /// Bytes that were read.
    position: u64,
    defect: Option<Defect>,
}

impl TarReader {
    /// Whether a file that begins with these bytes is a tar archive. Archives without the word `ustar`, as written
    /// before 1988, are not recognized.
    pub(super) fn is_tar(head: &[u8]) -> bool {
        head.get(257..262) == Some(b"ustar")
    }

    /// Reads the next bytes.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && !self.has_ended && self.defect.is_none() {
            if self.skip > 0 {
                let count = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
                let (data, rest) = piece.split_at(count);
                if let Some(pax) = &mut self.pax {
                    pax.extend_from_slice(data);
                }
                (self.skip, self.position, piece) = (self.skip - count as u64, self.position + count as u64, rest);
                if self.skip == 0
                    && let Some(records) = self.pax.take()
                {
                    self.next_size = size_record(&records);
                }
                continue;
            }
            let (part, rest) = piece.split_at(piece.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(part);
            self.position += part.len() as u64;
            piece = rest;
            if self.block.len() == BLOCK {
                let block = std::mem::take(&mut self.block);
                if let Err(defect) = self.read_block(&block) {
                    self.defect = Some(defect);
                }
            }
        }
    }

    /// Checks that the archive is complete.
    ///
    /// # Errors
    /// `Damaged`: a header is wrong, or the archive ends before its end mark.
    pub(super) fn finish(self) -> Result<(), Defect> {
        match self.defect {
            Some(defect) => Err(defect),
            None if self.has_ended => Ok(()),
            None => Err(damaged("it was cut short: its end mark is missing")),
        }
    }

    fn read_block(&mut self, block: &[u8]) -> Result<(), Defect> {
        if let Some(data) = self.sparse_data.take() {
            // A header of GNU's sparse format says at byte 504 whether another one follows.
            match block.get(504) {
                Some(0) | None => self.skip = data,
                Some(_) => self.sparse_data = Some(data),
            }
            return Ok(());
        }
        if block.iter().all(|byte| *byte == 0) {
            // Programs write two blocks of zeros. One is enough for GNU tar, which then only warns.
            self.has_ended = true;
            return Ok(());
        }
        let start = self.position - BLOCK as u64;
        let field = |from: usize, length: usize| block.get(from..from + length).unwrap_or_default();
        let sums = [checksum(block, i64::from), checksum(block, |byte| i64::from(byte.cast_signed()))];
        let expected = number(field(148, 8)).and_then(|sum| i64::try_from(sum).ok());
        if !sums.iter().any(|sum| Some(*sum) == expected) {
            return Err(damaged(&format!("the header at byte {start} has a wrong checksum")));
        }
        let own_size = number(field(124, 12));
        let Some(own_size) = own_size else {
            return Err(damaged(&format!("the header at byte {start} has no length")));
        };
        let size = match block.get(156) {
            // A hard link has no data of its own.
            Some(b'1') => 0,
            Some(b'x' | b'g' | b'L' | b'K') => own_size,
            _ => self.next_size.take().unwrap_or(own_size),
        };
        let padded = size.checked_next_multiple_of(BLOCK as u64);
        let padded = padded.ok_or_else(|| damaged(&format!("the header at byte {start} has an impossible length")))?;
        match block.get(156) {
            Some(b'x') if size <= MAX_PAX_BYTES => (self.pax, self.skip) = (Some(Vec::new()), padded),
            Some(b'S') if block.get(482).is_some_and(|more| *more != 0) => self.sparse_data = Some(padded),
            _ => self.skip = padded,
        }
        Ok(())
    }
}

/// The sum of a header's bytes, in which the checksum itself counts as blanks. Some old programs added signed bytes.
fn checksum(block: &[u8], value: impl Fn(u8) -> i64) -> i64 {
    let blank = |at: usize| (148..156).contains(&at);
    block.iter().enumerate().map(|(at, byte)| if blank(at) { i64::from(b' ') } else { value(*byte) }).sum()
}

/// A number of a header: octal digits, or bytes with the highest bit of the first one set.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        return rest
            .iter()
            .try_fold(u64::from(first & 0x3f), |sum, byte| sum.checked_mul(256).map(|sum| sum | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(|c| c == ' ' || c == '\0');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The length that the records of a pax header give their member: `LENGTH size=NUMBER\n`.
fn size_record(records: &[u8]) -> Option<u64> {
    let record = records.split(|byte| *byte == b'\n').find_map(|record| {
        let (_, text) = std::str::from_utf8(record).ok()?.split_once(' ')?;
        text.strip_prefix("size=")
    });
    record?.parse().ok()
}

fn damaged(why: &str) -> Defect {
    Defect::Damaged(format!("tar archive: {why}"))
}
