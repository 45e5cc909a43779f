#![doc = include_str!("backups.md")]

mod cancel;
pub mod checks;
pub mod facts;
mod last_backup;
mod left_out;
mod listing;
pub mod sources;
mod verify;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::{
    cancel::{CancelFlag, halt},
    facts::BackupFacts,
    sources::{
        globs::Globs,
        labels::{Label, Zone},
        settling::Settling,
        time_pattern::NamePattern,
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
    /// across directories. The pieces of a split file are one backup, and so is a directory of `pg_dump -Fd`: the
    /// pattern matches the directory or files in it.
    pub files: Globs,
    /// Directories that are backups: `pg_dump` (directories with a `toc.dat`), or `any` (every directory that `files`
    /// matches, with all files in it).
    #[serde(default)]
    pub directories: DirectoryKind,
    /// Directory into which symbolic links to files are followed, as an absolute path. Without this setting, a symbolic
    /// link that a wildcard matches is left out, because a link such as `latest` is not a separate backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_links_into: Option<PathBuf>,
    /// Source of the time of a backup: `modified` (modification time of the file) or `{name: "orders-%Y%m%dT%H%M%S"}`
    /// (a pattern that is searched in the file name and in the names of the directories below the first wildcard). A
    /// name without a time of day means midnight. The time of a directory of `pg_dump -Fd` is that of its `toc.dat`.
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

/// Directories that are backups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectoryKind {
    /// Directories of `pg_dump -Fd`.
    #[default]
    PgDump,
    /// Every matching directory.
    Any,
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

/// Backups that `integrity` checks read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationRequest {
    /// Number of newest backups to read.
    pub newest: usize,
    /// Whether a backup without a checksum file can't be verified.
    pub require_checksum: bool,
}

/// A running `backups` probe.
#[derive(Debug)]
pub struct BackupsProbe {
    settings: Arc<Backups>,
    request: Option<VerificationRequest>,
    /// Memory from one run to the next. Its lock also keeps two runs from listing and reading at the same time.
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
        let paths = [
            ("mount", &self.mount),
            ("required_file", &self.required_file),
            ("follow_links_into", &self.follow_links_into),
        ];
        for (key, path) in paths {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                return Err(Invalid::at(key, "write an absolute path"));
            }
        }
        if self.max_files == 0 {
            return Err(Invalid::at("max_files", "0 files can't hold a backup: leave the setting out for 100000"));
        }
        Ok(())
    }

    fn target(&self) -> Option<String> {
        Some(self.files.to_string())
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
        // The limits have the labels of the backups that they apply to.
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
            // A quarter of the time is left for everything else, because a run that times out has no facts.
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
        // The permit is held until the work ends, even if the run was dropped before.
        let _permit = permit;
        work()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // A panic is a bug: the runner catches and counts panics of probes.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Failure::from_error(Reason::Canceled, "listing", &error)),
    }
}

#[cfg(test)]
mod tests;
