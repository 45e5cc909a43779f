#![doc = include_str!("size.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::{Max, Min, Range},
        measure::{Measure, MeasureInfo},
        observation::{Observation, Timing},
        units::{Ratio, Size, Unit},
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity, WhilePending},
    },
    probes::backups::{
        facts::{BackupFacts, Set},
        last_backup::{LastBackups, NO_BACKUP},
    },
};

/// Settings of `size`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSize {
    /// Minimum size of the newest backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Min<Size>>,
    /// Maximum size of the newest backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Max<Size>>,
    /// Maximum decrease of the size below the median size of earlier backups, as a ratio of the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_shrink: Option<Max<Ratio>>,
    /// Maximum size of the newest backup, as a multiple of the median size of earlier backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_growth: Option<Max<f64>>,
    /// Number of earlier backups whose median size is the baseline of `max_shrink` and `max_growth`.
    #[serde(default = "five")]
    pub baseline: usize,
    #[serde(skip)]
    last: LastBackups,
}

fn five() -> usize {
    5
}

impl CheckKind<BackupFacts> for BackupSize {
    const NAME: &'static str = "size";
    const CATEGORY: Category = Category::Backup;
    const SEVERITY: Severity = Severity::Warning;
    const WHILE_PENDING: WhilePending = WhilePending::Passes;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("size", Unit::Bytes, "Size of the newest complete backup."),
        MeasureInfo::new("shrink", Unit::Ratio, "Decrease below the median of earlier backups."),
        MeasureInfo::new("growth", Unit::Number, "Size as a multiple of the median of earlier backups."),
    ];
    const DOC: &'static str = include_str!("size.md");
    const RENAMED: &'static [(&'static str, &'static str)] = &[("previous", "baseline")];

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.range().is_unbounded() && self.max_shrink.is_none() && self.max_growth.is_none() {
            return Err(Invalid {
                key: None,
                message: "set at least one of `min`, `max`, `max_shrink` and `max_growth`".into(),
            });
        }
        if self.range().is_crossed() {
            return Err(Invalid::at("max", "no size can be met: `max` is below `min`"));
        }
        if self.max_growth.is_some_and(|limit| !limit.levels().all(|(_, at)| at >= 1.0)) {
            return Err(Invalid::at("max_growth", "this is a multiple of the size before: 1 or more"));
        }
        if self.max_shrink.is_some_and(|limit| limit.levels().any(|(_, at)| at >= 1.0)) {
            return Err(Invalid::at("max_shrink", "no backup shrinks by more than 100%: lower the limit"));
        }
        if self.baseline == 0 {
            return Err(Invalid::at("baseline", "compare with at least 1"));
        }
        Ok(())
    }
}

impl Check<BackupFacts> for BackupSize {
    fn judge(&mut self, seen: &Observation<BackupFacts>) -> Verdict {
        let mut last = std::mem::take(&mut self.last);
        let verdict = last.judge(seen, |set, last| self.judge_set(set, last));
        self.last = last;
        verdict
    }

    fn limits(&self) -> Vec<Measure> {
        [self.absolute(f64::NAN), self.relative(f64::NAN, f64::NAN)].concat()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.last)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.last = from_saved(saved);
    }
}

impl BackupSize {
    fn judge_set(&self, set: &Set, last: &LastBackups) -> Verdict {
        let mut sizes = set.complete().rev().map(|(_, backup)| backup.size as f64);
        let Some(newest) = sizes.next() else {
            return Verdict::new(Outcome::Unknown(Reason::Empty), last.absence_text(set)).with_meaning(NO_BACKUP);
        };
        let mut measures = self.absolute(newest);
        if let Some(usual) = median(sizes.take(self.baseline).collect()) {
            measures.extend(self.relative((1.0 - newest / usual).max(0.0), newest / usual));
        }
        if measures.is_empty() {
            return Verdict::new(Outcome::Pending, "there is no earlier backup to compare with");
        }
        let mut verdict = Verdict::from_measures(measures);
        verdict.summary.push_str(&set.newer_text());
        verdict
    }
}

impl BackupSize {
    fn absolute(&self, size: f64) -> Vec<Measure> {
        self.range().measures("size", size)
    }

    fn range(&self) -> Range<Size> {
        Range { min: self.min, max: self.max }
    }

    fn relative(&self, shrink: f64, growth: f64) -> Vec<Measure> {
        let shrink = self.max_shrink.map(|limit| limit.measure("shrink", shrink));
        let growth = self.max_growth.map(|limit| limit.measure("growth", growth));
        [shrink, growth].into_iter().flatten().collect()
    }
}

/// Median: the mean of the two middle values for an even number of values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::probes::backups::tests::sized;

    fn judge(settings: serde_json::Value, sizes: &[u64]) -> (Outcome, String) {
        let verdict = from_value::<BackupSize>(settings).unwrap().judge(&sized(sizes));
        (verdict.outcome, verdict.summary)
    }

    #[test]
    fn the_newest_is_judged_by_itself_and_against_the_median_of_those_before() {
        let fail = Outcome::Fail(Reason::Limit);
        for (settings, sizes, outcome, summary) in [
            (json!({"min": "100B"}), &[1, 100][..], Outcome::Pass, "size is 100B, no less than 100B"),
            (json!({"min": "100B"}), &[500, 99], fail, "size is 99B, below the limit of 100B"),
            (json!({"max": "100B"}), &[101], fail, "size is 101B, above the limit of 100B"),
            // The median of the last five is 100: one that was odd once does not count.
            (
                json!({"max_shrink": "50%"}),
                &[1, 100, 100, 9, 100, 100, 50],
                Outcome::Pass,
                "shrink is 50%, within the limit of 50%",
            ),
            (
                json!({"max_shrink": "50%"}),
                &[1, 100, 100, 9, 100, 100, 49],
                fail,
                "shrink is 51%, above the limit of 50%",
            ),
            (json!({"max_shrink": "50%"}), &[100, 300], Outcome::Pass, "shrink is 0%, within the limit of 50%"),
            (json!({"max_growth": 3}), &[100, 200, 451], fail, "growth is 3.01, above the limit of 3"),
            (json!({"max_shrink": "50%"}), &[100], Outcome::Pending, "there is no earlier backup to compare with"),
            (json!({"max_shrink": "50%", "min": "10B"}), &[100], Outcome::Pass, "size is 100B, no less than 10B"),
            (
                json!({"min": "10B"}),
                &[],
                Outcome::Unknown(Reason::Empty),
                "There is no complete backup. None was seen before.",
            ),
        ] {
            assert_eq!(judge(settings, sizes), (outcome, summary.to_owned()), "{sizes:?}");
        }
    }

    #[test]
    fn limits_that_say_nothing_or_can_not_be_met_are_refused() {
        let timing = crate::probes::backups::tests::TIMING;
        for bad in [
            json!({}),
            json!({"min": "2MiB", "max": "1MiB"}),
            json!({"max_growth": 0.5}),
            json!({"min": "1B", "baseline": 0}),
        ] {
            assert!(from_value::<BackupSize>(bad.clone()).unwrap().validate(&timing).is_err(), "{bad}");
        }
    }
}
