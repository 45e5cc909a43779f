//! `integrity`: the newest backups are whole, as far as reading them can tell. Only a restore can tell more.
//!
//! | what reading brought | verdict |
//! |---|---|
//! | sound by a checksum file, by the format's own checksums or by its closing mark | pass |
//! | damaged: cut short, wrong checksum, unreadable bytes | fail `body` |
//! | neither a checksum file nor a format that can be checked, or the file may not be read | unknown `not_found` |
//! | still being read: large files take several runs | the verdict on the newest one that was read, else pending |
//! | no complete backup | unknown `empty`: that is `freshness`' to say |
//! | the folder can't be listed | unknown |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Want,
    facts::{BackupFacts, Finding, Set, Verified},
};
use crate::{
    check::{Category, Check, CheckKind, Outcome, Severity, Verdict},
    probe::{Invalid, Observation, Reason, Timing},
    units::Size,
};

/// Settings of `integrity`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Integrity {
    /// So many of the newest backups are read. What was read once is not read again until it changes.
    #[serde(default = "one")]
    pub newest: usize,
    /// Whether each needs a checksum file (`.sha256` or `.sha512`) beside it.
    #[serde(default)]
    pub require_checksum: bool,
}

fn one() -> usize {
    1
}

impl CheckKind<BackupFacts> for Integrity {
    const NAME: &'static str = "integrity";
    const CATEGORY: Category = Category::Backup;
    const SEVERITY: Severity = Severity::Warning;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.newest == 0 {
            return Err(Invalid::at("newest", "read at least 1"));
        }
        Ok(())
    }
}

impl Check<BackupFacts> for Integrity {
    fn judge(&mut self, seen: &Observation<BackupFacts>) -> Verdict {
        BackupFacts::judge(seen, judge_set)
    }

    fn wants(&self) -> Vec<Want> {
        vec![Want { newest: self.newest, require_checksum: self.require_checksum }]
    }
}

fn judge_set(set: &Set) -> Verdict {
    let worst = set.verified.iter().reduce(|a, b| if outcome(&b.finding) > outcome(&a.finding) { b } else { a });
    let Some(worst) = worst else {
        return Verdict::new(Outcome::Unknown(Reason::Empty), set.emptiness());
    };
    let name = worst.id.rsplit('/').next().unwrap_or(&worst.id);
    let reading = set.verified.iter().find_map(|v: &Verified| match v.finding {
        Finding::Reading(done) => Some((v, done)),
        _ => None,
    });
    let mut summary = match &worst.finding {
        Finding::Sound(by) => format!("{name} is whole by {}", by.join(", ")),
        Finding::Damaged(why) => format!("{name} is damaged: {why}"),
        Finding::Unverifiable(why) => format!("{name} can't be verified: {why}"),
        Finding::Reading(_) => "nothing has been verified yet".to_owned(),
    };
    if let Some((verified, done)) = reading {
        let (id, done) = (verified.id.rsplit('/').next().unwrap_or_default(), Size(done));
        let total = set.backups.iter().find(|backup| backup.id == verified.id).map(|backup| Size(backup.size));
        let total = total.map(|size| format!(" of {size}")).unwrap_or_default();
        summary = format!("{summary}; {id} is being read: {done}{total}");
    }
    let outcome = match &worst.finding {
        Finding::Sound(_) => Outcome::Pass,
        Finding::Damaged(_) => Outcome::Fail(Reason::Body),
        Finding::Unverifiable(_) => Outcome::Unknown(Reason::NotFound),
        Finding::Reading(_) => Outcome::Pending,
    };
    Verdict::new(outcome, summary)
}

/// How much a finding weighs: one that is still being read says least.
fn outcome(finding: &Finding) -> u8 {
    match finding {
        Finding::Reading(_) => 0,
        Finding::Sound(_) => 1,
        Finding::Unverifiable(_) => 2,
        Finding::Damaged(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::backups::tests::sized;

    #[test]
    fn the_worst_finding_speaks() {
        let sound = || Finding::Sound(vec!["sha256", "gzip"]);
        let unknown = Outcome::Unknown(Reason::NotFound);
        for (findings, outcome, summary) in [
            (vec![sound()], Outcome::Pass, "0 is whole by sha256, gzip"),
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
                "1 is whole by sha256, gzip; 0 is being read: 50B of 100B",
            ),
            (vec![], Outcome::Unknown(Reason::Empty), "there is no backup"),
        ] {
            let mut seen = sized(if findings.is_empty() { &[] } else { &[100, 100] });
            let set = &mut seen.facts.as_mut().unwrap().sets[0];
            for (n, finding) in findings.into_iter().enumerate() {
                set.verified.push(Verified { id: format!("/backups/{n}"), finding });
            }
            let verdict = Integrity { newest: 1, require_checksum: false }.judge(&seen);
            assert_eq!((verdict.outcome, &*verdict.summary), (outcome, summary));
        }
    }
}
