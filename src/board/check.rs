//! The state of one check: thresholds, streaks, history.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::Change;
use crate::{
    check::{Outcome, Status, Verdict},
    family::Sample,
    settings::CheckInfo,
};

/// So many runs of each check are kept.
pub const RECENT: usize = 60;

/// The state of one check.
#[derive(Debug, Clone)]
pub struct CheckState {
    /// What the configuration says of it.
    pub info: Arc<CheckInfo>,
    /// After thresholds.
    pub status: Status,
    /// Since when it has this status.
    pub since: Timestamp,
    /// When it last passed, before thresholds.
    pub last_pass: Option<Timestamp>,
    /// Verdicts so far by status, in the order of [`Status::ALL`].
    pub results: [u64; Status::ALL.len()],
    /// So many results in a row were worse than the status (positive) or better than it (negative).
    pub streak: i32,
    /// The last verdict, as long as it holds.
    pub verdict: Option<Verdict>,
    /// Samples that stay true though the check can't be judged now.
    pub lasting: Vec<Sample>,
    /// The limits as samples: they never go.
    pub limits: Arc<[Sample]>,
    /// The last runs, oldest first, before thresholds.
    pub recent: VecDeque<Status>,
    /// Why it has its status, where no verdict says so: skipped, stale, before the first run.
    pub note: String,
    /// What it was before a restart. Nothing is claimed about the time in between: it stays pending until the first
    /// result, and only then goes on from where it was.
    pub resume: Option<Resume>,
}

/// Where a check stood before a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Its status.
    pub status: Status,
    /// Since when.
    pub since: Timestamp,
    /// Its streak.
    pub streak: i32,
}

impl CheckState {
    pub(super) fn new(info: Arc<CheckInfo>, limits: Vec<Sample>, now: Timestamp) -> Self {
        let (status, note) =
            if info.enabled { (Status::Pending, "not run yet") } else { (Status::Skipped, "switched off") };
        Self {
            info,
            status,
            since: now,
            last_pass: None,
            results: [0; Status::ALL.len()],
            streak: 0,
            verdict: None,
            lasting: Vec::new(),
            limits: limits.into(),
            recent: VecDeque::new(),
            note: note.to_owned(),
            resume: None,
        }
    }

    /// One sentence: why it has the status that it has.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.verdict.as_ref().map_or(&self.note, |verdict| &verdict.summary)
    }

    /// Verdicts so far with a status.
    #[must_use]
    pub fn results(&self, status: Status) -> u64 {
        self.results.get(status as usize).copied().unwrap_or_default()
    }

    /// Whether it stands in the way of being ready. What is switched off takes no part; what is skipped because
    /// something else fails does.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.info.gate && self.info.enabled && !matches!(self.status, Status::Pass | Status::Warn)
    }

    /// Takes in the verdict on one run.
    pub(super) fn record(&mut self, verdict: Verdict, at: Timestamp) -> Option<Change> {
        if !self.info.enabled {
            return None;
        }
        if let Some(before) = self.resume.take() {
            Resume { status: self.status, since: self.since, streak: self.streak } = before;
        }
        let outcome = verdict.outcome;
        self.count(outcome.status());
        if outcome == Outcome::Pass {
            self.last_pass = Some(at);
        }
        for sample in verdict.samples.iter().filter(|sample| sample.family.lasting) {
            match self.lasting.iter_mut().find(|kept| kept.family == sample.family && kept.labels == sample.labels) {
                Some(kept) => kept.value = sample.value,
                None => self.lasting.push(sample.clone()),
            }
        }
        let status = self.next_status(outcome.status());
        self.verdict = Some(verdict);
        self.turn(status, at)
    }

    /// It was not judged, and here is why.
    pub(super) fn set_aside(&mut self, status: Status, note: String, at: Timestamp) -> Option<Change> {
        if !self.info.enabled {
            return None;
        }
        if status == Status::Skipped {
            self.count(status);
        }
        self.verdict = None;
        self.note = note;
        self.streak = 0;
        self.turn(status, at)
    }

    fn count(&mut self, status: Status) {
        if let Some(count) = self.results.get_mut(status as usize) {
            *count += 1;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(status);
    }

    /// Thresholds: the status moves to the latest result once so many results in a row were all worse, or all
    /// better, than it is. What has no status yet, or had none to judge by, takes the first result as it comes,
    /// unless that is worse than a pass: then the failure threshold holds it pending.
    fn next_status(&mut self, result: Status) -> Status {
        let needed = match badness(result).cmp(&badness(self.status)) {
            Ordering::Equal => {
                self.streak = 0;
                return result;
            }
            Ordering::Greater => {
                self.streak = self.streak.max(0).saturating_add(1);
                self.info.failure_threshold
            }
            Ordering::Less => {
                self.streak = self.streak.min(0).saturating_sub(1);
                self.info.success_threshold
            }
        };
        // "Not enough seen yet" is a statement about the data, not about the thing: it holds at once.
        let without_past = matches!(self.status, Status::Pending | Status::Skipped) && badness(result) <= 2;
        if result == Status::Pending || without_past || self.streak.unsigned_abs() >= needed {
            self.streak = 0;
            return result;
        }
        self.status
    }

    fn turn(&mut self, status: Status, at: Timestamp) -> Option<Change> {
        if status == self.status {
            return None;
        }
        let from = std::mem::replace(&mut self.status, status);
        self.since = at;
        Some(Change { check: self.info.name.clone(), from, to: status, summary: self.summary().to_owned() })
    }
}

fn badness(status: Status) -> u8 {
    match status {
        Status::Pass => 0,
        Status::Pending | Status::Skipped => 1,
        Status::Warn => 2,
        Status::Unknown => 3,
        Status::Fail => 4,
    }
}
