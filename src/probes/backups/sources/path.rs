//! Metadata of paths, with errors that contain advice.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use crate::model::{failure::Failure, words::Reason};

/// Metadata of a path, with symbolic links followed.
pub(crate) fn metadata(path: &Path) -> Result<fs::Metadata, Failure> {
    fs::metadata(path).map_err(|error| unreadable(path, &error))
}

/// Whether something is mounted at a directory: it is on another device than its parent, or it is the root. A directory
/// that is bound to another one of the same file system is not recognized.
pub(crate) fn is_mount_point(folder: &Path) -> Result<bool, Failure> {
    let (inside, outside) = (metadata(folder)?, metadata(&folder.join(".."))?);
    Ok(inside.dev() != outside.dev() || inside.ino() == outside.ino())
}

/// Failure of an operation on a path.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let (reason, advice) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (Reason::NotFound, "is it mounted, is `files` right?")
        }
        io::ErrorKind::PermissionDenied => (Reason::Permission, "let the user that this program runs as read it"),
        io::ErrorKind::TimedOut => (Reason::Timeout, "does the file server answer?"),
        _ => (Reason::Unreachable, "is the file system healthy, does the file server answer?"),
    };
    let failure = Failure::new(reason, format!("{shown} can't be read: {error}; {advice}"));
    match reason {
        Reason::NotFound => failure.with_meaning("the directory or file of the backups does not exist"),
        Reason::Permission => failure.of_exporter("this exporter may not read the directory or a file of the backups"),
        _ => failure,
    }
}

/// Whether the extension of a path is one of these, in any case.
pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default();
    extensions.iter().any(|listed| extension.eq_ignore_ascii_case(listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_folder_is_no_mount_point() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(root.path()).unwrap());
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert_eq!(is_mount_point(&root.path().join("gone")).unwrap_err().reason, Reason::NotFound);
    }
}
