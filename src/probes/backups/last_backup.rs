//! Memory of a check for the last complete backup, so that its finding states a time after all backups are gone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::{BackupFacts, Set};
use crate::model::observation::Observation;

/// Creation time of the newest complete backup of each set, from the last run that found one. A check saves it, so the
/// time survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LastBackups(BTreeMap<String, Timestamp>);

impl LastBackups {
    /// Remembers the newest complete backup of each set of a run. A failed run changes nothing.
    pub(super) fn remember(&mut self, seen: &Observation<BackupFacts>) {
        let sets = seen.facts_or_verdict().map(|facts| facts.sets.as_slice()).unwrap_or_default();
        for set in sets {
            if let Some((newest, _)) = set.complete().next_back() {
                self.0.insert(key(set), newest);
            }
        }
    }

    /// Finding for a set without a complete backup. It states the creation time of the last one, which is not current.
    #[must_use]
    pub(super) fn absence_text(&self, set: &Set) -> String {
        let absence = set.absence_text();
        match self.0.get(&key(set)) {
            Some(made) => format!("{absence} The last one was made at {}.", time_text(*made)),
            None => format!("{absence} None was seen before."),
        }
    }
}

fn key(set: &Set) -> String {
    format!("{}/{}", set.location, set.r#type)
}

/// A time in UTC with minutes, as in `2026-11-27 01:10 UTC`.
#[must_use]
pub(super) fn time_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        model::{
            check::Check,
            failure::Failure,
            words::{Outcome, Reason},
        },
        probes::backups::{
            checks::{
                freshness::Freshness, integrity::Integrity, retention::Retention, schedule::Schedule, size::BackupSize,
            },
            facts::State,
            tests::{NOW, seen},
        },
    };

    const LAST: &str = "There is no complete backup. The last one was made at 2026-11-18 10:06 UTC.";

    /// One check of each kind that judges backups.
    fn all_checks() -> Vec<Box<dyn Check<BackupFacts>>> {
        vec![
            Box::new(from_value::<Freshness>(json!({"max_age": "26h"})).unwrap()),
            Box::new(from_value::<Retention>(json!({"min_count": 1})).unwrap()),
            Box::new(from_value::<BackupSize>(json!({"min": "1B"})).unwrap()),
            Box::new(from_value::<Schedule>(json!({"every": "1d"})).unwrap()),
            Box::new(from_value::<Integrity>(json!({})).unwrap()),
        ]
    }

    #[test]
    fn every_check_states_the_time_of_the_last_backup_after_all_are_gone_also_after_a_restart() {
        let mut failed = seen(vec![], 1);
        (failed.facts, failed.failure) = (None, Some(Failure::new(Reason::NotFound, "gone")));
        for (mut check, mut restarted) in all_checks().into_iter().zip(all_checks()) {
            assert!(
                check.judge(&seen(vec![], 1)).summary.ends_with("There is no complete backup. None was seen before.")
            );
            check.judge(&seen(vec![(NOW - 90_000, State::Complete), (NOW - 3_600, State::Complete)], 100));
            check.judge(&failed);
            restarted.restore(&check.save().unwrap());
            for check in [&mut check, &mut restarted] {
                let verdict = check.judge(&seen(vec![], 1));
                assert_eq!(verdict.summary, LAST);
                assert!(matches!(verdict.outcome, Outcome::Fail(Reason::Empty) | Outcome::Unknown(Reason::Empty)));
                assert!(verdict.samples.is_empty());
                assert!(verdict.measures.iter().all(|measure| (measure.name, measure.value) == ("count", 0.0)));
            }
        }
    }

    #[test]
    fn damaged_memory_is_dropped() {
        let mut check: Freshness = from_value(json!({"max_age": "26h"})).unwrap();
        check.restore(&serde_json::value::to_raw_value(&json!([1, "x"])).unwrap());
        assert!(check.judge(&seen(vec![], 1)).summary.ends_with("None was seen before."));
    }
}
