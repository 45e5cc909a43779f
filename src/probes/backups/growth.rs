//! Tells a file that is still being written from one that is finished, without ever opening it.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::files::File;

/// What the runs before saw of each file.
#[derive(Debug, Default)]
pub(super) struct Growth(HashMap<PathBuf, Sighting>);

#[derive(Debug, Clone, Copy)]
struct Sighting {
    size: u64,
    modified: Option<Timestamp>,
    /// When this program saw it change; `None` as long as it did not.
    changed: Option<Instant>,
}

impl Growth {
    /// Takes in what one run found; what is gone is forgotten.
    pub(super) fn sight(&mut self, files: &[File], now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for file in files {
            let changed = match before.remove(&file.path) {
                Some(old) if old.size == file.size && old.modified == file.modified => old.changed,
                Some(_) => Some(now),
                None => None,
            };
            self.0.insert(file.path.clone(), Sighting { size: file.size, modified: file.modified, changed });
        }
    }

    /// Whether a file has changed within the time `settle`: by this program's own clock where it saw the change,
    /// which holds against copies that set old times and against servers with wrong clocks; else by the file's time.
    pub(super) fn is_growing(&self, file: &File, settle: Duration, now: Timestamp) -> bool {
        match self.0.get(&file.path).and_then(|sighting| sighting.changed) {
            Some(changed) => changed.elapsed() < settle,
            None => file
                .modified
                .is_some_and(|modified| Duration::try_from(now.duration_since(modified)).is_ok_and(|age| age < settle)),
        }
    }
}
