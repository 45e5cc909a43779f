#![doc = include_str!("schedule.md")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
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
        metric::{self},
        observation::{Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
    probes::backups::{
        facts::{BackupFacts, Set},
        last_backup::{LastBackups, NO_BACKUP},
        sources::labels::Zone,
    },
};

/// Settings of `schedule`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Time between two scheduled runs of the backup job.
    pub every: Period,
    /// Maximum delay of a scheduled run. A run with a longer delay counts as missed. Default: a tenth of `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Period>,
    /// Period over which missed runs count. Default: seven times `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// Maximum number of missed runs in the window.
    #[serde(default = "none")]
    pub max_missed: Max<u32>,
    /// Time zone of the schedule of the backup job, as an IANA name.
    #[serde(default)]
    pub time_zone: Zone,
    #[serde(skip)]
    last: LastBackups,
}

fn none() -> Max<u32> {
    Max::single(0)
}

impl CheckKind<BackupFacts> for Schedule {
    const NAME: &'static str = "schedule";
    const CATEGORY: Category = Category::Backup;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] =
        &[MeasureInfo::new("missed_runs", Unit::Number, "Runs of the backup schedule that left no backup.")];
    const ALERT: Alert = Alert::BackupMissed;
    const DOC: &'static str = include_str!("schedule.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.every.0 < Duration::from_secs(1) {
            return Err(Invalid::at("every", "write the time between two backups, as in 24h"));
        }
        if self.window.is_some_and(|window| window < self.every) {
            return Err(Invalid::at("window", "no run can be missed in a window that is shorter than `every`"));
        }
        let most = self.window().as_seconds() / self.every.as_seconds();
        if self.max_missed.levels().any(|(_, at)| at >= most) {
            let message = format!("a window of {} never misses more runs than that: lower the limit", self.window());
            return Err(Invalid::at("max_missed", message));
        }
        Ok(())
    }
}

impl Check<BackupFacts> for Schedule {
    fn judge(&mut self, seen: &Observation<BackupFacts>) -> Verdict {
        let mut last = std::mem::take(&mut self.last);
        let verdict = last.judge(seen, |set, last| self.judge_set(set, last, seen.at));
        self.last = last;
        verdict
    }

    fn limits(&self) -> Vec<Measure> {
        vec![self.max_missed.unmeasured("missed_runs")]
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.last)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.last = from_saved(saved);
    }
}

impl Schedule {
    fn judge_set(&self, set: &Set, last: &LastBackups, now: Timestamp) -> Verdict {
        let start = SignedDuration::try_from(self.window().0).ok().and_then(|window| now.checked_sub(window).ok());
        let start = start.unwrap_or(Timestamp::MIN);
        let times: Vec<_> = set.complete().map(|(made, _)| made.min(now)).chain([now]).collect();
        if times.len() < 2 {
            return Verdict::new(Outcome::Unknown(Reason::Empty), last.absence_text(set)).with_meaning(NO_BACKUP);
        }
        let gaps = times.windows(2).filter_map(|pair| match pair {
            [from, to] if *to > start => Some((*from.max(&start), *to)),
            _ => None,
        });
        let missed: f64 = gaps.map(|(from, to)| self.missed(from, to)).sum();
        let measure = self.max_missed.measure("missed_runs", missed);
        let found = match missed {
            0.0 => "no run was missed".to_owned(),
            1.0 => "1 run was missed".to_owned(),
            n => format!("{n} runs were missed"),
        };
        let summary = format!("{found} in {}{}{}", self.window(), measure.limit_phrase(), set.newer_text());
        Verdict { summary, ..Verdict::from_measures(vec![measure]) }
            .with_samples([set.sample(&metric::BACKUP_MISSED, missed)])
    }

    /// Number of scheduled runs between two times.
    fn missed(&self, from: Timestamp, to: Timestamp) -> f64 {
        let clock = |at| self.time_zone.0.to_datetime(at);
        let gap = to.duration_since(from).min(clock(to).duration_since(clock(from))).as_secs_f64();
        let every = self.every.as_seconds();
        let tolerance = self.tolerance.map_or(every / 10.0, Period::as_seconds);
        // A run at the end of its tolerance is not missed yet.
        (((gap - tolerance) / every).ceil() - 1.0).max(0.0)
    }

