//! Parser of archives of pg_dump: the custom format (`pg_dump -Fc`) with its data, and the table of contents of the
//! directory format (`pg_dump -Fd`).
//!
//! Source: PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c, versions 1.10
//! (PostgreSQL 8) to 1.16 (PostgreSQL 17 and 18). After the table come the blocks, one for each entry with data: a
//! kind, the entry's number and pieces with their lengths up to one of length 0. Newer versions are not guessed at.

use std::collections::HashMap;

use super::Defect;

/// An archive of the custom format that is partly read.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// Bytes that are not parsed yet.
    waiting: Vec<u8>,
    /// Position of `waiting` in the archive.
    position: u64,
    /// Number of bytes before the next attempt to parse the table of contents.
    enough: usize,
    contents: Option<Contents>,
    place: Place,
    /// Number of bytes of data that come next.
    skip: u64,
    defect: Option<Defect>,
}

/// The table of contents of the custom format.
#[derive(Debug)]
struct Contents {
    int_size: usize,
    entries: i64,
    /// Entries without data so far, with the position of the data if the table has it.
    missing: HashMap<i64, Option<u64>>,
}

/// Next part of the blocks: the kind of a block, the length of a piece of a table, the number of a large object, or the
/// length of a piece of a large object.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    Block,
    Table,
    LargeObjects,
    LargeObject,
}

/// Reason why parsing stops: more bytes are needed, or they are wrong.
enum Stop {
    Short,
    Wrong(Defect),
}

/// Maximum size of a table of contents and of a length in it. Real schemas are smaller.
const MAX_CONTENTS_BYTES: usize = 64 << 20;
const TABLE_DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

impl Archive {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.defect.is_some() {
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
        if let Err(Stop::Wrong(defect)) = stop {
            self.defect = Some(defect);
            self.waiting = Vec::new();
        }
    }

    /// Checks at the end of the archive that it is complete.
    pub(super) fn finish(mut self) -> Result<(), Defect> {
        self.enough = 0;
        self.feed(&[]);
        if let Some(defect) = self.defect {
            return Err(defect);
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

    /// Parses as many bytes as possible.
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
            // The next attempt needs twice as many bytes, so that the work on a long table is proportional to its length.
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
        let header = ArchiveHeader::read(bytes)?;
        if header.format != CUSTOM {
            return Err(unverifiable("a header of another form than `pg_dump -Fc`"));
        }
        let int_size = header.int_size;
        let entries = bytes.int(int_size)?;
        let mut missing = HashMap::new();
        for _ in 0..entries {
            let (id, _) = entry(bytes, &header)?;
            if let Some(place) = data_position(bytes, &header)? {
                missing.insert(id, place);
            }
        }
        Ok(Self { int_size, entries, missing })
    }

    /// Parses one part. Returns the next part and the number of bytes of data before it.
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

/// ArchiveHeader of an archive.
#[derive(Debug, Clone, Copy)]
struct ArchiveHeader {
    version: (u8, u8),
    int_size: usize,
    offset_size: usize,
    format: u8,
}

/// Formats in the header. The directory format writes that of the tar format, whose table of contents it shares.
const CUSTOM: u8 = 1;
const TAR: u8 = 3;

impl ArchiveHeader {
    fn read(bytes: &mut Bytes<'_>) -> Result<Self, Stop> {
        if bytes.take(5)? != b"PGDMP" {
            return Err(damaged("it does not begin with a header"));
        }
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
        let format = bytes.byte()?;
        if version >= (1, 15) {
            bytes.byte()?;
        } else {
            bytes.int(int_size)?;
        }
        // The creation time in seven numbers; then the name of the database, and the versions.
        for _ in 0..7 {
            bytes.int(int_size)?;
        }
        for _ in 0..3 {
            bytes.text(int_size)?;
        }
        Ok(Self { version, int_size, offset_size, format })
    }
}

/// Parses the part of an entry that all formats share. Returns its number, and whether it has a `COPY` statement.
fn entry(bytes: &mut Bytes<'_>, header: &ArchiveHeader) -> Result<(i64, bool), Stop> {
    let (version, int) = (header.version, header.int_size);
    let id = bytes.int(int)?;
    bytes.int(int)?;
    // Numbers of table and object, tag, description.
    for _ in 0..4 {
        bytes.text(int)?;
    }
    if version >= (1, 11) {
        bytes.int(int)?;
    }
    // Definition, drop statement, copy statement; schema, tablespace, table access method.
    bytes.text(int)?;
    bytes.text(int)?;
    let has_rows = bytes.text(int)?.is_some_and(|length| length > 0);
    for _ in 0..if version >= (1, 14) { 3 } else { 2 } {
        bytes.text(int)?;
    }
    if version >= (1, 16) {
        bytes.int(int)?;
    }
    // Owner, with OIDs; then the dependencies up to a missing text.
    bytes.text(int)?;
    bytes.text(int)?;
    while bytes.text(int)?.is_some() {}
    Ok((id, has_rows))
}

/// Parses the end of an entry of the custom format: the position of its data.
#[expect(clippy::option_option, reason = "no data, data at an unknown position, data at a known position")]
fn data_position(bytes: &mut Bytes<'_>, header: &ArchiveHeader) -> Result<Option<Option<u64>>, Stop> {
    let state = bytes.byte()?;
    let place = bytes.take(header.offset_size)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    match state {
        1 => Ok(Some(None)),
        2 => Ok(Some(Some(place))),
        3 => Ok(None),
        _ => Err(damaged("an entry of its table of contents makes no sense")),
    }
}

/// The table of contents of the directory format, `toc.dat`, that is partly read.
#[derive(Debug, Default)]
pub(super) struct DirectoryContents(Vec<u8>);

/// A data file that a table of contents names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DataFile {
    /// Name without the extension of a compression.
    pub(super) name: String,
    /// Whether the file has rows of `COPY`, which end with a mark.
    pub(super) has_rows: bool,
}

impl DirectoryContents {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.0.len() <= MAX_CONTENTS_BYTES {
            self.0.extend_from_slice(piece);
        }
    }

