#![doc = include_str!("integrity.md")]

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        observation::{Observation, Timing},
        units::{Period, Size},
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity, WhilePending},
    },
    probes::backups::{
        VerificationRequest,
        facts::{BackupFacts, Finding, Set, Verified},
        last_backup::{LastBackups, NO_BACKUP},
    },
};

/// Settings of `integrity`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Integrity {
    /// Number of newest backups to read. A backup that was read is not read again until it changes.
    #[serde(default = "default_newest")]
    pub newest: usize,
    /// Whether each backup must have a checksum file (`.sha256` or `.sha512`) beside it.
    #[serde(default)]
    pub require_checksum: bool,
    #[serde(skip)]
    last: LastBackups,
}

/// Maximum duration of an estimate in seconds: ten years.
const MAX_ESTIMATE: f64 = 10.0 * 365.0 * 86_400.0;

fn default_newest() -> usize {
    1
}

impl CheckKind<BackupFacts> for Integrity {
    const NAME: &'static str = "integrity";
    const CATEGORY: Category = Category::Backup;
    const SEVERITY: Severity = Severity::Warning;
    const WHILE_PENDING: WhilePending = WhilePending::Passes;
    const DOC: &'static str = include_str!("integrity.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.newest == 0 {
            return Err(Invalid::at("newest", "read at least 1"));
        }
        Ok(())
    }
}

impl Check<BackupFacts> for Integrity {
    fn judge(&mut self, seen: &Observation<BackupFacts>) -> Verdict {
        let mut last = std::mem::take(&mut self.last);
        let verdict = last.judge(seen, |set, last| judge_set(set, &seen.timing, last));
        self.last = last;
        verdict
    }

    fn requested_facts(&self) -> Vec<VerificationRequest> {
        vec![VerificationRequest { newest: self.newest, require_checksum: self.require_checksum }]
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.last)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.last = from_saved(saved);
    }
}

fn judge_set(set: &Set, timing: &Timing, last: &LastBackups) -> Verdict {
    let worst = set.verified.iter().reduce(|a, b| if outcome(&b.finding) > outcome(&a.finding) { b } else { a });
    let Some(worst) = worst else {
        return Verdict::new(Outcome::Unknown(Reason::Empty), last.absence_text(set)).with_meaning(NO_BACKUP);
    };
    let name = worst.id.rsplit('/').next().unwrap_or(&worst.id);
    let reading = set.verified.iter().find_map(|v: &Verified| match v.finding {
        Finding::Reading(done) => Some((v, done)),
        _ => None,
    });
    let mut summary = match &worst.finding {
        Finding::Sound(by) => format!("{name} was read to its end; verified: {}", by.join(", ")),
        Finding::Damaged(why) => format!("{name} is damaged: {why}"),
        Finding::Unverifiable(why) => format!("{name} can't be verified: {why}"),
        Finding::Reading(_) | Finding::Waiting => "nothing has been verified yet".to_owned(),
    };
    if let Some((verified, done)) = reading {
        let id = verified.id.rsplit('/').next().unwrap_or_default();
        let size = set.backups.iter().find(|backup| backup.id == verified.id).map(|backup| backup.size);
        let total = size.map(|size| format!(" of {}", Size(size))).unwrap_or_default();
        let slow = size.zip(set.read_each_run).and_then(|(size, each)| too_slow(size, each, timing));
        summary = format!("{summary}; {id} is being read: {}{total}{}", Size(done), slow.unwrap_or_default());
    }
    if let Some(waiting) = set.verified.iter().find(|verified| verified.finding == Finding::Waiting) {
        let id = waiting.id.rsplit('/').next().unwrap_or_default();
        summary.push_str(&format!(
            "; {id} waits for its turn: its zstd window is larger than 8MiB (--long or --ultra), and one such backup is \
             read at a time"
        ));
    }
    summary.push_str(&set.newer_text());
    let outcome = match &worst.finding {
        Finding::Sound(_) => Outcome::Pass,
        Finding::Damaged(_) => Outcome::Fail(Reason::Body),
        Finding::Unverifiable(_) => Outcome::Unknown(Reason::NotFound),
        Finding::Reading(_) | Finding::Waiting => Outcome::Pending,
    };
    let verdict = Verdict::new(outcome, summary);
    match &worst.finding {
        Finding::Damaged(_) => {
            verdict.with_meaning("a backup is damaged: its content does not match its format or its checksum")
        }
        Finding::Unverifiable(_) => verdict.with_meaning("a backup cannot be verified"),
        Finding::Sound(_) | Finding::Reading(_) | Finding::Waiting => verdict,
    }
}

