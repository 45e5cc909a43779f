//! Verification of backups: each byte is read once, and every applicable check is made on it.
//!
//! A large backup takes several runs. Each run continues where the last one stopped, as long as it has time; nothing is
//! read between runs. A result is remembered until the backup or its checksum file changes. A restart reads again.

mod checksum;
mod content;
mod directory;
mod files;
mod pg_dump;
mod reading;
mod stream;
mod tar;

use std::{
    collections::HashMap,
    io::{self, Read},
    path::PathBuf,
    time::Instant,
};

use self::{reading::Reading, stream::Stream};
use super::{
    VerificationRequest,
    cancel::CancelFlag,
    facts::{BackupForm, Finding, Verified},
    sources::{candidate::Candidate, path::metadata},
};
use crate::{
    io::{
        bounded_file::{self, Links, Refusal},
        turn::{Turn, Turns},
    },
    model::{failure::Failure, words::Reason},
};
use jiff::Timestamp;

/// Results of earlier runs, and the backups that are partly read.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    known: HashMap<PathBuf, (BackupIdentity, Finding)>,
    reading: Option<Reading>,
    /// A backup that needs a large window: in the queue for its turn, or partly read.
    large: Option<Reading>,
    turns: Turns,
    /// Number of bytes that the last run with too little time read.
    read_each_run: Option<u64>,
}

/// Properties of a backup. A result is valid as long as they are the same.
#[derive(Debug, Clone, PartialEq)]
struct BackupIdentity {
    size: u64,
    modified: Option<Timestamp>,
    /// Hash of the names, sizes and times of several files.
    files: u64,
    /// Path, size and time of the checksum file.
    checksum: Option<(PathBuf, u64, Option<std::time::SystemTime>)>,
    request: VerificationRequest,
}

/// Reason why a backup is not known to be intact.
#[derive(Debug, Clone, PartialEq)]
enum Defect {
    Damaged(String),
    Unverifiable(String),
    /// The decoder accepts a smaller window only. The backup must be read again with a large window.
    LargeWindow,
}

impl From<Defect> for Finding {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::Damaged(why) => Self::Damaged(why),
            Defect::Unverifiable(why) => Self::Unverifiable(why),
            Defect::LargeWindow => Self::Waiting,
        }
    }
}

/// Number of bytes that are read from a file at once. The steps of [`Stream`] bound the decompressed bytes.
const CHUNK_BYTES: usize = 128 << 10;

impl Verifier {
    pub(super) fn new(turns: Turns) -> Self {
        Self { turns, ..Self::default() }
    }

    /// Reads the newest of the complete backups, newest first, until no time is left.
    pub(super) fn verify(
        &mut self,
        backups: &[Candidate],
        request: VerificationRequest,
        until: Instant,
        halted: &CancelFlag,
    ) -> Result<Vec<Verified>, Failure> {
        self.known.retain(|path, _| backups.iter().any(|backup| backup.path == *path));
        for slot in [&mut self.reading, &mut self.large] {
            // A backup that is gone or not requested any more holds neither memory nor a turn.
            slot.take_if(|reading| !backups.iter().take(request.newest).any(|backup| backup.path == reading.path));
        }
        let mut verified = Vec::new();
        for (n, backup) in backups.iter().enumerate().take(request.newest) {
            let finding = self.look(backup, backups.get(..n).unwrap_or_default(), request, until, halted)?;
            verified.push(Verified { id: backup.path.to_string_lossy().into_owned(), finding });
        }
        // While new backups are being read, the result of the newest older backup is reported.
        if verified.iter().all(|v| matches!(v.finding, Finding::Reading(_) | Finding::Waiting)) {
            let mut older = backups.iter().skip(request.newest);
            let older = older.find_map(|backup| Some((backup, self.known.get(&backup.path)?)));
            verified.extend(older.map(|(backup, (_, finding))| Verified {
                id: backup.path.to_string_lossy().into_owned(),
                finding: finding.clone(),
            }));
        }
        Ok(verified)
    }

    /// Number of bytes that a run reads in its time, after a run had too little time.
    pub(super) fn read_each_run(&self) -> Option<u64> {
        self.read_each_run
    }