    /// Parses the table at its end.
    ///
    /// # Errors
    /// `Damaged`: the table is incomplete. `Unverifiable`: its version is not supported.
    pub(super) fn finish(self) -> Result<Vec<DataFile>, Defect> {
        self.files().map_err(|stop| match stop {
            Stop::Wrong(defect) => defect,
            Stop::Short => Defect::Damaged("pg_dump archive: cut short within its table of contents".to_owned()),
        })
    }

    fn files(&self) -> Result<Vec<DataFile>, Stop> {
        if self.0.len() > MAX_CONTENTS_BYTES {
            return Err(unverifiable("its table of contents is larger than 64MiB"));
        }
        let mut bytes = Bytes { all: &self.0, at: 0 };
        let header = ArchiveHeader::read(&mut bytes)?;
        if header.format != TAR {
            return Err(unverifiable("a header of another form than `pg_dump -Fd`"));
        }
        let mut files = Vec::new();
        for _ in 0..bytes.int(header.int_size)? {
            let (_, has_rows) = entry(&mut bytes, &header)?;
            let end = bytes.at;
            let length = bytes.text(header.int_size)?.unwrap_or(0);
            let name = bytes.all.get(bytes.at - length..bytes.at).filter(|_| length > 0 && bytes.at > end);
            if let Some(name) = name {
                files.push(DataFile { name: String::from_utf8_lossy(name).into_owned(), has_rows });
            }
        }
        Ok(files)
    }
}

/// Bytes, and the number of them that were parsed.
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

    /// Skips a text with its length in front. Returns the length; `None` for a missing text.
    fn text(&mut self, int: usize) -> Result<Option<usize>, Stop> {
        let length = self.int(int)?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if length > MAX_CONTENTS_BYTES {
            return Err(damaged("an impossible length in its table of contents"));
        }
        self.take(length)?;
        Ok(Some(length))
    }
}

fn damaged(what: &str) -> Stop {
    Stop::Wrong(Defect::Damaged(format!("pg_dump archive: {what}")))
}

fn unverifiable(what: &str) -> Stop {
    Stop::Wrong(Defect::Unverifiable(format!("pg_dump archive: {what}")))
}
