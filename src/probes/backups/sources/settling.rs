//! Recognition of backups that are still being written, by size and time and without opening a file.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::candidate::Candidate;

/// Sizes and times of each backup from earlier runs.
#[derive(Debug, Default)]
pub(crate) struct Settling(HashMap<PathBuf, Sighting>);

#[derive(Debug, Clone, Copy)]
struct Sighting {
    size: u64,
    changed: Option<Timestamp>,
    /// Start of the time without a change.
    since: Instant,
    /// Whether an earlier run saw another size or time.
    has_changed: bool,
}

impl Settling {
    /// Remembers the backups of a run and forgets all others.
    pub(crate) fn observe(&mut self, candidates: &[Candidate], now: Instant) {
        let mut before = std::mem::take(&mut self.0);
        for candidate in candidates {
            let (size, changed) = (candidate.size, candidate.changed);
            let sighting = match before.remove(&candidate.path) {
                Some(old) if old.size == size && old.changed == changed => old,
                old => Sighting { size, changed, since: now, has_changed: old.is_some() },
            };
            self.0.insert(candidate.path.clone(), sighting);
        }
    }

    /// Whether a backup changed within the time `stable_for`. A change that a run saw counts by the clock of this
    /// program, because a copy may set an old time. Otherwise the time of the file counts. A backup that was the same
    /// for that long by the clock of this program is stable, even if the clock of the file server is wrong.
    pub(crate) fn is_growing(&self, candidate: &Candidate, stable_for: Duration, now: Timestamp) -> bool {
        let Some(sighting) = self.0.get(&candidate.path) else { return false };
        let stable_by_file = SignedDuration::try_from(stable_for).unwrap_or(SignedDuration::MAX);
        let is_recent = candidate.changed.is_some_and(|changed| now.duration_since(changed) < stable_by_file);
        sighting.since.elapsed() < stable_for && (sighting.has_changed || is_recent)
    }
}
