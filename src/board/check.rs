//! The state of one check: thresholds, streaks, history.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::{ChangeHistory, PastChange, StatusChange, ValueHistory};
use crate::{
    model::{
        check::CheckLimits,
        measure::Measure,
        metric::Sample,
        verdict::Verdict,
        words::{Outcome, Status},
    },
    settings::CheckInfo,
};

/// Number of recent runs kept for each check.
pub const MAX_RECENT_RUNS: usize = 60;

/// Maximum number of retained samples of a check or of the facts of a probe.
pub const MAX_RETAINED_SAMPLES: usize = 256;

/// The state of one check.
#[derive(Debug, Clone)]
pub struct CheckState {
    /// The check's configuration.
    pub info: Arc<CheckInfo>,
    /// Status after the thresholds.
    pub status: Status,
    /// Time of the last status change.
    pub since: Timestamp,
    /// Time of the last passing verdict, before thresholds.
    pub last_pass: Option<Timestamp>,
    /// Verdicts so far by status, in the order of [`Status::ALL`].
    pub results: [u64; Status::ALL.len()],
    /// Consecutive results that were worse than the status (positive) or better than it (negative).
    pub streak: i32,
    /// The last verdict; `None` while the check can't be judged.
    pub verdict: Option<Verdict>,
    /// Samples that stay valid while the check can't be judged.
    pub retained: Vec<Sample>,
    /// The configured limits, exposed even before the first verdict.
    pub limits: Arc<CheckLimits>,
    /// Statuses of the recent runs before thresholds, oldest first.
    pub recent: VecDeque<Status>,
    /// Values of the measures in the recent runs.
    pub values: ValueHistory,
    /// The latest status changes.
    pub changes: ChangeHistory,
    /// Explanation of the status when no verdict explains it: skipped, stale or not run yet.
    pub note: String,
    /// State before a skip whose cause is not confirmed yet. The gate uses its status, so that one failed run of a
    /// dependency with a failure threshold does not close the gate, and the next result continues from it.
    pub before_skip: Option<Resume>,
    /// State before a restart. The check stays pending until its first result and then continues from this state, so
    /// nothing is claimed about the downtime.
    pub resume: Option<Resume>,
}

/// State of a check before a restart or a skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The status.
    pub status: Status,
    /// Time of the last status change.
    pub since: Timestamp,
    /// The streak.
    pub streak: i32,
}

