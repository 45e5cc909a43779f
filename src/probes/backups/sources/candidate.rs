//! Candidates: files, split files and directories that match a pattern and may be backups.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::path;
use crate::{
    model::failure::Failure,
    probes::backups::facts::{BackupForm, State},
};

/// One backup as it is stored, before its time and its content are judged.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Path of the file or directory; path without the number for a split file.
    pub(crate) path: PathBuf,
    /// Path below the directory without wildcards. A time pattern is searched in it.
    pub(crate) below: String,
    pub(crate) form: BackupForm,
    /// Sum of the sizes of all files.
    pub(crate) size: u64,
    /// Time at which the backup was completed. `None` if the file system returns no valid time.
    pub(crate) modified: Option<Timestamp>,
    /// Time of the last change of any file.
    pub(crate) changed: Option<Timestamp>,
    /// Device and inode, if the same file can have another name: a hard link or a followed symbolic link.
    pub(crate) shared_inode: Option<(u64, u64)>,
    /// Files in the order in which they are read. Empty for a plain file.
    pub(crate) files: Vec<StoredFile>,
    /// State that the listing determines, such as a missing piece, and its explanation.
    pub(crate) state: Option<(State, String)>,
}

/// A regular file of a backup.
#[derive(Debug, Clone, Hash)]
pub(crate) struct StoredFile {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) inode: (u64, u64),
    pub(crate) links: u64,
}

/// Extensions of unfinished files.
const UNFINISHED: [&str; 6] = ["part", "partial", "tmp", "temp", "incomplete", "filepart"];
/// Extensions of files that belong to a backup and are not backups.
const COMPANIONS: [&str; 7] = ["sha256", "sha512", "sha1", "md5", "asc", "sig", "minisig"];

impl Candidate {
    /// A plain file.
    pub(crate) fn file(file: &StoredFile, below: String) -> Self {
        Self {
            path: file.path.clone(),
            below,
            form: BackupForm::File,
            size: file.size,
            modified: file.modified,
            changed: file.modified,
            shared_inode: (file.links > 1).then_some(file.inode),
            files: Vec::new(),
            state: None,
        }
    }

    /// Several files that are one backup. The first file determines its identity.
    pub(crate) fn of_files(path: PathBuf, below: String, form: BackupForm, files: Vec<StoredFile>) -> Self {
        Self {
            path,
            below,
            form,
            size: files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size)),
            modified: files.iter().filter_map(|file| file.modified).max(),
            changed: files.iter().filter_map(|file| file.modified).max(),
            shared_inode: files.first().filter(|file| file.links > 1).map(|file| file.inode),
            files,
            state: None,
        }
    }

    /// An entry that matches and is left out, such as a symbolic link.
    pub(crate) fn left_out(path: PathBuf, below: String, modified: Option<Timestamp>, state: State) -> Self {
        Self {
            path,
            below,
            form: BackupForm::File,
            size: 0,
            modified,
            changed: modified,
            shared_inode: None,
            files: Vec::new(),
            state: Some((state, String::new())),
        }
    }

    /// Whether the name marks an unfinished file: an extension such as `.part`, or a dot at its start, which rsync uses
    /// for files in transfer.
    pub(crate) fn has_unfinished_name(&self) -> bool {
        let is_hidden =
            Path::new(&self.below).components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        is_hidden || path::has_extension(&self.path, &UNFINISHED)
    }

    /// Paths of the files in the order in which they are read.
    pub(crate) fn file_paths(&self) -> Vec<PathBuf> {
        match self.files.is_empty() {
            true => vec![self.path.clone()],
            false => self.files.iter().map(|file| file.path.clone()).collect(),
        }
    }

    /// Hash of the names, sizes and times of the files. A plain file has its size and its time instead.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(&self.files)
    }

    /// Whether the files have not changed since they were listed.
    pub(crate) fn is_unchanged(&self) -> Result<bool, Failure> {
        if self.files.is_empty() {
            return Ok(path::metadata(&self.path)?.len() == self.size);
        }
        for file in &self.files {
            let metadata = path::metadata(&file.path)?;
            if metadata.len() != file.size || modified(&metadata) != file.modified {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn fingerprint(files: &[StoredFile]) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}

impl StoredFile {
    pub(crate) fn new(path: PathBuf, metadata: &fs::Metadata) -> Self {
        Self {
            path,
            size: metadata.len(),
            modified: modified(metadata),
            inode: (metadata.dev(), metadata.ino()),
            links: metadata.nlink(),
        }
    }
}

/// Modification time. `None` for a time outside the supported range.
pub(crate) fn modified(metadata: &fs::Metadata) -> Option<Timestamp> {
    let nanos = i32::try_from(metadata.mtime_nsec()).ok()?;
    Timestamp::new(metadata.mtime(), nanos).ok()
}

/// Whether a file belongs to a backup and is not a backup: a checksum or a signature.
pub(crate) fn is_companion(path: &Path) -> bool {
    path::has_extension(path, &COMPANIONS)
}

/// Whether a name ends with an extension of unfinished files.
pub(crate) fn is_unfinished_extension(extension: &str) -> bool {
    UNFINISHED.contains(&extension)
}
