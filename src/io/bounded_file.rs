//! Safe access to files of the user: configuration, secrets, certificates, checksums, backups, saved state. The path,
//! the type and the size of such a file are not under the control of this program.
//!
//! No read blocks forever or fills the memory. Only regular files are opened: a FIFO would block until a writer opens
//! it, and a device may act when it is opened. Every module that opens a file of the user does so here.

use std::{
    fmt,
    fs::{self, File, FileType, Metadata, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::OFlags;

use crate::model::units::Size;

/// Mode of a file that only its owner may read and write.
pub(crate) const PRIVATE_FILE: u32 = 0o600;
/// UTF-8 byte order mark, which editors on Windows put at the start of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const OTHERS_READ: u32 = 0o004;
const OTHERS_ENTER: u32 = 0o001;

/// Reason why a file was not read; the end of a sentence that starts with the file's name.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An error of the system.
    Io(io::Error),
    /// The path leads to a file of another type, named with its article.
    NotRegular(&'static str),
    /// The file is larger than this many bytes.
    TooLarge(u64),
}

/// Version of a file. It differs after the file was replaced (also behind a symbolic link), written, or given another
/// mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileVersion {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    mode: u32,
}

/// Treatment of a symbolic link as the last part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// The link is followed: Kubernetes mounts secrets and configuration through links.
    Follow,
    /// The link is refused: only this program creates files at the path.
    Refuse,
}

/// Opens a regular file for reading.
///
/// # Errors
/// The file can't be opened or is not a regular file.
pub(crate) fn open_regular(path: &Path, links: Links) -> Result<(File, Metadata), Refusal> {
    open_with(path, links, File::options().read(true))
}

/// Opens a file of this program for writing, and creates it with a private mode if it does not exist. Links are
/// refused.
///
/// # Errors
/// The file can't be opened or created, or is not a regular file.
pub(crate) fn open_private(path: &Path) -> Result<File, Refusal> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(PRIVATE_FILE);
    let (file, found) = open_with(path, Links::Refuse, &mut options)?;
    make_private(&file, &found);
    Ok(file)
}

/// Creates a file of this program with a private mode, after removing any file at the path. The file is created
/// exclusively, so that no link is followed and no other file is written.
///
/// # Errors
/// The existing file can't be removed, or the new file can't be created.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::options().write(true).create_new(true).mode(PRIVATE_FILE).open(path),
    }
}

/// Removes the permissions of group and others. Without ownership of the file, this has no effect.
pub(crate) fn make_private(file: &File, found: &Metadata) {
    if found.mode() & 0o077 != 0 {
        let _ = file.set_permissions(Permissions::from_mode(PRIVATE_FILE));
    }
}

/// Reads a regular file of at most `max` bytes and removes a byte order mark at its start.
///
/// # Errors
/// The file can't be read, is not a regular file, or is larger than `max` bytes.
pub(crate) fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, Refusal> {
    read_with_metadata(path, max).map(|(bytes, _)| bytes)
}

/// Reads a file like [`read_bounded`] and returns its metadata, too.
///
/// # Errors
/// As [`read_bounded`].
pub(crate) fn read_with_metadata(path: &Path, max: u64) -> Result<(Vec<u8>, Metadata), Refusal> {
    let (file, found) = open_regular(path, Links::Follow)?;
    if found.len() > max {
        return Err(Refusal::TooLarge(max));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // The file may grow during the read, and files in /proc report the size 0.
    file.take(max + 1).read_to_end(&mut bytes).map_err(Refusal::Io)?;
    if bytes.len() as u64 > max {
        return Err(Refusal::TooLarge(max));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok((bytes, found))
}

impl FileVersion {
    pub(crate) fn from_metadata(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
        }
    }
}

/// Version of a regular file. The file is not opened.
///
/// # Errors
/// No file exists at the path, or it is not a regular file.
pub(crate) fn file_version(path: &Path) -> Result<FileVersion, Refusal> {
    let found = fs::metadata(path).map_err(Refusal::Io)?;
    require_regular(&found)?;
    Ok(FileVersion::from_metadata(&found))
}

/// Advice about a file with a secret that every user of the machine can read; `None` for a protected file. A folder
/// that others can't enter protects the files in it.
pub(crate) fn exposure_advice(path: &Path, found: &Metadata) -> Option<String> {
    if found.mode() & OTHERS_READ == 0 {
        return None;
    }
    // Links are resolved, because the folders of the file itself protect it, not the folders of a link.
    let whole = path.canonicalize().ok()?;
    let closed = |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.mode() & OTHERS_ENTER == 0);
    if whole.ancestors().skip(1).any(closed) {
        return None;
    }
    Some(format!(
        "every user of this machine or container can read this file (mode {:04o}): take the right away with \
         `chmod o-r`; in Kubernetes set `defaultMode: 0400` on the volume (0440 with an `fsGroup`)",
        found.mode() & 0o7777
    ))
}

