//! Reads backups to tell whether they are whole: each byte once, by everything that applies.
//!
//! A large file takes several runs: each reads on where the last one stopped, for as long as it has time, and between
//! runs nothing happens. What was read once is remembered for as long as the file and its checksum file stay as they
//! are; a restart reads again.

mod checksum;
mod content;
mod pg_dump;
mod stream;
mod tar;

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::PathBuf,
    time::Instant,
};

use self::{
    checksum::Checksum,
    content::{Evidence, Promise, foreign_by_name},
    stream::{Stream, WindowLimit},
};
use super::{
    CancelFlag, VerificationRequest,
    facts::{Finding, Verified},
    sources::files::{File, metadata},
};
use crate::{
    io::{
        bounded_file::{self, Links, Refusal},
        turn::{Turn, Turns},
    },
    model::{failure::Failure, words::Reason},
};
use jiff::Timestamp;

/// What reading found so far.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    known: HashMap<PathBuf, (FileIdentity, Finding)>,
    reading: Option<Reading>,
    /// A file that needs a large window: in the queue for its turn, or in the middle of being read.
    large: Option<Reading>,
    turns: Turns,
    /// Bytes that the last run read that had too little time.
    read_each_run: Option<u64>,
}

/// What must be the same for a finding to hold on.
#[derive(Debug, Clone, PartialEq)]
struct FileIdentity {
    size: u64,
    modified: Option<Timestamp>,
    /// Path, size and time of the checksum file.
    checksum: Option<(PathBuf, u64, Option<std::time::SystemTime>)>,
    request: VerificationRequest,
}

/// Why a backup is not known to be whole.
#[derive(Debug, Clone, PartialEq)]
enum Defect {
    Damaged(String),
    Unverifiable(String),
    /// Not known yet: the decoder accepts a smaller window only.
    LargeWindow,
}

impl From<Defect> for Finding {
    fn from(flaw: Defect) -> Self {
        match flaw {
            Defect::Damaged(why) => Self::Damaged(why),
            Defect::Unverifiable(why) => Self::Unverifiable(why),
            Defect::LargeWindow => Self::Waiting,
        }
    }
}

/// A file in the middle of being read.
#[derive(Debug)]
struct Reading {
    path: PathBuf,
    identity: FileIdentity,
    file: fs::File,
    checksum: Option<Checksum>,
    stream: Option<Stream>,
    /// Present for a file that needs a large window. The decoder is dropped before it.
    turn: Option<Turn>,
    /// The piece of the file that is being decompressed, and how much of it is done.
    piece: Vec<u8>,
    consumed: usize,
    /// Whether the last step filled its output, so that more may come without further input.
    filled: bool,
    /// Bytes of the file that were read.
    done: u64,
}

/// Bytes that are read from a file at once. What they decompress to is bounded by the steps of [`Stream`].
const CHUNK_BYTES: usize = 128 << 10;

impl Verifier {
    pub(super) fn new(turns: Turns) -> Self {
        Self { turns, ..Self::default() }
    }

    /// Reads the newest of `files` (which are the complete ones, newest first) until there is no time left.
    pub(super) fn verify(
        &mut self,
        files: &[File],
        request: VerificationRequest,
        until: Instant,
        halted: &CancelFlag,
    ) -> Result<Vec<Verified>, Failure> {
        self.known.retain(|path, _| files.iter().any(|file| file.path == *path));
        for slot in [&mut self.reading, &mut self.large] {
            // A file that is gone, or not asked for any more, holds neither memory nor a turn.
            slot.take_if(|reading| !files.iter().take(request.newest).any(|file| file.path == reading.path));
        }
        let mut verified = Vec::new();
        for (n, file) in files.iter().enumerate().take(request.newest) {
            let finding = self.look(file, files.get(..n).unwrap_or_default(), request, until, halted)?;
            verified.push(Verified { id: file.path.to_string_lossy().into_owned(), finding });
        }
        // While new ones are being read, the newest one before them still says something.
        if verified.iter().all(|v| matches!(v.finding, Finding::Reading(_) | Finding::Waiting)) {
            let older = files.iter().skip(request.newest).find_map(|file| Some((file, self.known.get(&file.path)?)));
            verified.extend(older.map(|(file, (_, finding))| Verified {
                id: file.path.to_string_lossy().into_owned(),
                finding: finding.clone(),
            }));
        }
        Ok(verified)
    }

    /// Bytes that a run reads in the time that it has, once one had too little.
    pub(super) fn read_each_run(&self) -> Option<u64> {
        self.read_each_run
    }

