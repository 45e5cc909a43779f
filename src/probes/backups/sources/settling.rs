//! Tells a file that is still being written from one that is finished, without ever opening it.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::files::File;

/// What the runs before saw of each file.
#[derive(Debug, Default)]
pub(crate) struct Settling(HashMap<PathBuf, Sighting>);

#[derive(Debug, Clone, Copy)]
struct Sighting {
    size: u64,
    modified: Option<Timestamp>,
    /// Since when this program has seen it like this.
    since: Instant,
    /// Whether this program saw it change before that.
    changed: bool,
}

impl Settling {
    /// Takes in what one run found; what is gone is forgotten.
    pub(crate) fn observe_files(&mut self, files: &[File], now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for file in files {
            let sighting = match before.remove(&file.path) {
                Some(old) if old.size == file.size && old.modified == file.modified => old,
                old => Sighting { size: file.size, modified: file.modified, since: now, changed: old.is_some() },
            };
            self.0.insert(file.path.clone(), sighting);
        }
    }

    /// Whether a file has changed within the time `stable_for`: by this program's own clock where it saw the change,
    /// which holds against copies that set old times; else by the file's time. What has stayed the same for that
    /// long by this program's own clock has settled, however wrong the clock of a file server is.
    pub(crate) fn is_growing(&self, file: &File, stable_for: Duration, now: Timestamp) -> bool {
        let Some(sighting) = self.0.get(&file.path) else { return false };
        let stable_by_file = SignedDuration::try_from(stable_for).unwrap_or(SignedDuration::MAX);
        let is_recent = file.modified.is_some_and(|modified| now.duration_since(modified) < stable_by_file);
        sighting.since.elapsed() < stable_for && (sighting.changed || is_recent)
    }
}
