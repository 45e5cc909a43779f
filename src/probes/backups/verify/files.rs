//! The files of one backup, read one after the other, with their checksums.

use std::{
    collections::VecDeque,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::{CHUNK_BYTES, Defect, cant_read, checksum, checksum::Checksum, refused};
use crate::{
    io::bounded_file::{self, Links},
    probes::backups::{facts::BackupForm, sources::candidate::Candidate},
};

/// Files that are not read yet, and the one that is being read.
#[derive(Debug)]
pub(super) struct FileQueue {
    waiting: VecDeque<PathBuf>,
    current: Option<OpenFile>,
    links: Links,
    checksums: Checksums,
    /// Name of the checksum algorithm of the files that were verified.
    verified: Option<&'static str>,
    /// Number of bytes that were read.
    done: u64,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    handle: fs::File,
    checksum: Option<Checksum>,
}

/// Source of the checksums.
#[derive(Debug)]
enum Checksums {
    /// No file has a checksum.
    None,
    /// One checksum of all bytes.
    Whole(Box<Checksum>),
    /// A checksum file with one line for each file.
    List(PathBuf),
    /// A checksum file beside each file.
    Each,
}

/// Result of a read.
#[derive(Debug)]
pub(super) enum FileEvent {
    /// Bytes of the current file.
    Bytes,
    /// The current file ended.
    EndOfFile(PathBuf),
    /// All files ended.
    End,
}

impl FileQueue {
    /// Opens the first file of a backup. `list` is the checksum file of the backup.
    pub(super) fn open(backup: &Candidate, list: Option<&Path>) -> Result<Self, Defect> {
        let checksums = match (backup.form, list) {
            (BackupForm::File, Some(list)) => Checksums::Whole(Box::new(Checksum::read(list, &backup.path)?)),
            (BackupForm::File, None) => Checksums::None,
            (BackupForm::Pieces, Some(list)) => match Checksum::find(list, &backup.path)? {
                Some(whole) => Checksums::Whole(Box::new(whole)),
                None => Checksums::List(list.to_owned()),
            },
            (BackupForm::Directory, Some(list)) => Checksums::List(list.to_owned()),
            (_, None) => match backup.files.first().and_then(|file| checksum::beside(&file.path)) {
                Some(_) => Checksums::Each,
                None => Checksums::None,
            },
        };
        // A directory names its files after reading the table of contents, which is the first file.
        let waiting: VecDeque<_> = match backup.form {
            BackupForm::Directory => backup.file_paths().into_iter().take(1).collect(),
            _ => backup.file_paths().into(),
        };
        // The files of a directory are regular files. A plain file may be named by a link.
        let links = if backup.form == BackupForm::File { Links::Follow } else { Links::Refuse };
        let mut queue = Self { waiting, current: None, links, checksums, verified: None, done: 0 };
        queue.open_next()?;
        Ok(queue)
    }

    /// Reads the next bytes of the current file.
    pub(super) fn read(&mut self, piece: &mut Vec<u8>) -> Result<FileEvent, Defect> {
        let Some(file) = &mut self.current else { return Ok(FileEvent::End) };
        let read = Read::by_ref(&mut file.handle).take(CHUNK_BYTES as u64).read_to_end(piece);
        read.map_err(|error| cant_read(&file.path.display().to_string(), self.done, &error))?;
        self.done += piece.len() as u64;
        if !piece.is_empty() {
            if let Checksums::Whole(checksum) = &mut self.checksums {
                checksum.feed(piece);
            }
            if let Some(checksum) = &mut file.checksum {
                checksum.feed(piece);
            }
            return Ok(FileEvent::Bytes);
        }
        let ended = self.current.take();
        let path = ended.as_ref().map(|file| file.path.clone()).unwrap_or_default();
        if let Some(checksum) = ended.and_then(|file| file.checksum) {
            self.verified = Some(checksum.finish().map_err(|defect| within(&path, defect))?);
        }
        Ok(FileEvent::EndOfFile(path))
    }

    /// Adds files to the end of the queue.
    pub(super) fn append(&mut self, files: Vec<PathBuf>) {
        self.waiting.extend(files);
    }

    /// Number of bytes that were read.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Name of the checksum algorithm after all files were read. `None` without a checksum file.
    ///
    /// # Errors
    /// `Damaged`: the checksum of all bytes differs.
    pub(super) fn checksum(self) -> Result<Option<&'static str>, Defect> {
        match self.checksums {
            Checksums::Whole(checksum) => checksum.finish().map(Some),
            _ => Ok(self.verified),
        }
    }

    /// Opens the next file and returns its path. `None` after the last file.
    pub(super) fn open_next(&mut self) -> Result<Option<PathBuf>, Defect> {
        let Some(path) = self.waiting.pop_front() else { return Ok(None) };
        let checksum = match &self.checksums {
            Checksums::None | Checksums::Whole(_) => None,
            Checksums::List(list) => Some(Checksum::read(list, &path)?),
            Checksums::Each => match checksum::beside(&path) {
                Some(list) => Some(Checksum::read(&list, &path)?),
                None => {
                    let name = path.file_name().unwrap_or_default().display();
                    return Err(Defect::Unverifiable(format!("{name} has no checksum file, but others have one")));
                }
            },
        };
        let (handle, _) = bounded_file::open_regular(&path, self.links)
            .map_err(|refusal| refused(&path.display().to_string(), refusal))?;
        self.current = Some(OpenFile { path: path.clone(), handle, checksum });
        Ok(Some(path))
    }
}

/// A defect of one file of several.
pub(super) fn within(path: &Path, defect: Defect) -> Defect {
    let name = path.file_name().unwrap_or_default().display();
    match defect {
        Defect::Damaged(why) => Defect::Damaged(format!("{name}: {why}")),
        Defect::Unverifiable(why) => Defect::Unverifiable(format!("{name}: {why}")),
        Defect::LargeWindow => Defect::LargeWindow,
    }
}
