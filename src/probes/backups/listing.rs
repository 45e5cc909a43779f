//! Listing of a run: the candidates with their times and states.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Backups, DirectoryKind, TimeSource,
    cancel::CancelFlag,
    facts::{Backup, Set, State},
    sources::{
        candidate::Candidate,
        path,
        settling::Settling,
        time_pattern::NameTime,
        walk::{self, WalkSettings},
    },
    verify,
};
use crate::model::{failure::Failure, words::Reason};

/// Maximum difference between two clocks. A backup that is further in the future does not count.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

impl Backups {
    /// Lists the current backups, oldest first, and the complete ones among the candidates, newest first.
    pub(super) fn list(
        &self,
        growth: &mut Settling,
        now: Timestamp,
        halted: &CancelFlag,
    ) -> Result<(Set, Vec<Candidate>), Failure> {
        self.must_be_mounted()?;
        let settings = WalkSettings {
            max_files: self.max_files,
            any_directory: self.directories == DirectoryKind::Any,
            links_into: self.follow_links_into.as_deref(),
            is_dated: &|below| match &self.time {
                TimeSource::Modified => true,
                TimeSource::Name(pattern) => pattern.find(below, &self.time_zone) != NameTime::Missing,
            },
        };
        let found = walk::list(&self.files, &settings, halted)?;
        growth.observe(&found.candidates, Instant::now());
        let backup = |candidate| halted.check().map(|()| self.backup(candidate, growth, now));
        let mut backups = found.candidates.iter().map(backup).collect::<Result<Vec<_>, _>>()?;
        self.require_times(&backups)?;
        mark_other_names(&mut backups, &found.candidates);
        let mut complete: Vec<_> = backups
            .iter()
            .zip(found.candidates)
            .filter(|(backup, _)| backup.state == State::Complete)
            .map(|(backup, candidate)| (backup.made, candidate))
            .collect();
        complete.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.path.cmp(&a.1.path)));
        backups.sort_by(|a, b| a.made.cmp(&b.made).then_with(|| a.id.cmp(&b.id)));
        let set = Set {
            location: self.location.to_string(),
            r#type: self.r#type.to_string(),
            backups,
            unreadable: found.unreadable,
            ..Set::default()
        };
        Ok((set, complete.into_iter().map(|(_, candidate)| candidate).collect()))
    }

    fn backup(&self, candidate: &Candidate, growth: &Settling, now: Timestamp) -> Backup {
        let (made, cut) = match &self.time {
            TimeSource::Modified => (candidate.modified, None),
            TimeSource::Name(pattern) => match pattern.find(&candidate.below, &self.time_zone) {
                NameTime::At(time) => (Some(time), None),
                NameTime::Cut(correction) => (None, Some(correction)),
                NameTime::Missing => (None, None),
            },
        };
        let (state, detail) = match (&candidate.state, made) {
            (Some((state, detail)), _) => (*state, detail.clone()),
            _ if candidate.has_unfinished_name() => (State::Unfinished, String::new()),
            _ if candidate.size == 0 => (State::Empty, String::new()),
            (None, None) => match cut {
                Some(correction) => (State::CutTime, correction),
                None => (State::NoTime, String::new()),
            },
            (None, Some(made)) => {
                let state = match made {
                    made if made.duration_since(now) > MAX_CLOCK_SKEW => State::Future,
                    _ if growth.is_growing(candidate, self.stable_for.0, now) => State::Growing,
                    _ if verify::is_blank(candidate) => State::Empty,
                    _ => State::Complete,
                };
                (state, String::new())
            }
        };
        Backup {
            id: candidate.path.to_string_lossy().into_owned(),
            form: candidate.form,
            made,
            changed: candidate.changed,
            size: candidate.size,
            state,
            detail,
        }
    }

    /// Fails if no name contains a time: the pattern is wrong.
    fn require_times(&self, backups: &[Backup]) -> Result<(), Failure> {
        let TimeSource::Name(pattern) = &self.time else { return Ok(()) };
        let is_left_out = |backup: &Backup| matches!(backup.state, State::SymbolicLink | State::Directory);
        let is_timeless =
            |backup: &Backup| backup.made.is_none() && matches!(backup.state, State::NoTime | State::CutTime);
        let named: Vec<_> = backups.iter().filter(|backup| !is_left_out(backup)).collect();
        if named.is_empty() || !named.iter().all(|backup| is_timeless(backup)) {
            return Ok(());
        }
        let count = named.len();
        let detail = match named.iter().find(|backup| backup.state == State::CutTime) {
            Some(backup) => format!("in {}, {}; the pattern is `{pattern}`", backup.id, backup.detail),
            None => {
                let example = named.first().map_or("", |backup| &backup.id);
                format!("none of {count} file names holds a time as `{pattern}`, for example {example}: correct `time`")
            }
        };
        Err(Failure::new(Reason::Parse, detail))
    }

    fn must_be_mounted(&self) -> Result<(), Failure> {
        if let Some(mount) = &self.mount
            && !path::is_mount_point(mount)?
        {
            let shown = mount.display();
            return Err(Failure::new(
                Reason::NotFound,
                format!("nothing is mounted at {shown}: mount it, see `findmnt`"),
            )
            .with_meaning("the file system of the backups is not mounted"));
        }
        if let Some(path) = &self.required_file {
            path::metadata(path)?;
        }
        Ok(())
    }
}

/// Marks all names of a file but one: hard links and followed symbolic links are one backup, because they are lost
/// together. The name that counts is complete, if one is; then it has the earliest time, because the content is not
/// newer than any of its names.
fn mark_other_names(backups: &mut [Backup], candidates: &[Candidate]) {
    let rank = |backup: &Backup| (backup.state != State::Complete, backup.made.is_none(), backup.made);
    let mut counted: HashMap<(u64, u64), usize> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let Some(inode) = candidate.shared_inode else { continue };
        let other = match counted.entry(inode) {
            Entry::Vacant(place) => {
                place.insert(at);
                continue;
            }
            Entry::Occupied(mut place) => {
                let (first, second) = (backups.get(*place.get()).map(rank), backups.get(at).map(rank));
                if second < first { place.insert(at) } else { at }
            }
        };
        if let Some(backup) = backups.get_mut(other) {
            backup.state = State::OtherName;
        }
    }
}
