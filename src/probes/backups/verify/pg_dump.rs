//! pg_dump's custom format (`pg_dump -Fc`): the table of contents, and whether all the data that it lists is there.
//!
//! The format is that of PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c, versions 1.10
//! (PostgreSQL 8) to 1.16 (PostgreSQL 17 and 18). After the table come the blocks, one for each entry with data: a
//! kind, the entry's number and pieces with their lengths up to one of length 0. Newer versions are not guessed at.

use std::collections::HashMap;

use super::Defect;

/// An archive in the making.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// Bytes that could not be used yet.
    waiting: Vec<u8>,
    /// Where `waiting` begins in the archive.
    position: u64,
    /// The table is not tried before so much is there.
    enough: usize,
    contents: Option<Contents>,
    place: Place,
    /// So many bytes of data come next.
    skip: u64,
    flaw: Option<Defect>,
}

/// The table of contents.
#[derive(Debug)]
struct Contents {
    int_size: usize,
    entries: i64,
    /// Entries whose data has not been seen yet, with the place where it should be, where that was written down.
    missing: HashMap<i64, Option<u64>>,
}

/// Where in the blocks we are: before the kind of a block, the length of a piece of a table, the number of a large
/// object, the length of a piece of one.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    Block,
    Table,
    LargeObjects,
    LargeObject,
}

/// Why reading stops here: more bytes are needed, or they are wrong.
enum Stop {
    Short,
    Wrong(Defect),
}

/// Larger than any schema; what claims more is no table of contents.
const MAX_CONTENTS_BYTES: usize = 64 << 20;
const TABLE_DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

impl Archive {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.flaw.is_some() {
            return;
        }
        self.waiting.extend_from_slice(piece);
        let waiting = std::mem::take(&mut self.waiting);
        let mut bytes = Bytes { all: &waiting, at: 0 };
        let stop = self.advance(&mut bytes);
        let used = bytes.at;
        self.position += used as u64;
        self.waiting = waiting;
        self.waiting.drain(..used);
        if let Err(Stop::Wrong(flaw)) = stop {
            self.flaw = Some(flaw);
            self.waiting = Vec::new();
        }
    }

    /// Everything has been fed: is everything there?
    pub(super) fn finish(mut self) -> Result<(), Defect> {
        self.enough = 0;
        self.feed(&[]);
        if let Some(flaw) = self.flaw {
            return Err(flaw);
        }
        let cut = |within: &str| Err(Defect::Damaged(format!("pg_dump archive: cut short within {within}")));
        let Some(contents) = self.contents else { return cut("its table of contents") };
        if self.skip > 0 || !self.waiting.is_empty() || self.place != Place::Block {
            return cut("the data");
        }
        match contents.missing.len() {
            0 => Ok(()),
            n => cut(&format!("the data: {n} of {} entries have none", contents.entries)),
        }
    }

    /// Uses as many bytes as it can.
    fn advance(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Stop> {
        if self.contents.is_none() {
            self.contents = Some(self.read_contents(bytes)?);
        }
        let Some(contents) = &mut self.contents else { return Ok(()) };
        loop {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.left());
            bytes.at += skipped;
            self.skip -= skipped as u64;
            if bytes.left() == 0 {
                return Ok(());
            }
            let start = bytes.at;
            match contents.step(self.place, bytes, self.position) {
                Ok((place, skip)) => (self.place, self.skip) = (place, skip),
                Err(stop) => {
                    bytes.at = start;
                    return Err(stop);
                }
            }
        }
    }

    fn read_contents(&mut self, bytes: &mut Bytes<'_>) -> Result<Contents, Stop> {
        if bytes.left() < self.enough.min(MAX_CONTENTS_BYTES + 1) {
            return Err(Stop::Short);
        }
        let contents = Contents::read(bytes);
        if contents.is_err() {
            // Tried again once there is twice as much, so that a long table is not read over and over.
            self.enough = bytes.all.len() * 2;
            bytes.at = 0;
        }
        contents
    }
}

impl Contents {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, Stop> {
        if bytes.all.len() > MAX_CONTENTS_BYTES {
            return Err(unverifiable("its table of contents is larger than 64MiB"));
        }
        bytes.take(5)?;
        let version = (bytes.byte()?, bytes.byte()?);
        bytes.byte()?;
        if !((1, 10)..=(1, 16)).contains(&version) {
            let (major, minor) = version;
            return Err(unverifiable(&format!("format {major}.{minor} is not known here, only 1.10 to 1.16")));
        }
        let (int_size, offset_size) = (usize::from(bytes.byte()?), usize::from(bytes.byte()?));
        if !(1..=8).contains(&int_size) || !(1..=8).contains(&offset_size) {
            return Err(damaged("impossible sizes in its header"));
        }
        if bytes.byte()? != 1 {
            return Err(unverifiable("a header of another form than `pg_dump -Fc`"));
        }
        if version >= (1, 15) {
            bytes.byte()?;
        } else {
            bytes.int(int_size)?;
        }
        // When it was made, in seven numbers; then database and versions.
        for _ in 0..7 {
            bytes.int(int_size)?;
        }
        for _ in 0..3 {
            bytes.text(int_size)?;
        }
        let entries = bytes.int(int_size)?;
        let mut missing = HashMap::new();
        for _ in 0..entries {
            let (id, place) = entry(bytes, version, int_size, offset_size)?;
            if let Some(place) = place {
                missing.insert(id, place);
            }
        }
        Ok(Self { int_size, entries, missing })
    }

