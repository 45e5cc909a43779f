//! Checksum files: `HASH  NAME` of sha256sum, `SHA256 (NAME) = HASH` of BSD, or the hash alone.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256, Sha512};

use super::{Defect, refused};
use crate::{io::bounded_file, model::text::to_hex};

/// Checksum that is being computed, and its expected value.
#[derive(Debug)]
pub(super) struct Checksum {
    sum: Sum,
    expected: String,
}

#[derive(Debug)]
enum Sum {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Maximum size of a checksum file, enough for a thousand files.
const MAX_CHECKSUM_BYTES: u64 = 256 << 10;

/// The checksum file of a file or directory, if it exists.
pub(super) fn beside(backup: &Path) -> Option<PathBuf> {
    let with = |extension: &str| {
        let mut name = backup.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    [with(".sha256"), with(".sha512")].into_iter().find(|path| path.exists())
}

impl Checksum {
    /// Reads the expected checksum of a file from a checksum file.
    ///
    /// # Errors
    /// The checksum file can't be read, or has no checksum of the file.
    pub(super) fn read(path: &Path, backup: &Path) -> Result<Self, Defect> {
        Self::find(path, backup)?.ok_or_else(|| {
            let shown = path.file_name().unwrap_or_default().to_string_lossy();
            let name = backup.file_name().unwrap_or_default().to_string_lossy();
            Defect::Damaged(format!("its checksum file {shown} has no checksum of {name}"))
        })
    }

    /// Reads the expected checksum of a file from a checksum file. `None` if the checksum file has none.
    ///
    /// # Errors
    /// The checksum file can't be read.
    pub(super) fn find(path: &Path, backup: &Path) -> Result<Option<Self>, Defect> {
        // File names may have any bytes; checksums are ASCII.
        let bytes = bounded_file::read_bounded(path, MAX_CHECKSUM_BYTES)
            .map_err(|refusal| refused(&format!("its checksum file {}", path.display()), refusal))?;
        let text = String::from_utf8_lossy(&bytes);
        let (sum, digits) = if path.extension().is_some_and(|extension| extension == "sha512") {
            (Sum::Sha512(Sha512::new()), 128)
        } else {
            (Sum::Sha256(Sha256::new()), 64)
        };
        let name = backup.file_name().unwrap_or_default().to_string_lossy();
        let expected = text.lines().find_map(|line| expected(line.trim(), &name, digits));
        Ok(expected.map(|expected| Self { sum, expected }))
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
        match &mut self.sum {
            Sum::Sha256(sum) => sum.update(piece),
            Sum::Sha512(sum) => sum.update(piece),
        }
    }

    /// Name of the checksum if the file has the expected one.
    pub(super) fn finish(self) -> Result<&'static str, Defect> {
        let (name, sum) = match self.sum {
            Sum::Sha256(sum) => ("sha256", to_hex(&sum.finalize())),
            Sum::Sha512(sum) => ("sha512", to_hex(&sum.finalize())),
        };
        if sum != self.expected {
            return Err(Defect::Damaged(format!("its {name} is {sum}, its checksum file says {}", self.expected)));
        }
        Ok(name)
    }
}

/// Hash of a file in a line.
fn expected(line: &str, file: &str, digits: usize) -> Option<String> {
    // BSD: the name stands between the first and the last parenthesis.
    let bsd = line.split_once(" (").and_then(|(_, rest)| rest.rsplit_once(") = "));
    let (name, hash) = match bsd {
        Some((name, hash)) => (name, hash),
        None => {
            let (hash, name) = line.split_once(char::is_whitespace).unwrap_or((line, file));
            // sha256sum marks a line with an escaped name by a backslash.
            (name.trim_start_matches([' ', '*']), hash.trim_start_matches('\\'))
        }
    };
    let is_hash = hash.len() == digits && hash.chars().all(|c| c.is_ascii_hexdigit());
    let is_name = Path::new(name).file_name().is_some_and(|name| name.to_string_lossy() == file);
    (is_hash && is_name).then(|| hash.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_line_is_read() {
        let hash = "A".repeat(64);
        let expect = Some("a".repeat(64));
        for line in [
            hash.clone(),
            format!("{hash}  a.dump"),
            format!("{hash} *a.dump"),
            format!("{hash}  ./backups/a.dump"),
            format!("SHA256 (a.dump) = {hash}"),
        ] {
            assert_eq!(expected(&line, "a.dump", 64), expect, "{line}");
        }
        for line in [
            format!("{hash}  b.dump"),
            format!("SHA256 (b.dump) = {hash}"),
            "x".repeat(64),
            "a".repeat(63),
            String::new(),
        ] {
            assert_eq!(expected(&line, "a.dump", 64), None, "{line}");
        }
    }
}