impl CheckState {
    pub(super) fn new(info: Arc<CheckInfo>, limits: CheckLimits, now: Timestamp) -> Self {
        let (status, note) = match (info.enabled, &*info.disabled_reason) {
            (true, _) => (Status::Pending, "not run yet".to_owned()),
            (false, "") => (Status::Skipped, "disabled".to_owned()),
            (false, reason) => (Status::Skipped, format!("disabled: {reason}")),
        };
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
            values: ValueHistory::default(),
            changes: ChangeHistory::default(),
            note,
            before_skip: None,
            resume: None,
        }
    }

    /// Returns one sentence that explains the status.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.verdict.as_ref().map_or(&self.note, |verdict| &verdict.summary)
    }

    /// Number of verdicts with a status so far.
    #[must_use]
    pub fn results(&self, status: Status) -> u64 {
        self.results.get(status as usize).copied().unwrap_or_default()
    }

    /// Status that the gate uses: the judgement before a skip until the cause of the skip is confirmed.
    pub(super) fn gate_status(&self) -> Status {
        self.before_skip.map_or(self.status, |before| before.status)
    }

    /// Whether the status is a judgement that can become stale. `unknown` can, too: its finding is about the last run.
    pub(super) fn is_judged(&self) -> bool {
        match self.status {
            Status::Pass | Status::Warn | Status::Fail => true,
            Status::Unknown => self.verdict.is_some(),
            Status::Pending | Status::Skipped => false,
        }
    }

    /// Records the verdict of one run.
    pub(super) fn record(&mut self, verdict: Verdict, at: Timestamp) -> Option<StatusChange> {
        if !self.info.enabled {
            return None;
        }
        // A skipped check had no judgement that could continue.
        if let Some(before) = self.resume.take().filter(|before| before.status != Status::Skipped) {
            Resume { status: self.status, since: self.since, streak: self.streak } = before;
        }
        let before_skip = self.before_skip.take();
        if let Some(before) = before_skip {
            Resume { status: self.status, since: self.since, streak: self.streak } = before;
        }
        let outcome = verdict.outcome;
        self.count_result(outcome.status(), &verdict.measures);
        if outcome == Outcome::Pass {
            self.last_pass = Some(at);
        }
        for sample in verdict.samples.iter().filter(|sample| sample.family.retained) {
            let is_full = self.retained.len() >= MAX_RETAINED_SAMPLES;
            match self.retained.iter_mut().find(|kept| kept.family == sample.family && kept.labels == sample.labels) {
                Some(kept) => kept.value = sample.value,
                None if is_full => {}
                None => self.retained.push(sample.clone()),
            }
        }
        let status = self.next_status(outcome.status());
        // Reuses the buffers of the previous verdict: new allocations would fragment the heap with ten thousand probes.
        self.verdict = Some(match self.verdict.take() {
            Some(mut kept) => {
                kept.summary.clone_from(&verdict.summary);
                kept.measures.clone_from(&verdict.measures);
                Verdict { summary: kept.summary, measures: kept.measures, ..verdict }
            }
            None => verdict,
        });
        let is_continued = before_skip.is_some() && status == self.status;
        if !is_continued {
            return self.transition_to(status, at);
        }
        Some(self.record_change(Status::Skipped, at))
    }

    /// Records that a dependency fails. The gate keeps the last judgement until the failure is confirmed, but no longer
    /// than a result is current.
    pub(super) fn skip(&mut self, note: String, keeps_judgement: bool, at: Timestamp) -> Option<StatusChange> {
        let now = Resume { status: self.status, since: self.since, streak: 0 };
        let before = self.before_skip.unwrap_or(now);
        let is_kept = keeps_judgement && self.info.enabled && matches!(before.status, Status::Pass | Status::Warn);
        let change = self.mark_unjudged(Status::Skipped, note, at);
        self.before_skip = is_kept.then_some(before);
        change
    }

    /// Records that the check was not judged, and the reason.
    pub(super) fn mark_unjudged(&mut self, status: Status, note: String, at: Timestamp) -> Option<StatusChange> {
        if !self.info.enabled {
            return None;
        }
        if status == Status::Skipped {
            self.count_result(status, &[]);
        }
        self.verdict = None;
        self.note = note;
        self.before_skip = None;
        self.streak = 0;
        // A check that was skipped before a restart, and is skipped after it, has been skipped since the first skip.
        if let Some(before) = self.resume.take().filter(|before| before.status == status) {
            (self.status, self.since) = (before.status, before.since);
        }
        self.transition_to(status, at)
    }

    fn count_result(&mut self, status: Status, measures: &[Measure]) {
        if let Some(count) = self.results.get_mut(status as usize) {
            *count = count.saturating_add(1);
        }
        if self.recent.len() == MAX_RECENT_RUNS {
            self.recent.pop_front();
        }
        self.recent.push_back(status);
        self.values.record(measures, self.recent.len());
    }

    /// Applies the thresholds: the status changes to the latest result after enough consecutive results that were all
    /// worse, or all better, than the status. A check without a status (pending or skipped) accepts its first result at
    /// once, unless that result is worse than a warning: then the failure threshold keeps it pending.
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
        Some(self.record_change(from, at))
    }

    /// Adds the change to the history and returns it for the log.
    fn record_change(&mut self, from: Status, at: Timestamp) -> StatusChange {
        let change = PastChange::new(at, from, self.status, self.summary());
        self.changes.push(change);
        StatusChange { check: self.info.name.clone(), from, to: self.status, summary: self.summary().to_owned() }
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
        let kind = CheckEntry::<Nothing>::new::<Health>().descriptor;
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
            // A check without any result accepts its first good result at once.
            (3, 3, "ppp", "ppp"),
            (3, 3, "www", "www"),
            // A pending result applies at once.
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
    fn a_check_that_is_skipped_before_and_after_a_restart_is_skipped_since_the_first_skip() {
        let saved = Resume { status: Status::Skipped, since: at(5), streak: 0 };
        let mut restarted = check(1, 1);
        restarted.resume = Some(saved);
        let change = restarted.mark_unjudged(Status::Skipped, "skipped while db fails".to_owned(), at(100));
        assert_eq!((restarted.status, restarted.since, change), (Status::Skipped, at(5), None));

        let mut restarted = check(3, 1);
        restarted.resume = Some(saved);
        restarted.record(verdict('f'), at(100));
        assert_eq!(restarted.status, Status::Pending, "the threshold holds a failure back");
        let mut restarted = check(3, 1);
        restarted.resume = Some(saved);
        restarted.record(verdict('p'), at(100));
        assert_eq!((restarted.status, restarted.since), (Status::Pass, at(100)));
    }

    #[test]
    fn what_lasts_stays_when_the_check_can_not_be_judged() {
        let mut check = check(1, 1);
        let labels = || ["local".into(), "full".into()];
        let made = |value| Sample::new(&BACKUP_LAST_SUCCESS, labels(), value);
        check.record(verdict('p').with_samples([made(7.0), Sample::new(&BACKUP_AGE, labels(), 3.0)]), at(1));
        check.record(verdict('u'), at(2));
        assert_eq!(check.retained, [made(7.0)]);
        check.record(verdict('p').with_samples([made(9.0)]), at(3));
        assert_eq!(check.retained, [made(9.0)]);
    }
}
