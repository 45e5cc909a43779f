#![doc = include_str!("freshness.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::Max,
        measure::{Measure, MeasureInfo},
        metric::{self, Sample},
        observation::{Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
    probes::backups::{
        facts::{BackupFacts, Set, State},
        last_backup::{LastBackups, NO_BACKUP, time_text},
    },
};

/// Settings of `freshness`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// Maximum age of the newest complete backup.
    pub max_age: Max<Period>,
    #[serde(skip)]
    last: LastBackups,
}

impl CheckKind<BackupFacts> for Freshness {
    const NAME: &'static str = "freshness";
    const CATEGORY: Category = Category::Backup;
    const SEVERITY: Severity = Severity::Critical;
    const MEASURES: &'static [MeasureInfo] =
        &[MeasureInfo::new("age", Unit::Seconds, "Age of the newest complete backup.")];
    const ALERT: Alert = Alert::BackupStale;
    const DOC: &'static str = include_str!("freshness.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.max_age.levels().any(|(_, at)| at <= 0.0) {
            return Err(Invalid::at("max_age", "no backup is younger than nothing: write the age that is allowed"));
        }
        Ok(())
    }
}

impl Check<BackupFacts> for Freshness {
    fn judge(&mut self, seen: &Observation<BackupFacts>) -> Verdict {
        let mut last = std::mem::take(&mut self.last);
        let verdict = last.judge(seen, |set, last| self.judge_set(set, last, seen.epoch_seconds()));
        self.last = last;
        verdict
    }

    fn limits(&self) -> Vec<Measure> {
        vec![self.max_age.unmeasured("age")]
    }

    fn constant_samples(&self) -> Vec<Sample> {
        // The probe adds the labels `location` and `type` in front.
        vec![Sample::new(&metric::BACKUP_MAX_AGE, [], self.max_age.last_step())]
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.last)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.last = from_saved(saved);
    }
}

impl Freshness {
    fn judge_set(&self, set: &Set, last: &LastBackups, now: f64) -> Verdict {
        if let Some((newest, _)) = set.complete().next_back() {
            let age = (now - newest.as_duration().as_secs_f64()).max(0.0);
            let mut verdict = Verdict::from_measures(vec![self.max_age.measure("age", age)]);
            verdict.summary.push_str(&format!(" (made at {}){}", time_text(newest), set.newer_text()));
            return verdict;
        }
        let is_dump = |state| !matches!(state, State::SymbolicLink | State::Directory | State::OtherName);
        let mut states = set.backups.iter().map(|backup| backup.state).filter(|state| is_dump(*state)).peekable();
        let only_future =
            states.peek().is_some() && states.all(|state| matches!(state, State::Future | State::CutTime));
        let outcome = if only_future { Outcome::Unknown(Reason::Parse) } else { Outcome::Fail(Reason::Empty) };
        Verdict::new(outcome, last.absence_text(set)).with_meaning(NO_BACKUP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::backups::tests::{NOW, seen};

    #[test]
    fn the_newest_complete_backup_is_judged() {
        let day = 86_400;
        let fail = Outcome::Fail(Reason::Limit);
        let old = "age is 3d, above the limit of 2d (made at 2026-11-15 11:06 UTC)";
        for (backups, outcome, summary) in [
            (
                vec![(NOW - 3_600, State::Complete)],
                Outcome::Pass,
                "age is 1h, within the limit of 1d (made at 2026-11-18 10:06 UTC)",
            ),
            (
                vec![(NOW - day, State::Complete)],
                Outcome::Pass,
                "age is 1d, within the limit of 1d (made at 2026-11-17 11:06 UTC)",
            ),
            (
                vec![(NOW - 9 * day, State::Complete), (NOW - 90_000, State::Complete)],
                Outcome::Warn,
                "age is 1d1h, above the limit of 1d (made at 2026-11-17 10:06 UTC)",
            ),
            (vec![(NOW - 3 * day, State::Complete)], fail, old),
            (
                vec![(NOW - 3 * day, State::Complete), (NOW - 60, State::Growing)],
                fail,
                &format!("{old}; newer: 1 still growing (1)"),
            ),
            (
                vec![(NOW - 3 * day, State::Complete), (NOW - 60, State::Empty), (NOW + 7_200, State::Future)],
                fail,
                &format!("{old}; newer: 1 from the future, 1 empty (2, 1)"),
            ),
            (
                vec![(NOW + 120, State::Complete)],
                Outcome::Pass,
                "age is 0s, within the limit of 1d (made at 2026-11-18 11:08 UTC)",
            ),
            (
                vec![(NOW - 60, State::SymbolicLink)],
                Outcome::Fail(Reason::Empty),
                "There is no complete backup (1 symbolic link was left out: 0). None was seen before.",
            ),
            (vec![], Outcome::Fail(Reason::Empty), "There is no complete backup. None was seen before."),
            (
                vec![(NOW, State::Empty), (NOW, State::Unfinished)],
                Outcome::Fail(Reason::Empty),
                "There is no complete backup (1 empty, 1 unfinished were left out: 1, 0). None was seen before.",
            ),
            (
                vec![(NOW + 7_200, State::Future)],
                Outcome::Unknown(Reason::Parse),
                "There is no complete backup (1 from the future was left out: 0; a clock or the time zone is wrong). None \
                 was seen before.",
            ),
        ] {
            let mut check: Freshness =
                serde_json::from_value(serde_json::json!({"max_age": {"warn": "1d", "fail": "2d"}})).unwrap();
            let verdict = check.judge(&seen(backups, 100));
            assert_eq!((verdict.outcome, &*verdict.summary), (outcome, summary));
        }
    }

    #[test]
    fn a_folder_that_can_not_be_listed_tells_nothing() {
        let mut check: Freshness = serde_json::from_value(serde_json::json!({"max_age": "1d"})).unwrap();
        let mut seen = seen(vec![], 100);
        seen.facts = None;
        seen.failure = Some(crate::model::failure::Failure::new(Reason::NotFound, "gone"));
        assert_eq!(check.judge(&seen).outcome, Outcome::Unknown(Reason::NotFound));
    }
}