/// Estimate for a backup that no single run can read, from its size and the bytes that a run reads: the duration, and
/// the advice. A backup that takes longer than the time to the next one is never verified.
fn too_slow(size: u64, each: u64, timing: &Timing) -> Option<String> {
    let runs = size.div_ceil(each.max(1));
    if runs <= 1 {
        return None;
    }
    let interval = timing.interval.as_secs_f64();
    let total = Period(Duration::from_secs_f64((runs as f64 * interval).min(MAX_ESTIMATE)).max(Duration::from_secs(1)));
    let total = Period(Duration::from_secs(total.0.as_secs()));
    let (each, interval) = (Size(each), Period(timing.interval));
    let advice = match timing.timeout < timing.interval {
        true => format!("raise `timeout` ({}, at most the interval)", Period(timing.timeout)),
        false => "raise `interval` and `timeout`".to_owned(),
    };
    Some(format!(
        " at {each} a run, so in about {total}, longer than the interval of {interval}: it must end before the next \
         backup, or none is ever verified; {advice}"
    ))
}

/// Rank of a finding: the worst one is reported. A backup that is still being read has the lowest rank.
fn outcome(finding: &Finding) -> u8 {
    match finding {
        Finding::Reading(_) | Finding::Waiting => 0,
        Finding::Sound(_) => 1,
        Finding::Unverifiable(_) => 2,
        Finding::Damaged(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::backups::tests::sized;

    fn check() -> Integrity {
        serde_json::from_value(serde_json::json!({})).unwrap()
    }

    #[test]
    fn the_worst_finding_speaks() {
        let sound = || Finding::Sound(vec!["sha256", "gzip checksum"]);
        let unknown = Outcome::Unknown(Reason::NotFound);
        for (findings, outcome, summary) in [
            (vec![sound()], Outcome::Pass, "0 was read to its end; verified: sha256, gzip checksum"),
            (
                vec![sound(), Finding::Damaged("cut short".into())],
                Outcome::Fail(Reason::Body),
                "1 is damaged: cut short",
            ),
            (vec![sound(), Finding::Unverifiable("why".into())], unknown, "1 can't be verified: why"),
            (
                vec![Finding::Reading(50)],
                Outcome::Pending,
                "nothing has been verified yet; 0 is being read: 50B of 100B",
            ),
            (
                vec![Finding::Reading(50), sound()],
                Outcome::Pass,
                "1 was read to its end; verified: sha256, gzip checksum; 0 is being read: 50B of 100B",
            ),
            (
                vec![Finding::Waiting],
                Outcome::Pending,
                "nothing has been verified yet; 0 waits for its turn: its zstd window is larger than 8MiB (--long or \
                 --ultra), and one such backup is read at a time",
            ),
            (vec![], Outcome::Unknown(Reason::Empty), "There is no complete backup. None was seen before."),
        ] {
            let mut seen = sized(if findings.is_empty() { &[] } else { &[100, 100] });
            let set = &mut seen.facts.as_mut().unwrap().sets[0];
            for (n, finding) in findings.into_iter().enumerate() {
                set.verified.push(Verified { id: format!("/backups/{n}"), finding });
            }
            let verdict = check().judge(&seen);
            assert_eq!((verdict.outcome, &*verdict.summary), (outcome, summary));
        }
    }

    #[test]
    fn a_backup_that_takes_longer_than_the_interval_says_how_long_and_what_to_do() {
        let mut seen = sized(&[1 << 30]);
        let judged = |seen: &mut Observation<BackupFacts>, each, timeout| {
            (seen.timing.interval, seen.timing.timeout) = (Duration::from_secs(600), Duration::from_secs(timeout));
            let set = &mut seen.facts.as_mut().unwrap().sets[0];
            set.read_each_run = each;
            set.verified = vec![Verified { id: "/backups/0".into(), finding: Finding::Reading(1 << 20) }];
            check().judge(seen).summary
        };
        let start = "nothing has been verified yet; 0 is being read: 1MiB of 1GiB";
        assert_eq!(
            judged(&mut seen, Some(64 << 20), 10),
            format!(
                "{start} at 64MiB a run, so in about 2h40m, longer than the interval of 10m: it must end before the next \
                 backup, or none is ever verified; raise `timeout` (10s, at most the interval)"
            )
        );
        assert!(judged(&mut seen, Some(1), 600).ends_with("; raise `interval` and `timeout`"));
        assert_eq!(judged(&mut seen, Some(1 << 30), 10), start, "it fits into one run");
        assert_eq!(judged(&mut seen, None, 10), start, "nothing was measured yet");
    }
}
