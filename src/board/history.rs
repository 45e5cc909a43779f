//! The history of a check for its page: values of its measures in the recent runs, and changes of its status.
//!
//! Both are bounded: a check costs about 240 bytes for each measure that it reports.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;

use super::MAX_RECENT_RUNS;
use crate::model::{measure::Measure, words::Status};

/// Number of status changes kept for each check.
pub const MAX_STATUS_CHANGES: usize = 20;

/// Number of measures whose values are kept for each check.
pub const MAX_VALUE_SERIES: usize = 4;

/// Longest finding of a past change, in characters.
const MAX_FINDING_CHARS: usize = 300;

/// A past change of the status of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastChange {
    /// Time of the change.
    pub at: Timestamp,
    /// Status before the change.
    pub from: Status,
    /// Status after the change.
    pub to: Status,
    /// Finding of the run that changed the status.
    pub finding: Arc<str>,
}

impl PastChange {
    /// Creates an entry; a long finding is cut.
    #[must_use]
    pub fn new(at: Timestamp, from: Status, to: Status, finding: &str) -> Self {
        let finding: String = finding.chars().take(MAX_FINDING_CHARS).collect();
        Self { at, from, to, finding: finding.into() }
    }
}

/// The latest status changes, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeHistory(VecDeque<PastChange>);

impl ChangeHistory {
    pub(super) fn push(&mut self, change: PastChange) {
        if self.0.len() == MAX_STATUS_CHANGES {
            self.0.pop_front();
        }
        self.0.push_back(change);
    }

    /// Iterates over the changes, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PastChange> {
        self.0.iter()
    }
}

impl FromIterator<PastChange> for ChangeHistory {
    fn from_iter<I: IntoIterator<Item = PastChange>>(changes: I) -> Self {
        let mut history = Self::default();
        changes.into_iter().for_each(|change| history.push(change));
        history
    }
}

/// Values of one measure in the recent runs of a check, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueSeries {
    /// Name of the measure.
    pub name: String,
    /// Subject of the measure, such as a pool.
    pub subject: Option<Box<str>>,
    /// One value for each recent run, in single precision; NaN for a run without a value.
    pub values: VecDeque<f32>,
}

impl ValueSeries {
    /// Whether the series contains the values of a measure.
    #[must_use]
    pub fn is_of(&self, measure: &Measure) -> bool {
        self.name == measure.name && self.subject == measure.subject
    }
}

/// Values of the measures of a check in its recent runs. Every series has one value for each recent run.
#[derive(Debug, Clone, Default)]
pub struct ValueHistory(Vec<ValueSeries>);

impl ValueHistory {
    /// Adds the measures of a run. `runs` is the number of recent runs, including this one.
    pub(super) fn record(&mut self, measures: &[Measure], runs: usize) {
        for series in &mut self.0 {
            let value = measures.iter().find(|measure| series.is_of(measure)).map_or(f64::NAN, |measure| measure.value);
            push_value(&mut series.values, value, runs);
        }
        self.0.retain(|series| series.values.iter().any(|value| !value.is_nan()));
        for measure in measures {
            if self.0.len() >= MAX_VALUE_SERIES {
                return;
            }
            if measure.value.is_nan() || self.0.iter().any(|series| series.is_of(measure)) {
                continue;
            }
            // Allocated at full size: a buffer that grows would fragment the heap.
            let mut values = VecDeque::with_capacity(MAX_RECENT_RUNS);
            values.extend(std::iter::repeat_n(f32::NAN, runs.saturating_sub(1)));
            push_value(&mut values, measure.value, runs);
            self.0.push(ValueSeries { name: measure.name.to_owned(), subject: measure.subject.clone(), values });
        }
    }

    /// Iterates over the series.
    pub fn iter(&self) -> impl Iterator<Item = &ValueSeries> {
        self.0.iter()
    }

    /// Restores the series from before a restart; a series with another number of values than `runs` is dropped.
    #[must_use]
    pub fn restored(series: impl IntoIterator<Item = ValueSeries>, runs: usize) -> Self {
        Self(series.into_iter().filter(|series| series.values.len() == runs).take(MAX_VALUE_SERIES).collect())
    }
}

/// Adds a value to a series and removes the values of runs that are no longer recent.
fn push_value(values: &mut VecDeque<f32>, value: f64, runs: usize) {
    #[expect(clippy::cast_possible_truncation, reason = "a chart needs no more than single precision")]
    values.push_back(value as f32);
    while values.len() > runs {
        values.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit::Max;

    fn measure(name: &'static str, value: f64) -> Measure {
        Max::<f64>::two_steps(5.0, 10.0).unwrap().measure(name, value)
    }

    #[test]
    fn every_series_has_one_value_for_each_recent_run() {
        let mut history = ValueHistory::default();
        history.record(&[measure("a", 1.0)], 1);
        history.record(&[], 2);
        history.record(&[measure("a", 3.0), measure("b", 4.0)], 3);
        let values =
            |at: usize| history.0[at].values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!((values(0), values(1)), ("1 NaN 3".to_owned(), "NaN NaN 4".to_owned()));
        for _ in 0..100 {
            history.record(&[measure("b", 5.0)], MAX_RECENT_RUNS);
        }
        assert_eq!(history.iter().map(|series| &*series.name).collect::<Vec<_>>(), ["b"], "a was not seen for long");
        assert_eq!(history.0[0].values.len(), MAX_RECENT_RUNS);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let mut history = ValueHistory::default();
        let measures: Vec<_> = (0..100).map(|n| measure("a", 1.0).with_subject(n.to_string())).collect();
        history.record(&measures, 1);
        assert_eq!(history.iter().count(), MAX_VALUE_SERIES);
    }

    #[test]
    fn the_latest_changes_are_kept_with_findings_of_bounded_length() {
        let change = |n: i64| {
            let at = Timestamp::from_second(n).unwrap();
            PastChange::new(at, Status::Pass, Status::Fail, &"x".repeat(1_000))
        };
        let history: ChangeHistory = (0..50).map(change).collect();
        assert_eq!(history.iter().count(), MAX_STATUS_CHANGES);
        assert_eq!(history.iter().next_back().map(|change| change.at.as_second()), Some(49));
        assert!(history.iter().all(|change| change.finding.len() == MAX_FINDING_CHARS));
    }
}
