//! Warnings about secret files that every user of the machine can read.

use std::{
    collections::HashMap,
    fs::Metadata,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::bounded_file::{self, FileVersion};

/// Versions of the secret files that a warning was logged for. The next warning follows after a change of the file.
#[derive(Debug, Default)]
pub(crate) struct ExposedSecrets(Mutex<HashMap<PathBuf, FileVersion>>);

impl ExposedSecrets {
    /// Logs a warning if every user can read the file.
    pub(crate) fn warn_if_exposed(&self, path: &Path, found: &Metadata) {
        let stamp = FileVersion::from_metadata(found);
        let mut warned = self.0.lock();
        if warned.get(path).is_some_and(|known| *known == stamp) {
            return;
        }
        match bounded_file::exposure_advice(path, found) {
            Some(advice) => {
                warned.insert(path.to_owned(), stamp);
                drop(warned);
                tracing::warn!(file = %path.display(), advice, "a secret is readable by everyone");
            }
            None => drop(warned.remove(path)),
        }
    }
}
