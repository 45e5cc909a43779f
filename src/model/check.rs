//! Trait `Check`: judges the facts of a run.
//!
//! A check is pure: it does no I/O and has no clock. The time of a run comes with the observation. A check may keep a
//! window of earlier runs.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    metric::Sample,
    observation::{Facts, Observation},
    verdict::Verdict,
};
use crate::model::measure::Measure;

/// A check on facts of the type `F`. The list `Kind::CHECKS` of a probe kind contains the checks on its facts.
pub trait Check<F: Facts>: Send + Sync {
    /// Judges one run. The runner passes every run to every check, including failed runs.
    fn judge(&mut self, seen: &Observation<F>) -> Verdict;

    /// Facts that this check needs and a probe fetches only on request.
    fn requested_facts(&self) -> Vec<F::Request> {
        Vec::new()
    }

    /// Configured limits as measures without a value (NaN). The generic families serve them from the first scrape.
    fn limits(&self) -> Vec<Measure> {
        Vec::new()
    }

    /// Constant samples of named families: the length of the window, and limits that have a family of their own.
    fn constant_samples(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// State that must survive a restart. It must contain no text of the target, because the state file is written
    /// without redaction: redaction of a large window takes seconds and would delay the probes.
    fn save(&self) -> Option<Box<RawValue>> {
        None
    }

    /// Restores a state that [`Check::save`] returned, perhaps long ago and in an older version of the program.
    /// Unreadable state is discarded. The check must not assume anything about the time since then.
    fn restore(&mut self, saved: &RawValue) {
        let _ = saved;
    }
}

/// Serializes a window for [`Check::save`].
#[must_use]
pub fn to_saved<T: Serialize>(window: &T) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(window).ok()
}

/// Reads a saved window; returns an empty window if the saved one is unreadable.
#[must_use]
pub fn from_saved<T: DeserializeOwned + Default>(saved: &RawValue) -> T {
    serde_json::from_str(saved.get()).unwrap_or_default()
}

/// Limits and constant samples of a check. They are exposed before the first run, too.
#[derive(Clone, Debug, Default)]
pub struct CheckLimits {
    /// See [`Check::limits`].
    pub measures: Vec<Measure>,
    /// See [`Check::constant_samples`].
    pub samples: Vec<Sample>,
}
