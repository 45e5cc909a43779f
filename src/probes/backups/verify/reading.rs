//! A backup that is read over one or several runs.

use std::path::PathBuf;

use super::{
    BackupIdentity, CHUNK_BYTES, Defect,
    content::{ContentKind, Evidence, Promise, foreign_by_name},
    directory::DirectoryReader,
    files::{FileEvent, FileQueue},
    stream::{Stream, WindowLimit},
};
use crate::{
    io::turn::Turn,
    probes::backups::{
        VerificationRequest,
        facts::{BackupForm, Finding},
        sources::candidate::Candidate,
    },
};

/// A backup that is partly read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) path: PathBuf,
    pub(super) identity: BackupIdentity,
    files: FileQueue,
    stream: Option<Stream>,
    /// Present for a directory of `pg_dump -Fd`.
    directory: Option<DirectoryReader>,
    /// Present for a backup that needs a large window. The decoder is dropped before it.
    pub(super) turn: Option<Turn>,
    /// Piece of a file that is being decompressed, and the number of its bytes that are consumed.
    piece: Vec<u8>,
    consumed: usize,
    /// Whether the last step filled its output, so that more output may follow without further input.
    filled: bool,
}

impl Reading {
    pub(super) fn open(backup: &Candidate, identity: BackupIdentity) -> Result<Self, Defect> {
        let list = identity.checksum.as_ref().map(|(path, ..)| path.as_path());
        let directory = (backup.form == BackupForm::Directory).then(|| DirectoryReader::new(backup)).transpose()?;
        Ok(Self {
            path: backup.path.clone(),
            files: FileQueue::open(backup, list)?,
            identity,
            stream: None,
            directory,
            turn: None,
            piece: Vec::with_capacity(CHUNK_BYTES),
            consumed: 0,
            filled: false,
        })
    }

    /// Opens the same backup at its beginning, with a large window in its turn.
    pub(super) fn start_over(self, backup: &Candidate, turn: Turn) -> Result<Self, Defect> {
        // The old decoder is dropped first.
        let identity = self.identity.clone();
        drop(self);
        Ok(Self { turn: Some(turn), ..Self::open(backup, identity)? })
    }

    /// Whether the turn has not come yet.
    pub(super) fn is_queued(&mut self) -> bool {
        self.turn.as_mut().is_some_and(|turn| !turn.has_come())
    }

    /// Number of bytes that were read.
    pub(super) fn done(&self) -> u64 {
        self.files.done()
    }

    /// Reads a piece, or decompresses more of the last one. Returns `false` at the end.
    pub(super) fn step(&mut self) -> Result<bool, Defect> {
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
        match (self.files.read(&mut self.piece)?, &mut self.directory) {
            (FileEvent::Bytes, Some(directory)) if directory.reads_index() => directory.feed_index(&self.piece),
            (FileEvent::Bytes, _) if self.stream.is_some() => {}
            (FileEvent::Bytes, directory) => {
                let window = if self.turn.is_some() { WindowLimit::Large } else { WindowLimit::Usual };
                let kind = if directory.is_some() { ContentKind::Data } else { ContentKind::Whole };
                self.stream = Some(Stream::of(&self.piece, window, kind)?);
            }
            (FileEvent::EndOfFile(path), Some(directory)) => {
                let next = directory.end_of_file(&path, self.stream.take())?;
                self.files.append(next);
                if let Some(path) = self.files.open_next()? {
                    directory.start_file(&path);
                }
            }
            (FileEvent::EndOfFile(_), None) => drop(self.files.open_next()?),
            (FileEvent::End, _) => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn finish(self, request: VerificationRequest) -> Finding {
        let mut by = Vec::new();
        match self.files.checksum() {
            Ok(Some(name)) => by.push(name),
            Err(defect) => return defect.into(),
            Ok(None) if request.require_checksum => {
                return Finding::Unverifiable("there is no checksum file (.sha256 or .sha512) beside it".to_owned());
            }
            Ok(None) => {}
        }
        let has_checksum = !by.is_empty();
        if let Some(directory) = self.directory {
            return match directory.finish(has_checksum) {
                Ok(verified) => Finding::Sound(by.into_iter().chain(verified).collect()),
                Err(defect) => defect.into(),
            };
        }
        let (compressed, evidence) = match self.stream.map(Stream::finish) {
            Some(Ok(found)) => found,
            Some(Err(defect)) => return defect.into(),
            None => return Finding::Damaged("it is empty".to_owned()),
        };
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
