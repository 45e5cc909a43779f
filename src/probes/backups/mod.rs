#![doc = include_str!("backups.md")]

pub mod checks;
pub mod facts;
mod last_backup;
pub mod sources;
mod verify;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::{
    facts::{Backup, BackupFacts, Set, State},
    sources::{
        files::{File, Globs},
        settling::Settling,
        time_pattern::{Label, NamePattern, Zone},
    },
    verify::Verifier,
};
use crate::{
    io::{context::Context, resources::Resources},
    kind::{CheckEntry, Kind},
    model::{
        failure::{Failure, Invalid},
        metric::Sample,
        observation::{Incomplete, Timing},
        units::Period,
        words::{Phase, Reason},
    },
    probe::Probe,
};

/// Settings of a `backups` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backups {
    /// Backup files: one absolute path with wildcards, or a list of them. `*` matches within a directory, `**` matches
    /// across directories. A symbolic link that a wildcard matches is ignored, because a link such as `latest` is not a
    /// separate backup.
    pub files: Globs,
    /// Source of the time of a backup: `modified` (modification time of the file) or `{name: "orders-%Y%m%dT%H%M%S"}`
    /// (a pattern that is searched in the file name and in the names of the directories below the first wildcard). A
    /// name without a time of day means midnight.
    #[serde(default)]
    pub time: TimeSource,
    /// Time zone of the times in file names, as an IANA name.
    #[serde(default)]
    pub time_zone: Zone,
    /// Value of the label `location`: a short name of the storage location.
    #[serde(default = "local")]
    pub location: Label,
    /// Value of the label `type`: the type of the backup, such as `full` or `incremental`.
    #[serde(default = "full")]
    pub r#type: Label,
    /// Time without a change after which a file counts as complete. A file that changed more recently counts as
    /// growing.
    #[serde(default = "thirty_seconds")]
    pub stable_for: Period,
    /// Directory that must be a mount point. Without this setting an unmounted file system looks like an empty
    /// directory.
    pub mount: Option<PathBuf>,
    /// Absolute path of a file that must exist, for storage whose mount point cannot be detected.
    pub required_file: Option<PathBuf>,
    /// Maximum number of files and directories that one run lists for all paths of `files`. The run fails with
    /// `too_large` if there are more.
    #[serde(default = "max_files")]
    pub max_files: usize,
}

fn local() -> Label {
    Label::fixed("local")
}
fn full() -> Label {
    Label::fixed("full")
}
fn thirty_seconds() -> Period {
    Period(Duration::from_secs(30))
}
fn max_files() -> usize {
    100_000
}

/// Source of the time of a backup.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// Modification time of the file.
    #[default]
    Modified,
    /// Pattern of the time in the file name, in the notation of `strftime`.
    Name(NamePattern),
}

/// What `integrity` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationRequest {
    /// So many of the newest backups are read.
    pub newest: usize,
    /// A backup without a checksum file can't be told to be sound.
    pub require_checksum: bool,
}

/// What runs.
#[derive(Debug)]
pub struct BackupsProbe {
    settings: Arc<Backups>,
    request: Option<VerificationRequest>,
    /// What one run leaves for the next; also the turn, so that no two threads are at it.
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Memory {
    growth: Settling,
    verifier: Verifier,
}

impl Kind for Backups {
    const NAME: &'static str = "backups";
    const PHASES: &'static [Phase] = &[Phase::List, Phase::Read];
    const DOC: &'static str = include_str!("backups.md");
    const CHECKS: &'static [CheckEntry<BackupFacts>] = checks::CHECKS;
    const RENAMED: &'static [(&'static str, &'static str)] = &[("settle", "stable_for"), ("marker", "required_file")];
    type Probe = BackupsProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        for (key, path) in [("mount", &self.mount), ("required_file", &self.required_file)] {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(Invalid::at(key, "write an absolute path"));
            }
        }
        if self.max_files == 0 {
            return Err(Invalid::at("max_files", "with 0 nothing may be there: leave it out for 100000"));
        }
        Ok(())
    }

    fn build(self, requests: Vec<VerificationRequest>, shared: &Arc<Resources>) -> Result<BackupsProbe, Invalid> {
        let request = requests.into_iter().reduce(|a, b| VerificationRequest {
            newest: a.newest.max(b.newest),
            require_checksum: a.require_checksum || b.require_checksum,
        });
        let verifier = Verifier::new(shared.large_windows.clone());
        let memory = Memory { growth: Settling::default(), verifier };
        Ok(BackupsProbe { settings: Arc::new(self), request, memory: Arc::new(Mutex::new(memory)) })
    }
}

impl Probe for BackupsProbe {
    type Facts = BackupFacts;

    fn add_probe_labels(&self, limit: &mut Sample) {
        // Every limit of a backup is one of this place and type.
        if limit.family.labels.contains(&"location") {
            let own = std::mem::take(&mut limit.labels);
            limit.labels = self.settings.labels().into_iter().chain(own).collect();
        }
    }

