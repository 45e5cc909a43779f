#![doc = include_str!("present.md")]

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        observation::{Observation, Timing},
        units::Period,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// Series that the metrics page must contain.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// Selectors. Each one must match at least one series.
    series: Vec<Selector>,
    /// Time without a matching series after which the check fails.
    #[serde(default = "two_minutes")]
    absent_for: Period,
    #[serde(skip)]
    absences: Vec<Absence>,
}

/// Absence of the series of a selector.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Absence {
    /// Start of the absence in milliseconds since the epoch; `None` while a series is present.
    since: Option<i64>,
    /// Whether a series was ever present.
    was_seen: bool,
}

fn two_minutes() -> Period {
    Period(std::time::Duration::from_secs(120))
}

impl CheckKind<Page> for Present {
    const NAME: &'static str = "present";
    const CATEGORY: Category = Category::Observability;
    const SEVERITY: Severity = Severity::Warning;
    const DOC: &'static str = include_str!("present.md");
    const RENAMED: &'static [(&'static str, &'static str)] = &[("max_age", "absent_for")];

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.series.is_empty() {
            return Err(Invalid::at("series", "name at least one series that must be there"));
        }
        Ok(())
    }
}

impl Check<Page> for Present {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        self.absences.resize(self.series.len(), Absence::default());
        let (mut worst, mut missing) = (Outcome::Pass, Vec::new());
        for (selector, absence) in self.series.iter().zip(&mut self.absences) {
            let is_there = selector.matching_series(&page.series).next().is_some();
            let outcome = absence.seen(is_there, seen.at, self.absent_for);
            if outcome != Outcome::Pass {
                let reason = absence_reason(page, selector).map(|reason| format!(" ({reason})")).unwrap_or_default();
                missing.push(format!("`{selector}`{reason}"));
            }
            if outcome.severity_order() > worst.severity_order() {
                worst = outcome;
            }
        }
        let (count, all) = (missing.len(), self.series.len());
        let shown: Vec<_> = missing.into_iter().take(5).collect();
        let more = if count > shown.len() { ", ..." } else { "" };
        let allowed = if matches!(worst, Outcome::Fail(_)) { "" } else { ", which may last " };
        let allowed = if allowed.is_empty() { String::new() } else { format!("{allowed}{}", self.absent_for) };
        let summary = match count {
            0 if all == 1 => "the series is present".to_owned(),
            0 => format!("all {all} series are present"),
            _ => format!("{count} of {all} missing: {}{more}{allowed}", shown.join(", ")),
        };
        Verdict::new(worst, summary).with_meaning("a required series is missing on the metrics page")
    }

    fn requested_facts(&self) -> Vec<Selector> {
        self.series.clone()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.absences)
    }

    fn restore(&mut self, saved: &RawValue) {
        let absences: Vec<Absence> = from_saved(saved);
        // State for another number of selectors can't be assigned to the selectors.
        self.absences = if absences.len() == self.series.len() { absences } else { Vec::new() };
    }
}

/// Reason for which a selector matches no current series: the timestamps of its series, or a similar name or label.
fn absence_reason(page: &Page, selector: &Selector) -> Option<String> {
    match page.untimely_series(selector).next() {
        Some(untimely) => Some(untimely.time_text()),
        None => page.mismatch(selector).map(ToString::to_string),
    }
}

