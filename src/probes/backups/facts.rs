//! What a `backups` probe sees, in one form for every source: sets of backups, each with a place and a type.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::VerificationRequest;
use crate::model::{
    metric::{self, Family, Sample},
    observation::{Facts, Observation},
    verdict::Verdict,
    words::{Outcome, Reason},
};

/// Everything that one run saw.
#[derive(Debug, Serialize)]
pub struct BackupFacts {
    /// One for each place and type.
    pub sets: Vec<Set>,
}

/// Backups of one type in one place.
#[derive(Debug, Default, Serialize)]
pub struct Set {
    /// A short name for the place.
    pub location: String,
    /// What kind of backups: full, incremental ...
    pub r#type: String,
    /// Oldest first; what does not count is among them.
    #[serde(serialize_with = "newest_first")]
    pub backups: Vec<Backup>,
    /// What reading the newest ones brought, newest first.
    pub verified: Vec<Verified>,
    /// Bytes that a run reads in the time that it has for it, as measured by the last run that read.
    pub read_each_run: Option<u64>,
}

/// One backup.
#[derive(Debug, Clone, Serialize)]
pub struct Backup {
    /// What it is called where it is: the path of a file.
    pub id: String,
    /// When it was made, if that can be told.
    pub made: Option<Timestamp>,
    /// In bytes.
    pub size: u64,
    /// Whether it counts.
    pub state: State,
}

/// Whether a backup counts, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It counts.
    Complete,
    /// Its name says that it isn't finished.
    Unfinished,
    /// Nothing in it.
    Empty,
    /// It has just changed.
    Growing,
    /// Its name holds no time.
    NoTime,
    /// Made more than five minutes from now: a clock or a time zone is wrong, and it proves nothing.
    Future,
}

/// What reading one backup brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// Which one.
    pub id: String,
    /// What was found.
    pub finding: Finding,
}

/// What was found in a backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Whole, as told by these: `sha256`, `gzip` ...
    Sound(Vec<&'static str>),
    /// Not whole, and how that is known.
    Damaged(String),
    /// It can't be told, and why.
    Unverifiable(String),
    /// So many bytes have been read so far.
    Reading(u64),
    /// It needs a decompressor with a large window, of which there is one, and waits for its turn.
    Waiting,
}

impl Set {
    /// The backups that count, oldest first, each with its time.
    pub fn complete(&self) -> impl DoubleEndedIterator<Item = (Timestamp, &Backup)> {
        self.backups.iter().filter(|b| b.state == State::Complete).filter_map(|b| Some((b.made?, b)))
    }

    /// A value of a family with the labels `location` and `type`.
    #[must_use]
    pub fn sample(&self, family: &'static Family, value: f64) -> Sample {
        Sample::new(family, [self.location.clone().into(), self.r#type.clone().into()], value)
    }

    /// States that no backup is complete, and the reason if files were found.
    #[must_use]
    pub fn absence_text(&self) -> String {
        let with = |state| self.backups.iter().filter(|b| b.state == state).count();
        let unfinished = with(State::Unfinished) + with(State::Empty) + with(State::Growing);
        let details = match (unfinished, with(State::Future), with(State::NoTime)) {
            (0, 0, 0) => "",
            (0, 0, n) => &format!(": {n} without a time in the name"),
            (0, n, _) => &format!(": {n} with a time in the future, so a clock or the time zone is wrong"),
            (n, 0, _) => &format!(", only {n} unfinished or empty"),
            (n, m, _) => &format!(": {n} unfinished or empty, {m} with a time in the future"),
        };
        format!("There is no complete backup{details}.")
    }
}

impl BackupFacts {
    /// Judges every set: the worst verdict speaks, the measures and samples of all are kept. Where the run failed
    /// there is nothing to judge.
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
        // The clock reads a little later than the listing did: for an age in minutes and hours that is nothing.
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

/// A person reads this: the newest come first, and twenty are enough.
fn newest_first<S: Serializer>(backups: &[Backup], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(backups.iter().rev().take(20))
}