    async fn observe(&self, cx: &Context) -> Result<BackupFacts, Incomplete<BackupFacts>> {
        let start = Instant::now();
        let (_halt, halted) = halt();
        let listing = cx.phase(Phase::List, async {
            let mut memory = Arc::clone(&self.memory).lock_owned().await;
            let (settings, halted) = (Arc::clone(&self.settings), halted.clone());
            on_a_thread(&cx.shared, move || {
                let set = settings.list(&mut memory.growth, Timestamp::now(), &halted)?;
                Ok((set, memory))
            })
            .await
        });
        let ((mut set, files), mut memory) = listing.await?;
        if let Some(request) = self.request {
            // A quarter of the time is left for everything else: a run that times out has seen nothing at all.
            let until = start + cx.timeout * 3 / 4;
            let reading = on_a_thread(&cx.shared, move || {
                let verified = memory.verifier.verify(&files, request, until, &halted)?;
                Ok((verified, memory.verifier.read_each_run()))
            });
            (set.verified, set.read_each_run) = cx.phase(Phase::Read, reading).await?;
        }
        Ok(BackupFacts { sets: vec![set] })
    }
}

impl Backups {
    fn labels(&self) -> Box<[std::borrow::Cow<'static, str>]> {
        Box::new([self.location.to_string().into(), self.r#type.to_string().into()])
    }

    /// What is there now, oldest first, and the files behind the complete ones, newest first.
    fn list(&self, growth: &mut Settling, now: Timestamp, halted: &CancelFlag) -> Result<(Set, Vec<File>), Failure> {
        self.must_be_mounted()?;
        let found = self.files.list(self.max_files, halted)?;
        growth.observe_files(&found, Instant::now());
        let backup = |file| halted.check().map(|()| self.backup(file, growth, now));
        let mut backups = found.iter().map(backup).collect::<Result<Vec<_>, _>>()?;
        let timeless = |backup: &Backup| backup.made.is_none() && backup.state == State::NoTime;
        if let TimeSource::Name(pattern) = &self.time
            && let Some(first) = backups.first()
            && backups.iter().all(timeless)
        {
            let (count, example) = (backups.len(), &first.id);
            return Err(Failure::new(
                Reason::Parse,
                format!(
                    "none of {count} file names holds a time as `{pattern}`, for example {example}: correct `time`"
                ),
            ));
        }
        let mut complete: Vec<_> =
            backups.iter().zip(found).filter(|(b, _)| b.state == State::Complete).map(|(b, f)| (b.made, f)).collect();
        complete.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.path.cmp(&a.1.path)));
        backups.sort_by(|a, b| a.made.cmp(&b.made).then_with(|| a.id.cmp(&b.id)));
        let set =
            Set { location: self.location.to_string(), r#type: self.r#type.to_string(), backups, ..Set::default() };
        Ok((set, complete.into_iter().map(|(_, file)| file).collect()))
    }

    fn backup(&self, file: &File, growth: &Settling, now: Timestamp) -> Backup {
        let made = match &self.time {
            TimeSource::Modified => file.modified,
            TimeSource::Name(pattern) => pattern.find(&file.below, &self.time_zone),
        };
        let state = match made {
            _ if file.is_unfinished() => State::Unfinished,
            _ if file.size == 0 => State::Empty,
            None => State::NoTime,
            Some(made) if made.duration_since(now) > MAX_CLOCK_SKEW => State::Future,
            Some(_) if growth.is_growing(file, self.stable_for.0, now) => State::Growing,
            Some(_) if verify::is_blank(file) => State::Empty,
            Some(_) => State::Complete,
        };
        Backup { id: file.path.to_string_lossy().into_owned(), made, size: file.size, state }
    }

    fn must_be_mounted(&self) -> Result<(), Failure> {
        if let Some(mount) = &self.mount
            && !sources::files::is_mount_point(mount)?
        {
            let shown = mount.display();
            return Err(Failure::new(
                Reason::NotFound,
                format!("nothing is mounted at {shown}: mount it, see `findmnt`"),
            ));
        }
        if let Some(path) = &self.required_file {
            sources::files::metadata(path)?;
        }
        Ok(())
    }
}

/// Clocks differ a little; a backup further in the future than this proves nothing.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Ends the work on another thread when it is dropped.
#[derive(Debug)]
struct CancelOnDrop(Arc<AtomicBool>);

/// Tells the work on another thread that it is not wanted any more.
#[derive(Debug, Clone)]
pub(crate) struct CancelFlag(Arc<AtomicBool>);

fn halt() -> (CancelOnDrop, CancelFlag) {
    let flag = Arc::new(AtomicBool::new(false));
    (CancelOnDrop(Arc::clone(&flag)), CancelFlag(flag))
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl CancelFlag {
    /// To be asked between two steps of the work.
    fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::new(Reason::Canceled, "the run was given up"));
        }
        Ok(())
    }
}

// The thread stops at the next file, or the next part of a file, when the run is dropped. A thread that a dead network
// file system blocks cannot be stopped: `Memory` stays locked, so later runs wait until their own timeout and never
// start a second thread.
async fn on_a_thread<T: Send + 'static>(
    shared: &Resources,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let permit = Arc::clone(&shared.backups).acquire_owned().await;
    let work = move || {
        // Held until the work ends, however long ago the run was dropped.
        let _permit = permit;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // A panic is a bug and is counted as one where panics of probes are caught.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Failure::from_error(Reason::Canceled, "listing", &error)),
    }
}

#[cfg(test)]
mod tests;
