#![doc = include_str!("retention.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::{Max, Min},
        measure::{Measure, MeasureInfo},
        observation::{Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::backups::{
        facts::{BackupFacts, Set},
        last_backup::{LastBackups, NO_BACKUP},
    },
};

/// Settings of `retention`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Minimum number of complete backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<Min<u32>>,
    /// Minimum age of the oldest complete backup: the period that can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_span: Option<Min<Period>>,
    /// Maximum number of complete backups. More backups mean that old ones are not deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_count: Option<Max<u32>>,
    #[serde(skip)]
    last: LastBackups,
}

impl CheckKind<BackupFacts> for Retention {
    const NAME: &'static str = "retention";
    const CATEGORY: Category = Category::Backup;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("count", Unit::Number, "Number of complete backups."),
        MeasureInfo::new("span", Unit::Seconds, "Age of the oldest complete backup."),
    ];
    const DOC: &'static str = include_str!("retention.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.min_count.is_none() && self.min_span.is_none() && self.max_count.is_none() {
            return Err(Invalid {
                key: None,
                message: "set at least one of `min_count`, `min_span` and `max_count`".into(),
            });
        }
        if let (Some(min), Some(max)) = (&self.min_count, &self.max_count)
            && min.last_step() > max.last_step()
        {
            return Err(Invalid::at("max_count", "no count can be met: `max_count` is below `min_count`"));
        }
        Ok(())
    }
}

impl Check<BackupFacts> for Retention {
    fn judge(&mut self, seen: &Observation<BackupFacts>) -> Verdict {
        let mut last = std::mem::take(&mut self.last);
        let verdict = last.judge(seen, |set, last| self.judge_set(set, last, seen.epoch_seconds()));
        self.last = last;
        verdict
    }

    fn limits(&self) -> Vec<Measure> {
        self.measures(f64::NAN, f64::NAN)
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.last)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.last = from_saved(saved);
    }
}

impl Retention {
    fn judge_set(&self, set: &Set, last: &LastBackups, now: f64) -> Verdict {
        let Some((oldest, _)) = set.complete().next() else {
            let mut measures = self.measures(0.0, f64::NAN);
            measures.retain(|measure| !measure.value.is_nan());
            let verdict = Verdict::new(Outcome::Fail(Reason::Empty), last.absence_text(set));
            return Verdict { measures, ..verdict.with_meaning(NO_BACKUP) };
        };
        let count = set.complete().count() as f64;
        let span = (now - oldest.as_duration().as_secs_f64()).max(0.0);
        let mut verdict = Verdict::from_measures(self.measures(count, span));
        verdict.summary.push_str(&set.left_out_text());
        verdict
    }

    fn measures(&self, count: f64, span: f64) -> Vec<Measure> {
        let min_count = self.min_count.map(|limit| limit.measure("count", count));
        let max_count = self.max_count.map(|limit| limit.measure("count", count));
        let min_span = self.min_span.map(|limit| limit.measure("span", span));
        [min_count, max_count, min_span].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::probes::backups::{
        facts::State,
        tests::{NOW, TIMING, seen},
    };

    #[test]
    fn count_and_reach_are_judged() {
        let fail = Outcome::Fail(Reason::Limit);
        let days = |days: &[i64]| days.iter().map(|ago| (NOW - ago * 86_400, State::Complete)).collect::<Vec<_>>();
        for (settings, backups, outcome) in [
            (json!({"min_count": 2}), days(&[2, 1]), Outcome::Pass),
            (json!({"min_count": 3}), days(&[2, 1]), fail),
            (json!({"min_count": {"warn": 3, "fail": 2}}), days(&[2, 1]), Outcome::Warn),
            (json!({"min_count": 2}), vec![(NOW, State::Complete), (NOW, State::Growing), (NOW, State::Future)], fail),
            (json!({"max_count": 1}), days(&[2, 1]), fail),
            (json!({"min_span": "30d"}), days(&[30, 1]), Outcome::Pass),
            (json!({"min_span": "30d"}), days(&[29, 1]), fail),
            (json!({"min_span": "30d"}), vec![(NOW + 60, State::Complete)], fail),
            (json!({"min_count": 1}), vec![], Outcome::Fail(Reason::Empty)),
        ] {
            let verdict = from_value::<Retention>(settings.clone()).unwrap().judge(&seen(backups, 1));
            assert_eq!(verdict.outcome, outcome, "{settings} {}", verdict.summary);
        }
    }

    #[test]
    fn limits_that_say_nothing_or_can_not_be_met_are_refused() {
        for bad in [json!({}), json!({"min_count": 5, "max_count": 4})] {
            assert!(from_value::<Retention>(bad).unwrap().validate(&TIMING).is_err());
        }
    }
}
