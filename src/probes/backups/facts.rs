//! Facts of a `backups` run: sets of backups, each with a location and a type.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::VerificationRequest;
use crate::model::{
    metric::{self, Family, Sample},
    observation::{Facts, Observation},
    verdict::Verdict,
    words::{Outcome, Reason},
};

/// Facts of one run.
#[derive(Debug, Serialize)]
pub struct BackupFacts {
    /// One set for each location and type.
    pub sets: Vec<Set>,
}

/// Backups of one type in one location.
#[derive(Debug, Default, Serialize)]
pub struct Set {
    /// Short name of the location.
    pub location: String,
    /// Type of the backups, such as `full` or `incremental`.
    pub r#type: String,
    /// Everything that matches, oldest first, including entries that do not count.
    #[serde(serialize_with = "newest_first")]
    pub backups: Vec<Backup>,
    /// Directories below a wildcard that could not be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableFolder>,
    /// Results of reading the newest backups, newest first.
    pub verified: Vec<Verified>,
    /// Number of bytes that a run reads in its time, measured by the last run that had too little time.
    pub read_each_run: Option<u64>,
}

/// One backup, or an entry that matches and does not count.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// Path of the file or directory.
    pub id: String,
    /// Form in which the backup is stored.
    pub form: BackupForm,
    /// Time at which the backup was made. `None` if it is not known.
    pub made: Option<Timestamp>,
    /// Time of the last change.
    #[serde(skip)]
    pub changed: Option<Timestamp>,
    /// Size in bytes. The size of a directory or a split file is the sum of its files.
    pub size: u64,
    /// Whether the backup counts.
    pub state: State,
    /// Explanation of the state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Form in which a backup is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupForm {
    /// One file.
    #[default]
    File,
    /// A file that was split into pieces.
    Pieces,
    /// A directory, such as one of `pg_dump -Fd`.
    Directory,
}

/// Whether a backup counts, or the reason why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The backup counts.
    Complete,
    /// The name marks an unfinished file, or the directory has no table of contents yet.
    Unfinished,
    /// The backup has no content.
    Empty,
    /// The backup changed within `stable_for`.
    Growing,
    /// Pieces of a split file are missing.
    MissingPieces,
    /// The name contains no time.
    NoTime,
    /// The name contains a time zone or a 12-hour mark that the pattern does not read.
    CutTime,
    /// The time is more than five minutes in the future: a clock or a time zone is wrong.
    Future,
    /// Another name of a file that counts already: a hard link or a followed symbolic link.
    OtherName,
    /// A symbolic link that is not followed.
    SymbolicLink,
    /// A directory that is not a backup.
    Directory,
}

/// A directory below a wildcard that could not be listed.
#[derive(Debug, Clone, Serialize)]
pub struct UnreadableFolder {
    /// Path of the directory.
    pub path: String,
    /// Error of the operating system.
    pub error: String,
    /// Whether names of backups in it were read before the error.
    pub has_matches: bool,
    /// Whether the directory is `lost+found`, which belongs to the file system.
    #[serde(skip)]
    pub is_system: bool,
}

/// Result of reading one backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// Path of the backup.
    pub id: String,
    /// Result.
    pub finding: Finding,
}

/// Result of reading a backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The backup is intact by these verifications, such as `sha256`.
    Sound(Vec<&'static str>),
    /// The backup is damaged, with the evidence.
    Damaged(String),
    /// The backup can't be verified, with the cause.
    Unverifiable(String),
    /// Number of bytes that were read so far.
    Reading(u64),
    /// The backup waits for the decompressor with a large window, of which there is one.
    Waiting,
}

impl State {
    /// Description of a number of entries with this state, as in `2 empty`.
    #[must_use]
    pub fn count_text(self, count: usize) -> String {
        let (one, several) = match self {
            Self::Complete => ("complete", "complete"),
            Self::Unfinished => ("unfinished", "unfinished"),
            Self::Empty => ("empty", "empty"),
            Self::Growing => ("still growing", "still growing"),
            Self::MissingPieces => ("with missing pieces", "with missing pieces"),
            Self::NoTime => ("without a time in the name", "without a time in the name"),
            Self::CutTime => {
                ("with a time zone that `time` does not read", "with a time zone that `time` does not read")
            }
            Self::Future => ("from the future", "from the future"),
            Self::OtherName => ("other name of the same file", "other names of the same files"),
            Self::SymbolicLink => ("symbolic link", "symbolic links"),
            Self::Directory => ("directory without toc.dat", "directories without toc.dat"),
        };
        format!("{count} {}", if count == 1 { one } else { several })
    }
}

impl Set {
    /// The backups that count, oldest first, each with its time.
    pub fn complete(&self) -> impl DoubleEndedIterator<Item = (Timestamp, &Backup)> {
        self.backups.iter().filter(|b| b.state == State::Complete).filter_map(|b| Some((b.made?, b)))
    }

    /// Creates a sample of a family with the labels `location` and `type`.
    #[must_use]
    pub fn sample(&self, family: &'static Family, value: f64) -> Sample {
        Sample::new(family, [self.location.clone().into(), self.r#type.clone().into()], value)
    }
}

impl BackupFacts {
    /// Judges every set. The result has the outcome and the text of the worst verdict, and the measures and samples of
    /// all. A failed run is `unknown`.
    pub fn judge(seen: &Observation<Self>, judge: impl Fn(&Set) -> Verdict) -> Verdict {
        let facts = match seen.facts_or_verdict() {
            Ok(facts) => facts,
            Err(verdict) => return verdict,
        };
        let worse = |mut a: Verdict, mut b: Verdict| {
            if b.outcome.severity_order() > a.outcome.severity_order() {
                std::mem::swap(&mut a, &mut b);
            }
            a.measures.append(&mut b.measures);
            a.with_samples(b.samples)
        };
        facts
            .sets
            .iter()
            .map(judge)
            .reduce(worse)
            .unwrap_or_else(|| Verdict::new(Outcome::Unknown(Reason::Empty), "nothing was listed"))
    }
}

impl Facts for BackupFacts {
    type Request = VerificationRequest;

    fn samples(&self) -> Vec<Sample> {
        self.sets.iter().flat_map(samples).collect()
    }
}

fn samples(set: &Set) -> Vec<Sample> {
    let mut samples = vec![set.sample(&metric::BACKUPS, set.complete().count() as f64)];
    if let (Some((oldest, _)), Some((newest, backup))) = (set.complete().next(), set.complete().next_back()) {
        let seconds = |at: Timestamp| at.as_duration().as_secs_f64();
        // The clock is read a little later than the directory. The difference is small against the age of a backup.
        let age = (seconds(Timestamp::now()) - seconds(newest)).max(0.0);
        samples.extend([
            set.sample(&metric::BACKUP_LAST_SUCCESS, seconds(newest)),
            set.sample(&metric::BACKUP_OLDEST, seconds(oldest)),
            set.sample(&metric::BACKUP_AGE, age),
            set.sample(&metric::BACKUP_SIZE, backup.size as f64),
        ]);
    }
    samples
}

/// Serializes the twenty newest backups, newest first.
fn newest_first<S: Serializer>(backups: &[Backup], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(backups.iter().rev().take(20))
}
