//! Directories that are one backup: directories of `pg_dump -Fd`, and any directory if the configuration says so.
//!
//! `pg_dump -Fd` writes the data files first and `toc.dat`, the table of contents, last. So a directory without
//! `toc.dat` is a dump that is not finished.

use std::path::Path;

/// Name of the table of contents.
pub(crate) const CONTENTS: &str = "toc.dat";
/// Maximum number of digits in the name of a data file, the number of an entry. Names with more digits, such as
/// `20261128.dat.gz`, are dates.
const MAX_DIGITS: usize = 7;
/// Extensions of compressed data files.
const COMPRESSIONS: [&str; 3] = [".gz", ".zst", ".lz4"];

/// Whether a name is the name of a file in a directory of `pg_dump -Fd`.
pub(crate) fn is_dump_file(name: &str) -> bool {
    name == CONTENTS || is_data_file(name)
}

/// Whether a name is the name of a data file: `3338.dat.gz`, `blob_16400.dat.gz`, `blobs.toc`, `blobs_3340.toc`.
pub(crate) fn is_data_file(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = COMPRESSIONS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    match (name.strip_suffix(".dat"), name.strip_suffix(".toc")) {
        (Some(name), _) => match name.strip_prefix("blob_") {
            Some(object) => is_number(object),
            None => is_number(name) && name.len() <= MAX_DIGITS,
        },
        (None, Some(name)) => name == "blobs" || name.strip_prefix("blobs_").is_some_and(is_number),
        (None, None) => false,
    }
}

/// Whether a path is the path of a file in a directory of `pg_dump -Fd`.
pub(crate) fn is_dump_path(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_dump_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pg_dump_are_told_from_others() {
        for name in [
            "toc.dat",
            "3338.dat",
            "3338.dat.gz",
            "3338.dat.lz4",
            "3338.dat.zst",
            "blobs.toc",
            "blobs_3340.toc",
            "blob_16400.dat.gz",
        ] {
            assert!(is_dump_file(name), "{name}");
        }
        for name in
            ["20261128.dat.gz", "orders.dat", ".dat", "toc.dat.gz", "blob_.dat", "blobs_x.toc", "../1.dat", "1.sql"]
        {
            assert!(!is_dump_file(name), "{name}");
        }
    }
}
