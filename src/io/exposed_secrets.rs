//! Warnings about files with secrets that every user of the machine can read.

use std::{
    collections::HashMap,
    fs::Metadata,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::bounded_file::{self, FileVersion};

/// Files with secrets that everybody can read, each warned of once until it changes.
#[derive(Debug, Default)]
pub(crate) struct ExposedSecrets(Mutex<HashMap<PathBuf, FileVersion>>);

impl ExposedSecrets {
    /// Warns in the log of a file that was just read.
    pub(crate) fn warn(&self, path: &Path, found: &Metadata) {
        let stamp = FileVersion::of(found);
        let mut warned = self.0.lock();
        if warned.get(path).is_some_and(|known| *known == stamp) {
            return;
        }
        match bounded_file::exposure(path, found) {
            Some(advice) => {
                warned.insert(path.to_owned(), stamp);
                drop(warned);
                tracing::warn!(file = %path.display(), advice, "a secret is readable by everyone");
            }
            None => drop(warned.remove(path)),
        }
    }
}