    fn look(
        &mut self,
        backup: &Candidate,
        newer: &[Candidate],
        request: VerificationRequest,
        until: Instant,
        halted: &CancelFlag,
    ) -> Result<Finding, Failure> {
        let identity = BackupIdentity::of(backup, request)?;
        if let Some((known, finding)) = self.known.get(&backup.path)
            && *known == identity
        {
            return Ok(finding.clone());
        }
        let same = |reading: &Reading| reading.path == backup.path && reading.identity == identity;
        let large = self.large.take_if(|reading| same(reading));
        let mut reading = match large.or_else(|| self.reading.take_if(|reading| same(reading))) {
            Some(reading) => reading,
            // Backups are read one after the other, the newest first. A new backup replaces one that is partly read.
            None if Instant::now() >= until => return Ok(Finding::Reading(0)),
            None => match Reading::open(backup, identity.clone()) {
                Ok(reading) => reading,
                Err(defect) => return Ok(self.remember(backup, identity, defect.into())),
            },
        };
        let mut before = reading.done();
        while Instant::now() < until {
            halted.check()?;
            if reading.is_queued() {
                break;
            }
            match reading.step() {
                Ok(true) => {}
                Ok(false) => {
                    // A backup that changed while it was read is read again by the next run.
                    if BackupIdentity::of(backup, request)? != identity || !backup.is_unchanged()? {
                        return Ok(Finding::Reading(0));
                    }
                    let finding = reading.finish(request);
                    return Ok(self.remember(backup, identity, finding));
                }
                Err(Defect::LargeWindow) => {
                    let Some(turn) = self.turn(newer) else { return Ok(Finding::Waiting) };
                    match reading.start_over(backup, turn) {
                        Ok(started) => (reading, before) = (started, 0),
                        Err(defect) => return Ok(self.remember(backup, identity, defect.into())),
                    }
                }
                Err(defect) => return Ok(self.remember(backup, identity, defect.into())),
            }
        }
        let done = reading.done();
        self.read_each_run = Some(done - before).filter(|read| *read > 0).or(self.read_each_run);
        if reading.turn.is_none() {
            self.reading = Some(reading);
            return Ok(Finding::Reading(done));
        }
        if let Some(mut turn) = reading.turn.take() {
            let is_over = turn.pass_on();
            reading = match is_over {
                true => match reading.start_over(backup, turn) {
                    Ok(started) => started,
                    Err(defect) => return Ok(self.remember(backup, identity, defect.into())),
                },
                false => {
                    reading.turn = Some(turn);
                    reading
                }
            };
        }
        let finding = if reading.is_queued() { Finding::Waiting } else { Finding::Reading(done) };
        self.large = Some(reading);
        Ok(finding)
    }

    /// Turn for a backup that needs a large window. A newer backup keeps its turn, an older one passes it on.
    fn turn(&mut self, newer: &[Candidate]) -> Option<Turn> {
        if self.large.as_ref().is_some_and(|large| newer.iter().any(|backup| backup.path == large.path)) {
            return None;
        }
        Some(self.large.take().and_then(|large| large.turn).unwrap_or_else(|| self.turns.join_queue()))
    }

    fn remember(&mut self, backup: &Candidate, identity: BackupIdentity, finding: Finding) -> Finding {
        self.known.insert(backup.path.clone(), (identity, finding.clone()));
        finding
    }
}

impl BackupIdentity {
    fn of(backup: &Candidate, request: VerificationRequest) -> Result<Self, Failure> {
        let checksum = match checksum::beside(&backup.path) {
            Some(path) => match metadata(&path) {
                Ok(metadata) => Some((path, metadata.len(), metadata.modified().ok())),
                Err(failure) if failure.reason == Reason::NotFound => None,
                Err(failure) => return Err(failure),
            },
            None => None,
        };
        let (size, modified, files) = (backup.size, backup.changed, backup.fingerprint());
        Ok(Self { size, modified, files, checksum, request })
    }
}

/// Maximum size of a backup that is read while backups are listed. The compressed form of no content is shorter.
const MAX_BLANK_BYTES: u64 = 1 << 10;

/// Whether a backup has no content although its size is not 0: the compressed output of a program that wrote nothing.
/// Only short backups are read. A backup that can't be read is not known to be blank.
pub(super) fn is_blank(backup: &Candidate) -> bool {
    if backup.size > MAX_BLANK_BYTES || backup.form == BackupForm::Directory {
        return false;
    }
    let mut content = Vec::new();
    let mut read = |path: PathBuf| {
        let (handle, _) = bounded_file::open_regular(&path, Links::Follow).ok()?;
        handle.take(MAX_BLANK_BYTES).read_to_end(&mut content).ok()
    };
    backup.file_paths().into_iter().all(|path| read(path).is_some()) && Stream::is_blank(&content)
}

/// Defect of a file that could not be opened: damage only for an error of the disk.
fn refused(shown: &str, refusal: Refusal) -> Defect {
    match refusal {
        Refusal::Io(error) if error.kind() != io::ErrorKind::WouldBlock => cant_read(shown, 0, &error),
        other => Defect::Unverifiable(format!("{shown} {other}")),
    }
}

/// Defect of a file that could not be read: damage, unless permission is missing or the file is gone.
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