    fn look(
        &mut self,
        file: &File,
        newer: &[File],
        request: VerificationRequest,
        until: Instant,
        halted: &CancelFlag,
    ) -> Result<Finding, Failure> {
        let identity = FileIdentity::of(file, request)?;
        if let Some((known, finding)) = self.known.get(&file.path)
            && *known == identity
        {
            return Ok(finding.clone());
        }
        let same = |reading: &Reading| reading.path == file.path && reading.identity == identity;
        let large = self.large.take_if(|reading| same(reading));
        let mut reading = match large.or_else(|| self.reading.take_if(|reading| same(reading))) {
            Some(reading) => reading,
            // One file after the other, the newest first: one that comes while another is half read takes its place.
            None if Instant::now() >= until => return Ok(Finding::Reading(0)),
            None => match Reading::open(file, identity.clone()) {
                Ok(reading) => reading,
                Err(flaw) => return Ok(self.remember(file, identity, flaw.into())),
            },
        };
        let mut before = reading.done;
        while Instant::now() < until {
            halted.check()?;
            if reading.is_queued() {
                break;
            }
            match reading.step() {
                Ok(true) => {}
                Ok(false) => {
                    // What was written to while it was read is not what was listed: look again at the next run.
                    if FileIdentity::of(file, request)? != identity || metadata(&file.path)?.len() != file.size {
                        return Ok(Finding::Reading(0));
                    }
                    let finding = reading.finish(request);
                    return Ok(self.remember(file, identity, finding));
                }
                Err(Defect::LargeWindow) => {
                    let Some(turn) = self.turn(newer) else { return Ok(Finding::Waiting) };
                    match reading.start_over(file, turn) {
                        Ok(started) => (reading, before) = (started, 0),
                        Err(flaw) => return Ok(self.remember(file, identity, flaw.into())),
                    }
                }
                Err(flaw) => return Ok(self.remember(file, identity, flaw.into())),
            }
        }
        let done = reading.done;
        self.read_each_run = Some(done - before).filter(|read| *read > 0).or(self.read_each_run);
        if reading.turn.is_none() {
            self.reading = Some(reading);
            return Ok(Finding::Reading(done));
        }
        if let Some(mut turn) = reading.turn.take() {
            let is_over = turn.pass_on();
            reading = match is_over {
                true => match reading.start_over(file, turn) {
                    Ok(started) => started,
                    Err(flaw) => return Ok(self.remember(file, identity, flaw.into())),
                },
                false => Reading { turn: Some(turn), ..reading },
            };
        }
        let finding = if reading.is_queued() { Finding::Waiting } else { Finding::Reading(done) };
        self.large = Some(reading);
        Ok(finding)
    }

    /// The turn for a file that needs a large window. A newer file keeps its own, an older one hands it over.
    fn turn(&mut self, newer: &[File]) -> Option<Turn> {
        if self.large.as_ref().is_some_and(|large| newer.iter().any(|file| file.path == large.path)) {
            return None;
        }
        Some(self.large.take().and_then(|large| large.turn).unwrap_or_else(|| self.turns.join_queue()))
    }

    fn remember(&mut self, file: &File, identity: FileIdentity, finding: Finding) -> Finding {
        self.known.insert(file.path.clone(), (identity, finding.clone()));
        finding
    }
}

impl FileIdentity {
    fn of(file: &File, request: VerificationRequest) -> Result<Self, Failure> {
        let checksum = match checksum::beside(&file.path) {
            Some(path) => match metadata(&path) {
                Ok(metadata) => Some((path, metadata.len(), metadata.modified().ok())),
                Err(failure) if failure.reason == Reason::NotFound => None,
                Err(failure) => return Err(failure),
            },
            None => None,
        };
        Ok(Self { size: file.size, modified: file.modified, checksum, request })
    }
}

impl Reading {
    fn open(file: &File, identity: FileIdentity) -> Result<Self, Defect> {
        let checksum = match &identity.checksum {
            Some((path, ..)) => Some(Checksum::read(path, &file.path)?),
            None => None,
        };
        let (handle, _) = bounded_file::open_regular(&file.path, Links::Follow)
            .map_err(|refusal| refused(&file.path.display().to_string(), refusal))?;
        Ok(Self {
            path: file.path.clone(),
            identity,
            file: handle,
            checksum,
            stream: None,
            turn: None,
            piece: Vec::with_capacity(CHUNK_BYTES),
            consumed: 0,
            filled: false,
            done: 0,
        })
    }

    /// The same file from its beginning, with a large window in its turn.
    fn start_over(self, file: &File, turn: Turn) -> Result<Self, Defect> {
        // Its decoder goes first.
        let identity = self.identity.clone();
        drop(self);
        Ok(Self { turn: Some(turn), ..Self::open(file, identity)? })
    }