    fn window(&self) -> Period {
        self.window.unwrap_or(Period(self.every.0 * 7))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::probes::backups::{
        facts::State,
        tests::{NOW, TIMING, seen, seen_at},
    };

    const HOUR: i64 = 3_600;

    fn missed(settings: serde_json::Value, hours_ago: &[i64]) -> f64 {
        let backups = hours_ago.iter().map(|ago| (NOW - ago * HOUR, State::Complete)).collect();
        let verdict = from_value::<Schedule>(settings).unwrap().judge(&seen(backups, 1));
        verdict.samples.first().map_or(f64::NAN, |sample| sample.value)
    }

    #[test]
    fn runs_are_missed_between_backups_and_up_to_now() {
        let daily = || json!({"every": "24h", "tolerance": "2h"});
        assert_eq!(missed(daily(), &[73, 49, 25, 1]), 0.0);
        assert_eq!(missed(daily(), &[75, 49, 26]), 0.0);
        assert_eq!(missed(daily(), &[73, 49, 27]), 1.0, "the last one is late by more than the tolerance");
        assert_eq!(missed(daily(), &[73, 25, 1]), 1.0, "one between two others");
        assert_eq!(missed(daily(), &[50]), 1.0, "the second may come for the rest of its tolerance");
        assert_eq!(missed(daily(), &[51]), 2.0);
        assert_eq!(missed(daily(), &[100]), 4.0);
        assert_eq!(missed(daily(), &[400, 1]), 6.0, "only what lies within the window of seven days");
        assert_eq!(missed(daily(), &[1]), 0.0, "what came before the first backup is not known");
        assert_eq!(missed(json!({"every": "1h", "tolerance": "5m", "window": "2h"}), &[9, 8, 1]), 0.0);
        assert_eq!(missed(json!({"every": "10h"}), &[21, 11]), 0.0, "a tenth is tolerated");
        assert_eq!(missed(json!({"every": "10h"}), &[22, 12]), 1.0);
        assert!(missed(daily(), &[]).is_nan());
    }

    #[test]
    fn the_summary_is_a_sentence_for_each_number() {
        let mut check: Schedule = from_value(json!({"every": "24h", "tolerance": "2h"})).unwrap();
        for (hours, summary) in [
            (1, "no run was missed in 7d, within the limit of 0"),
            (27, "1 run was missed in 7d, above the limit of 0"),
            (51, "2 runs were missed in 7d, above the limit of 0"),
        ] {
            let verdict = check.judge(&seen(vec![(NOW - hours * HOUR, State::Complete)], 1));
            assert_eq!(verdict.summary, summary);
        }
    }

    #[test]
    fn a_clock_change_makes_no_run_late() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        // Nightly at 02:30 in Berlin; on 25 October 2026 the night is an hour longer, on 29 March an hour shorter.
        let autumn = ["2026-10-23T00:30:00Z", "2026-10-24T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"];
        let spring = ["2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"];
        for nights in [autumn, spring] {
            let backups: Vec<_> = nights.map(|night| (at(night), State::Complete)).into();
            let now = backups.last().unwrap().0 + 60;
            let mut check: Schedule =
                from_value(json!({"every": "24h", "tolerance": "1m", "time_zone": "Europe/Berlin"})).unwrap();
            assert_eq!(check.judge(&seen_at(now, backups, 1)).outcome, Outcome::Pass, "{nights:?}");
        }
    }

    #[test]
    fn without_backups_nothing_can_be_told() {
        let mut check: Schedule = from_value(json!({"every": "24h"})).unwrap();
        assert_eq!(check.judge(&seen(vec![], 1)).outcome, Outcome::Unknown(Reason::Empty));
        assert!(from_value::<Schedule>(json!({"every": "24h", "window": "1h"})).unwrap().validate(&TIMING).is_err());
        assert!(from_value::<Schedule>(json!({"every": "0s"})).unwrap().validate(&TIMING).is_err());
        let limited = |most: u32| from_value::<Schedule>(json!({"every": "24h", "max_missed": most})).unwrap();
        assert!(limited(6).validate(&TIMING).is_ok());
        assert!(limited(7).validate(&TIMING).is_err(), "seven days never miss more than seven");
    }
}
