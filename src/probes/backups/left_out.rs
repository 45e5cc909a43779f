//! Parts of a finding about entries that match and do not count.

use std::collections::BTreeMap;

use super::facts::{Backup, Set, State};
use crate::model::text::bounded_name;

/// Maximum number of names in a finding.
const MAX_NAMES: usize = 3;

impl Set {
    /// The entries that are newer than the newest complete backup and do not count, as in
    /// `; newer: 1 from the future, 1 empty (a.sql, b.sql)`. Empty if there are none.
    #[must_use]
    pub(super) fn newer_text(&self) -> String {
        let newest = self.complete().next_back().map(|(made, _)| made);
        let is_newer = |backup: &&Backup| {
            let time = backup.made.or(backup.changed);
            // Another name of a complete backup and a link are not newer than it.
            !matches!(backup.state, State::OtherName | State::Directory) && time > newest
        };
        match describe(self.left_out().filter(is_newer)) {
            Some((counts, names)) => format!("; newer: {counts} ({names})"),
            None => String::new(),
        }
    }

    /// All entries that do not count, as in `; 1 empty was left out (a.sql)`. Empty if there are none.
    #[must_use]
    pub(super) fn left_out_text(&self) -> String {
        match self.left_out_phrase() {
            Some(phrase) => format!("; {phrase}"),
            None => String::new(),
        }
    }

    /// States that no backup is complete, and the entries that were left out.
    #[must_use]
    pub(super) fn absence_text(&self) -> String {
        let clock = match self.left_out().any(|backup| backup.state == State::Future) {
            true => "; a clock or the time zone is wrong",
            false => "",
        };
        match self.left_out_phrase() {
            Some(phrase) => format!("There is no complete backup ({phrase}{clock})."),
            None => "There is no complete backup.".to_owned(),
        }
    }

    /// The directories that could not be listed, except `lost+found`. Empty if there are none.
    #[must_use]
    pub(super) fn unreadable_text(&self) -> String {
        let mut folders = self.unreadable.iter().filter(|folder| !folder.is_system);
        match (folders.next(), folders.count()) {
            (None, _) => String::new(),
            (Some(first), 0) => format!("; {} can't be listed: {}", bounded_name(&*first.path), first.error),
            (Some(first), more) => format!(
                "; {} directories can't be listed, for example {}: {}",
                more + 1,
                bounded_name(&*first.path),
                first.error
            ),
        }
    }

    fn left_out(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.backups.iter().filter(|backup| backup.state != State::Complete)
    }

    fn left_out_phrase(&self) -> Option<String> {
        let (counts, names) = describe(self.left_out())?;
        let verb = if self.left_out().count() == 1 { "was" } else { "were" };
        Some(format!("{counts} {verb} left out: {names}"))
    }
}

/// The number of entries by state, and the names of the newest entries.
fn describe<'a>(entries: impl DoubleEndedIterator<Item = &'a Backup>) -> Option<(String, String)> {
    let (mut counts, mut names) = (BTreeMap::<State, usize>::new(), Vec::new());
    for backup in entries.rev() {
        *counts.entry(backup.state).or_default() += 1;
        if names.len() < MAX_NAMES {
            let name = bounded_name(backup.id.rsplit('/').next().unwrap_or(&backup.id));
            names.push(if backup.detail.is_empty() { name } else { format!("{name}: {}", backup.detail) });
        }
    }
    let total: usize = counts.values().sum();
    if total > MAX_NAMES {
        names.push("..".to_owned());
    }
    // The most surprising states first.
    let counts: Vec<_> = counts.iter().rev().map(|(state, count)| state.count_text(*count)).collect();
    (total > 0).then(|| (counts.join(", "), names.join(", ")))
}

#[cfg(test)]
mod tests {
    use crate::probes::backups::{
        facts::State,
        tests::{NOW, seen},
    };

    #[test]
    fn entries_that_do_not_count_are_named_with_their_states() {
        let text = |backups: &[(i64, State)]| {
            let seen = seen(backups.to_vec(), 1);
            let set = &seen.facts.as_ref().unwrap().sets[0];
            (set.newer_text(), set.absence_text())
        };
        let none = "There is no complete backup.".to_owned();
        assert_eq!(text(&[]), (String::new(), none.clone()));
        assert_eq!(text(&[(NOW - 9, State::Empty), (NOW - 5, State::Complete)]).0, "");
        let mixed = [(NOW - 9, State::Complete), (NOW - 5, State::Empty), (NOW + 9_999, State::Future)];
        assert_eq!(text(&mixed).0, "; newer: 1 from the future, 1 empty (2, 1)");
        let many = [(NOW, State::Empty); 5];
        assert_eq!(text(&many).1, "There is no complete backup (5 empty were left out: 4, 3, 2, ..).");
        let link = [(NOW, State::SymbolicLink)];
        assert_eq!(text(&link).1, "There is no complete backup (1 symbolic link was left out: 0).");
        assert_eq!(text(&[(NOW, State::Complete), (NOW + 1, State::OtherName)]).0, "");
    }
}