    /// Whether its turn has yet to come.
    fn is_queued(&mut self) -> bool {
        self.turn.as_mut().is_some_and(|turn| !turn.has_come())
    }

    /// Reads a piece, or decompresses some more of the last one; `false` at the end.
    fn step(&mut self) -> Result<bool, Defect> {
        if let Some(stream) = &mut self.stream
            && (self.consumed < self.piece.len() || self.filled)
        {
            let step = stream.step(self.piece.get(self.consumed..).unwrap_or_default())?;
            self.consumed += step.consumed;
            self.filled = step.filled;
            return Ok(true);
        }
        (self.consumed, self.filled) = (0, false);
        self.piece.clear();
        let read = Read::by_ref(&mut self.file).take(CHUNK_BYTES as u64).read_to_end(&mut self.piece);
        read.map_err(|error| cant_read(&self.path.display().to_string(), self.done, &error))?;
        if self.piece.is_empty() {
            return Ok(false);
        }
        self.done += self.piece.len() as u64;
        if let Some(checksum) = &mut self.checksum {
            checksum.feed(&self.piece);
        }
        if self.stream.is_none() {
            let window = if self.turn.is_some() { WindowLimit::Large } else { WindowLimit::Usual };
            self.stream = Some(Stream::of(&self.piece, window)?);
        }
        Ok(true)
    }

    fn finish(self, request: VerificationRequest) -> Finding {
        let mut by = Vec::new();
        match self.checksum.map(Checksum::finish) {
            Some(Ok(name)) => by.push(name),
            Some(Err(flaw)) => return flaw.into(),
            None if request.require_checksum => {
                return Finding::Unverifiable("there is no checksum file (.sha256 or .sha512) beside it".to_owned());
            }
            None => {}
        }
        let (compressed, evidence) = match self.stream.map(Stream::finish) {
            Some(Ok(found)) => found,
            Some(Err(flaw)) => return flaw.into(),
            None => return Finding::Damaged("it is empty".to_owned()),
        };
        let has_checksum = !by.is_empty();
        by.extend(compressed);
        let foreign = match evidence {
            Evidence::Complete(name) => {
                by.push(name);
                return Finding::Sound(by);
            }
            Evidence::Foreign(name) => Some(name),
            Evidence::Unknown => foreign_by_name(&self.path),
        };
        // A checksum file covers every form. The checksum of gzip covers any content, also the error message of a dump
        // program: a name that promises a form is held to it.
        match (foreign, Promise::of(&self.path)) {
            _ if has_checksum => Finding::Sound(by),
            (Some(name), _) => Finding::Unverifiable(format!(
                "{name} content is not read here: write a .sha256 file beside it when it is made"
            )),
            (None, Some(promise)) => Finding::Unverifiable(format!(
                "its content is not the {} that its name promises: look at it, or write a .sha256 file beside it",
                promise.description()
            )),
            (None, None) if by.is_empty() => Finding::Unverifiable(
                "it is neither gzip, zstd, tar, a pg_dump archive nor an SQL dump: write a .sha256 file beside it"
                    .to_owned(),
            ),
            (None, None) => Finding::Sound(by),
        }
    }
}

/// Longest file that is looked into while files are listed: what an empty content compresses to is shorter.
const MAX_BLANK_BYTES: u64 = 1 << 10;

/// Whether a file holds nothing, although its size is not 0: the compressed output of a program that wrote nothing.
/// Only short files are read. A file that can't be read is not known to be blank.
pub(super) fn is_blank(file: &File) -> bool {
    if file.size > MAX_BLANK_BYTES {
        return false;
    }
    let mut content = Vec::new();
    let read = bounded_file::open_regular(&file.path, Links::Follow)
        .ok()
        .and_then(|(handle, _)| handle.take(MAX_BLANK_BYTES).read_to_end(&mut content).ok());
    read.is_some() && Stream::is_blank(&content)
}

/// A file that was not opened says nothing of the backup, unless the disk gave an error.
fn refused(shown: &str, refusal: Refusal) -> Defect {
    match refusal {
        Refusal::Io(error) if error.kind() != io::ErrorKind::WouldBlock => cant_read(shown, 0, &error),
        other => Defect::Unverifiable(format!("{shown} {other}")),
    }
}

/// A file that is there but may not be read says nothing; bytes that the disk does not give back are lost.
fn cant_read(shown: &str, at: u64, error: &io::Error) -> Defect {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
            Defect::Unverifiable(format!("{shown} can't be read: {error}"))
        }
        _ => Defect::Damaged(format!("{shown} can't be read after {at} bytes: {error}")),
    }
}

#[cfg(test)]
mod tests;
