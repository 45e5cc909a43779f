//! The state of one check: thresholds, streaks, history.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::StatusChange;
use crate::{
    model::{
        check::CheckLimits,
        metric::Sample,
        verdict::Verdict,
        words::{Outcome, Status},
    },
    settings::CheckInfo,
};

/// So many runs of each check are kept.
pub const MAX_RECENT_RUNS: usize = 60;

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
    pub retained: Vec<Sample>,
    /// The limits, which hold whether anything was judged or not.
    pub limits: Arc<CheckLimits>,
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
    pub(super) fn new(info: Arc<CheckInfo>, limits: CheckLimits, now: Timestamp) -> Self {
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
            retained: Vec::new(),
            limits: Arc::new(limits),
            recent: VecDeque::with_capacity(MAX_RECENT_RUNS),
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
    pub fn blocks_readiness(&self) -> bool {
        self.info.gate && self.info.enabled && !matches!(self.status, Status::Pass | Status::Warn)
    }

    /// Whether it says something that could get too old.
    pub(super) fn is_judged(&self) -> bool {
        matches!(self.status, Status::Pass | Status::Warn | Status::Fail)
    }

    /// Takes in the verdict on one run.
    pub(super) fn record(&mut self, verdict: Verdict, at: Timestamp) -> Option<StatusChange> {
        if !self.info.enabled {
            return None;
        }
        if let Some(before) = self.resume.take() {
            Resume { status: self.status, since: self.since, streak: self.streak } = before;
        }
        let outcome = verdict.outcome;
        self.count_result(outcome.status());
        if outcome == Outcome::Pass {
            self.last_pass = Some(at);
        }
        for sample in verdict.samples.iter().filter(|sample| sample.family.retained) {
            match self.retained.iter_mut().find(|kept| kept.family == sample.family && kept.labels == sample.labels) {
                Some(kept) => kept.value = sample.value,
                None => self.retained.push(sample.clone()),
            }
        }
        let status = self.next_status(outcome.status());
        // In the memory of the verdict before: ten thousand new ones would lie scattered among what runs need.
        self.verdict = Some(match self.verdict.take() {
            Some(mut kept) => {
                kept.summary.clone_from(&verdict.summary);
                kept.measures.clone_from(&verdict.measures);
                Verdict { summary: kept.summary, measures: kept.measures, ..verdict }
            }
            None => verdict,
        });
        self.transition_to(status, at)
    }

    /// It was not judged, and here is why.
    pub(super) fn mark_unjudged(&mut self, status: Status, note: String, at: Timestamp) -> Option<StatusChange> {
        if !self.info.enabled {
            return None;
        }
        if status == Status::Skipped {
            self.count_result(status);
        }
        self.verdict = None;
        self.note = note;
        self.streak = 0;
        self.resume = None;
        self.transition_to(status, at)
    }

    fn count_result(&mut self, status: Status) {
        if let Some(count) = self.results.get_mut(status as usize) {
            *count += 1;
        }
        if self.recent.len() == MAX_RECENT_RUNS {
            self.recent.pop_front();
        }
        self.recent.push_back(status);
    }

    /// Thresholds: the status moves to the latest result once so many results in a row were all worse, or all
    /// better, than it is. What has no status yet, or had none to judge by, takes the first result as it comes,
    /// unless that is worse than a pass: then the failure threshold holds it pending.
    fn next_status(&mut self, result: Status) -> Status {
        let needed = match result.severity_order().cmp(&self.status.severity_order()) {
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
        let without_past = matches!(self.status, Status::Pending | Status::Skipped)
            && result.severity_order() <= Status::Warn.severity_order();
        if result == Status::Pending || without_past || self.streak.unsigned_abs() >= needed {
            self.streak = 0;
            return result;
        }
        self.status
    }

    fn transition_to(&mut self, status: Status, at: Timestamp) -> Option<StatusChange> {
        if status == self.status {
            return None;
        }
        let from = std::mem::replace(&mut self.status, status);
        self.since = at;
        Some(StatusChange { check: self.info.name.clone(), from, to: status, summary: self.summary().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        metric::{BACKUP_AGE, BACKUP_LAST_SUCCESS},
        words::Reason,
    };
    use crate::{
        checks::{fixture::Nothing, health::Health},
        kind::CheckEntry,
    };

    fn check(failure_threshold: u32, success_threshold: u32) -> CheckState {
        let kind = CheckEntry::<Nothing>::of::<Health>().descriptor;
        let info = CheckInfo { failure_threshold, success_threshold, ..CheckInfo::of(&kind) };
        CheckState::new(Arc::new(info), CheckLimits::default(), Timestamp::UNIX_EPOCH)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn verdict(letter: char) -> Verdict {
        let outcome = match letter {
            'p' => Outcome::Pass,
            'w' => Outcome::Warn,
            'f' => Outcome::Fail(Reason::Limit),
            'u' => Outcome::Unknown(Reason::Timeout),
            '.' => Outcome::Pending,
            other => panic!("{other}"),
        };
        Verdict::new(outcome, letter.to_string())
    }

    /// The status after each result, as letters.
    fn play(check: &mut CheckState, results: &str) -> String {
        let letter = |status| match status {
            Status::Pass => 'p',
            Status::Warn => 'w',
            Status::Fail => 'f',
            Status::Unknown => 'u',
            Status::Pending => '.',
            Status::Skipped => 's',
        };
        let step = |(second, result)| {
            check.record(verdict(result), at(second as i64 + 1));
            letter(check.status)
        };
        results.chars().enumerate().map(step).collect()
    }

    #[test]
    fn thresholds_hold_the_status_until_enough_runs_agree() {
        for (failures, successes, results, statuses) in [
            (1, 1, "pfpwfup", "pfpwfup"),
            (3, 1, "pffpfffp", "pppppp fp".replace(' ', "").as_str()),
            (1, 3, "pfppfppp", "pffffffp"),
            (3, 2, "fffpp", "..ffp"),
            (2, 1, "pfufu", "ppuuu"),
            (2, 1, "pufff", "ppfff"),
            // What has seen nothing yet takes the first good result as it comes.
            (3, 3, "ppp", "ppp"),
            (3, 3, "www", "www"),
            // Not enough data is said at once.
            (3, 3, "p.p", "p.p"),
        ] {
            assert_eq!(play(&mut check(failures, successes), results), statuses, "{failures} {successes} {results}");
        }
    }

    #[test]
    fn since_moves_with_the_status_and_last_pass_with_every_pass() {
        let mut check = check(2, 1);
        play(&mut check, "ppfff");
        assert_eq!((check.status, check.since, check.last_pass), (Status::Fail, at(4), Some(at(2))));
        assert_eq!((check.results(Status::Pass), check.results(Status::Fail)), (2, 3));
    }

    #[test]
    fn sixty_runs_are_kept() {
        let mut check = check(1, 1);
        play(&mut check, &"f".repeat(30));
        play(&mut check, &"p".repeat(50));
        assert_eq!(check.recent.len(), MAX_RECENT_RUNS);
        assert_eq!(check.recent.iter().filter(|status| **status == Status::Fail).count(), 10);
    }

    #[test]
    fn after_a_restart_it_is_pending_and_goes_on_from_where_it_was_with_the_first_result() {
        let mut restarted = check(3, 1);
        restarted.resume = Some(Resume { status: Status::Pass, since: at(5), streak: 2 });
        assert_eq!(restarted.status, Status::Pending);
        restarted.record(verdict('f'), at(100));
        assert_eq!((restarted.status, restarted.since), (Status::Fail, at(100)), "the third failure in a row");

        let mut restarted = check(1, 1);
        restarted.resume = Some(Resume { status: Status::Fail, since: at(5), streak: 0 });
        restarted.record(verdict('f'), at(100));
        assert_eq!((restarted.status, restarted.since), (Status::Fail, at(5)), "it has been failing all along");
    }

    #[test]
    fn what_is_skipped_after_a_restart_does_not_go_on_from_where_it_was() {
        let mut restarted = check(1, 1);
        restarted.resume = Some(Resume { status: Status::Pass, since: at(5), streak: 0 });
        restarted.mark_unjudged(Status::Skipped, "skipped while db fails".to_owned(), at(100));
        let change = restarted.record(verdict('p'), at(110));
        assert_eq!((restarted.status, restarted.since), (Status::Pass, at(110)));
        assert_eq!(change.map(|change| change.from), Some(Status::Skipped), "the log tells that it is back");
    }

    #[test]
    fn what_lasts_stays_when_the_check_can_not_be_judged() {
        let mut check = check(1, 1);
        let labels = || ["local".into(), "full".into()];
        let made = |value| Sample::new(&BACKUP_LAST_SUCCESS, labels(), value);
        check.record(verdict('p').with([made(7.0), Sample::new(&BACKUP_AGE, labels(), 3.0)]), at(1));
        check.record(verdict('u'), at(2));
        assert_eq!(check.retained, [made(7.0)]);
        check.record(verdict('p').with([made(9.0)]), at(3));
        assert_eq!(check.retained, [made(9.0)]);
    }
}