fn open_with(path: &Path, links: Links, options: &mut OpenOptions) -> Result<(File, Metadata), Refusal> {
    // The type is checked before the file is opened, because a device may act when it is opened. It is checked again on
    // the open file, because the file may have been replaced meanwhile.
    let look = if links == Links::Follow { fs::metadata } else { fs::symlink_metadata };
    match look(path) {
        Ok(found) => require_regular(&found)?,
        // The file may be created below. Otherwise, opening it fails.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Refusal::Io(error)),
    }
    // Opening a FIFO that has just replaced the file would block. The flag has no effect on regular files.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let file = options.custom_flags(flags.bits().cast_signed()).open(path).map_err(Refusal::Io)?;
    let found = file.metadata().map_err(Refusal::Io)?;
    require_regular(&found)?;
    Ok((file, found))
}

fn require_regular(found: &Metadata) -> Result<(), Refusal> {
    match found.file_type() {
        kind if kind.is_file() => Ok(()),
        kind => Err(Refusal::NotRegular(file_type_name(kind))),
    }
}

fn file_type_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_symlink() => "a symbolic link",
        _ => "a device",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "can't be read: {error}"),
            Self::NotRegular(kind) => write!(f, "is {kind}, not a regular file"),
            Self::TooLarge(max) => write!(f, "is larger than {}", Size(*max)),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Io(error) => error,
            other => Self::other(format!("it {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    fn said(path: &Path, links: Links) -> String {
        open_regular(path, links).map_or_else(|refusal| refusal.to_string(), |_| "opened".to_owned())
    }

    #[test]
    fn only_regular_files_are_opened_and_each_other_kind_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, file, link) = (folder.path().join("fifo"), folder.path().join("file"), folder.path().join("link"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        for (path, links, expected) in [
            (&fifo, Links::Follow, "is a FIFO, not a regular file"),
            (&folder.path().to_owned(), Links::Follow, "is a folder, not a regular file"),
            (&folder.path().join("socket"), Links::Follow, "is a socket, not a regular file"),
            (&"/dev/zero".into(), Links::Follow, "is a device, not a regular file"),
            (&link, Links::Refuse, "is a symbolic link, not a regular file"),
            (&link, Links::Follow, "opened"),
            (&file, Links::Refuse, "opened"),
        ] {
            assert_eq!(said(path, links), expected, "{}", path.display());
        }
        assert!(open_private(&fifo).is_err() && open_private(&link).is_err());
    }

    #[test]
    fn a_read_is_bounded_and_leaves_the_byte_order_mark_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"\xef\xbb\xbfabc").unwrap();
        assert_eq!(read_bounded(&path, 6).unwrap(), b"abc");
        assert_eq!(read_bounded(&path, 5).unwrap_err().to_string(), "is larger than 5B");
        // A file of the kernel says that it is empty.
        assert!(matches!(read_bounded(Path::new("/proc/self/maps"), 10), Err(Refusal::TooLarge(10))));
    }

    #[test]
    fn a_private_file_is_created_anew_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, path) = (folder.path().join("victim"), folder.path().join("draft"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &path).unwrap();
        let file = create_private(&path).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(path.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_file_that_others_can_read_and_reach_is_exposed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "x").unwrap();
        let with = |file, above| {
            fs::set_permissions(&path, Permissions::from_mode(file)).unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(above)).unwrap();
            exposure_advice(&path, &fs::metadata(&path).unwrap())
        };
        assert!(with(0o644, 0o755).is_some_and(|text| text.contains("mode 0644") && text.contains("defaultMode")));
        assert_eq!(with(0o640, 0o755), None);
        assert_eq!(with(0o644, 0o750), None, "nobody else can enter the folder");
    }
}