    /// Reads what stands at a place; gives the next place and how much data comes before it.
    fn step(&mut self, place: Place, bytes: &mut Bytes<'_>, base: u64) -> Result<(Place, u64), Stop> {
        let int = self.int_size;
        match place {
            Place::Block => {
                let start = base + bytes.at as u64;
                let kind = bytes.byte()?;
                let next = match kind {
                    TABLE_DATA => Place::Table,
                    LARGE_OBJECTS => Place::LargeObjects,
                    _ => return Err(damaged(&format!("no block begins at byte {start}"))),
                };
                let id = bytes.int(int)?;
                match self.missing.remove(&id) {
                    Some(None) => Ok((next, 0)),
                    Some(Some(expected)) if expected == start => Ok((next, 0)),
                    _ => Err(damaged(&format!("the block at byte {start} is not where its table of contents says"))),
                }
            }
            Place::LargeObjects => match bytes.int(int)? {
                0 => Ok((Place::Block, 0)),
                _ => Ok((Place::LargeObject, 0)),
            },
            Place::Table | Place::LargeObject => {
                let length = u64::try_from(bytes.int(int)?).map_err(|_| damaged("a piece of negative length"))?;
                match (length, place) {
                    (0, Place::Table) => Ok((Place::Block, 0)),
                    (0, _) => Ok((Place::LargeObjects, 0)),
                    (length, place) => Ok((place, length)),
                }
            }
        }
    }
}

/// One entry of the table: its number and, where it has data, the place of it if that was written down.
#[expect(clippy::option_option, reason = "no data, data somewhere, data at a known place")]
fn entry(
    bytes: &mut Bytes<'_>,
    version: (u8, u8),
    int: usize,
    offset: usize,
) -> Result<(i64, Option<Option<u64>>), Stop> {
    let id = bytes.int(int)?;
    bytes.int(int)?;
    // Table and object number, tag, description.
    for _ in 0..4 {
        bytes.text(int)?;
    }
    if version >= (1, 11) {
        bytes.int(int)?;
    }
    // Definition, drop and copy statement, schema, tablespace, table access method.
    for _ in 0..if version >= (1, 14) { 6 } else { 5 } {
        bytes.text(int)?;
    }
    if version >= (1, 16) {
        bytes.int(int)?;
    }
    // Owner, with OIDs; then what it depends on, up to a null.
    bytes.text(int)?;
    bytes.text(int)?;
    while bytes.text(int)? {}
    let state = bytes.byte()?;
    let place = bytes.take(offset)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    match state {
        1 => Ok((id, Some(None))),
        2 => Ok((id, Some(Some(place)))),
        3 => Ok((id, None)),
        _ => Err(damaged("an entry of its table of contents makes no sense")),
    }
}

/// Bytes that are there, and how many of them were used.
struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn left(&self) -> usize {
        self.all.len() - self.at
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let taken = self.all.get(self.at..).and_then(|left| left.get(..count)).ok_or(Stop::Short)?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?.iter().sum())
    }

    /// A sign and a number, lowest byte first.
    fn int(&mut self, size: usize) -> Result<i64, Stop> {
        let negative = self.byte()? != 0;
        let number = self.take(size)?.iter().rev().fold(0i64, |sum, byte| sum.wrapping_shl(8) | i64::from(*byte));
        Ok(if negative { number.wrapping_neg() } else { number })
    }

    /// A text with its length before it, skipped; whether it is there at all.
    fn text(&mut self, int: usize) -> Result<bool, Stop> {
        let length = self.int(int)?;
        let Ok(length) = usize::try_from(length) else { return Ok(false) };
        if length > MAX_CONTENTS_BYTES {
            return Err(damaged("an impossible length in its table of contents"));
        }
        self.take(length)?;
        Ok(true)
    }
}

fn damaged(what: &str) -> Stop {
    Stop::Wrong(Defect::Damaged(format!("pg_dump archive: {what}")))
}

fn unverifiable(what: &str) -> Stop {
    Stop::Wrong(Defect::Unverifiable(format!("pg_dump archive: {what}")))
}
