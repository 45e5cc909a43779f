//! Memory of a check for complete backups and their directories.
//!
//! A finding states the time of the last complete backup after all are gone. A directory that held complete backups and
//! can't be listed any more makes the check `unknown`: its backups are out of sight, and the others can't replace them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::{BackupFacts, BackupForm, Set};
use crate::model::{
    observation::Observation,
    text::bounded_name,
    verdict::Verdict,
    words::{Outcome, Reason},
};

/// Memory for each set, from the last run that found a complete backup. A check saves it, so it survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LastBackups(BTreeMap<String, SetMemory>);

#[derive(Debug, Serialize, Deserialize)]
struct SetMemory {
    /// Creation time of the newest complete backup.
    made: Timestamp,
    /// Directories with complete backups, at most [`MAX_FOLDERS`] with the newest backups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    folders: BTreeSet<String>,
}

/// Maximum number of directories that are remembered. The backups in others are older, so that `retention` notices
/// their absence.
const MAX_FOLDERS: usize = 200;

/// Meaning of a verdict in alerts if no backup is complete.
pub(crate) const NO_BACKUP: &str = "there is no complete backup";

impl LastBackups {
    /// Judges every set of a run and remembers its complete backups. Each finding ends with the directories that could
    /// not be listed. A pass is withdrawn if backups are out of sight.
    pub(super) fn judge(&mut self, seen: &Observation<BackupFacts>, judge: impl Fn(&Set, &Self) -> Verdict) -> Verdict {
        let verdict = BackupFacts::judge(seen, |set| {
            let mut verdict = judge(set, self);
            match self.out_of_sight(set) {
                Some(text) => {
                    if !matches!(verdict.outcome, Outcome::Fail(_)) {
                        verdict.outcome = Outcome::Unknown(Reason::Permission);
                    }
                    verdict.summary = format!("{text}; without it: {}", verdict.summary);
                }
                None => verdict.summary.push_str(&set.unreadable_text()),
            }
            verdict
        });
        self.remember(seen);
        verdict
    }

    /// Finding for a set without a complete backup. It states the creation time of the last one, which is not current.
    #[must_use]
    pub(super) fn absence_text(&self, set: &Set) -> String {
        let absence = set.absence_text();
        match self.0.get(&key(set)) {
            Some(memory) => format!("{absence} The last one was made at {}.", time_text(memory.made)),
            None => format!("{absence} None was seen before."),
        }
    }

    /// Remembers the complete backups of a run. A failed run changes nothing.
    fn remember(&mut self, seen: &Observation<BackupFacts>) {
        let sets = seen.facts_or_verdict().map(|facts| facts.sets.as_slice()).unwrap_or_default();
        for set in sets {
            let before = self.0.remove(&key(set));
            let newest = set.complete().next_back().map(|(made, _)| made);
            let Some(made) = newest.or(before.as_ref().map(|memory| memory.made)) else { continue };
            let mut folders: BTreeSet<_> = before
                .map(|memory| memory.folders)
                .unwrap_or_default()
                .into_iter()
                .filter(|folder| set.unreadable.iter().any(|unreadable| is_within(folder, &unreadable.path)))
                .collect();
            for (_, backup) in set.complete().rev() {
                if folders.len() >= MAX_FOLDERS {
                    break;
                }
                folders.insert(match backup.form {
                    BackupForm::Directory => backup.id.clone(),
                    _ => backup.id.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
                });
            }
            self.0.insert(key(set), SetMemory { made, folders });
        }
    }

    /// The first directory that can't be listed although it holds backups.
    fn out_of_sight(&self, set: &Set) -> Option<String> {
        let known = self.0.get(&key(set)).map(|memory| &memory.folders);
        let holds_backups = |path: &str| known.is_some_and(|known| known.iter().any(|folder| is_within(folder, path)));
        let folder = set.unreadable.iter().find(|folder| folder.has_matches || holds_backups(&folder.path))?;
        let path = bounded_name(&*folder.path);
        Some(match folder.has_matches {
            true => format!("{path} holds backups that can't be read: {}", folder.error),
            false => format!("{path} held backups and can't be listed any more: {}", folder.error),
        })
    }
}

fn key(set: &Set) -> String {
    format!("{}/{}", set.location, set.r#type)
}

/// Whether a path is a directory or below it.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
            facts::{Finding, State, UnreadableFolder, Verified},
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
    fn a_folder_that_held_backups_and_can_not_be_listed_makes_every_check_unknown_also_after_a_restart() {
        let unreadable = |path: &str, has_matches| UnreadableFolder {
            path: path.into(),
            error: "Permission denied".into(),
            has_matches,
            is_system: false,
        };
        let with = |folder: UnreadableFolder| {
            let mut seen = seen(vec![(NOW - 90_000, State::Complete), (NOW - 3_600, State::Complete)], 100);
            let set = &mut seen.facts.as_mut().unwrap().sets[0];
            set.unreadable = vec![folder];
            let finding = Finding::Sound(vec!["sha256"]);
            set.verified = vec![Verified { id: "/backups/1".into(), finding }];
            seen
        };
        let unknown = Outcome::Unknown(Reason::Permission);
        for (mut check, mut restarted) in all_checks().into_iter().zip(all_checks()) {
            // Other backups are in another directory, and this one is not known to hold any.
            let verdict = check.judge(&with(unreadable("/other", false)));
            assert_eq!(verdict.outcome, Outcome::Pass, "{}", verdict.summary);
            assert!(verdict.summary.ends_with("; /other can't be listed: Permission denied"), "{}", verdict.summary);
            let saved = check.save().unwrap();
            restarted.restore(&saved);
            for check in [&mut check, &mut restarted] {
                for folder in [unreadable("/backups", false), unreadable("/new", true)] {
                    let verdict = check.judge(&with(folder));
                    assert_eq!(verdict.outcome, unknown, "{}", verdict.summary);
                    assert!(verdict.summary.contains("; without it: "), "{}", verdict.summary);
                }
                // The memory of a directory lasts as long as it is out of sight.
                assert_eq!(check.judge(&with(unreadable("/backups", false))).outcome, unknown);
            }
            let mut system = unreadable("/lost+found", false);
            system.is_system = true;
            assert!(!check.judge(&with(system)).summary.contains("lost+found"));
        }
    }

    #[test]
    fn damaged_memory_is_dropped() {
        let mut check: Freshness = from_value(json!({"max_age": "26h"})).unwrap();
        check.restore(&serde_json::value::to_raw_value(&json!([1, "x"])).unwrap());
        assert!(check.judge(&seen(vec![], 1)).summary.ends_with("None was seen before."));
    }
}