impl Absence {
    fn seen(&mut self, is_there: bool, at: Timestamp, absent_for: Period) -> Outcome {
        let now = at.as_millisecond();
        if is_there {
            *self = Self { since: None, was_seen: true };
            return Outcome::Pass;
        }
        let since = self.since.filter(|since| *since <= now).unwrap_or(now);
        self.since = Some(since);
        match () {
            () if u128::from(now.abs_diff(since)) >= absent_for.0.as_millis() => Outcome::Fail(Reason::NotFound),
            () if self.was_seen => Outcome::Warn,
            () => Outcome::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::probes::metrics::fixture::{TIMING, failed, scrape, scrape_for};

    fn check() -> Present {
        from_value(json!({"series": ["a", "b{x=\"1\"}"], "absent_for": "20s"})).unwrap()
    }

    const ALL: &str = "a NaN\nb{x=\"1\"} 0\n";

    #[test]
    fn the_table_of_the_module() {
        let fail = Outcome::Fail(Reason::NotFound);
        for (case, pages, outcome) in [
            ("all there", &[(0, ALL)][..], Outcome::Pass),
            ("never seen", &[(0, "a 1\n")], Outcome::Pending),
            ("never seen for long", &[(0, "a 1\n"), (20, "a 1\n")], fail),
            ("gone", &[(0, ALL), (10, "a 1\n"), (29, "a 1\n")], Outcome::Warn),
            ("gone for long", &[(0, ALL), (10, "a 1\nb{x=\"2\"} 1\n"), (30, "a 1\n")], fail),
            ("back", &[(0, ALL), (10, "a 1\n"), (30, "a 1\n"), (40, ALL)], Outcome::Pass),
            ("gone again", &[(0, ALL), (10, "a 1\n"), (20, ALL), (30, "a 1\n")], Outcome::Warn),
            ("the clock went back", &[(100, ALL), (110, "a 1\n"), (50, "a 1\n"), (60, "a 1\n")], Outcome::Warn),
            ("nothing at all", &[(0, ""), (20, "")], fail),
        ] {
            let mut check = check();
            let last = pages.iter().map(|(at, page)| check.judge(&scrape(*at, page))).last().unwrap();
            assert_eq!(last.outcome, outcome, "{case}: {}", last.summary);
        }
        let mut check = check();
        check.judge(&scrape(0, ALL));
        assert_eq!(check.judge(&failed(30, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
        assert_eq!(check.judge(&scrape(60, "a 1\n")).outcome, Outcome::Warn, "nothing is claimed about an outage");
    }

    #[test]
    fn the_missing_series_are_named() {
        let mut check = check();
        assert_eq!(check.judge(&scrape(0, ALL)).summary, "all 2 series are present");
        let summary = check.judge(&scrape(10, "a 1\n")).summary;
        assert_eq!(summary, "1 of 2 missing: `b{x=\"1\"}`, which may last 20s");
        assert_eq!(check.judge(&scrape(30, "")).summary, "2 of 2 missing: `a`, `b{x=\"1\"}`");
    }

    #[test]
    fn absence_goes_on_after_a_restart() {
        let mut before = check();
        before.judge(&scrape(0, "a 1\n"));
        let mut after = check();
        after.restore(&before.save().unwrap());
        assert_eq!(after.judge(&scrape(20, "a 1\n")).outcome, Outcome::Fail(Reason::NotFound));
        after.restore(&to_saved(&[1]).unwrap());
        assert_eq!(after.judge(&scrape(30, "a 1\n")).outcome, Outcome::Pending);
    }

    #[test]
    fn no_series_is_refused() {
        assert!(from_value::<Present>(json!({"series": []})).unwrap().validate(&TIMING).is_err());
    }

    #[test]
    fn an_old_sample_is_absent_and_the_finding_gives_the_reason() {
        let mut check = check();
        let page = "a 1 1794000000000\nb{y=\"1\"} 1\n";
        let first = scrape_for(&check, 1_795_000_000, page);
        check.judge(&first);
        let second = scrape_for(&check, 1_795_000_020, page);
        let verdict = check.judge(&second);
        assert_eq!(verdict.outcome, Outcome::Fail(Reason::NotFound));
        let expected = "2 of 2 missing: `a` (its own time is 11d13h47m ago), \
                        `b{x=\"1\"}` (no series of that name has the label `x`; the nearest label is `y`)";
        assert_eq!(verdict.summary, expected);
    }
}
