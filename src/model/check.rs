//! Vocabulary of judging: what a check is, what it says and what it needs to say it.
//!
//! A check is pure: facts in, verdict out. It may keep a window of what it saw, and knows no clock but the
//! observation's.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    metric::Sample,
    observation::{Facts, Observation},
    verdict::Verdict,
};
use crate::model::measure::Measure;

/// Judges facts of the type `F`; to add one, write one file and add one line to the list of each probe kind that
/// can feed it (`Kind::CHECKS`).
pub trait Check<F: Facts>: Send + Sync {
    /// The verdict on one run. Every run is shown to every check, failed runs too.
    fn judge(&mut self, seen: &Observation<F>) -> Verdict;

    /// What the probe must bring for this check, beyond what it brings anyway.
    fn wants(&self) -> Vec<F::Want> {
        Vec::new()
    }

    /// The limits as measures without a value (NaN): the generic families serve them from the first scrape.
    fn limits(&self) -> Vec<Measure> {
        Vec::new()
    }

    /// Samples of named families that never change: limits that have a family of their own, windows.
    fn constants(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// What must survive a restart, if anything. It contains no text of the target: it is written without redaction,
    /// which takes seconds for a large window and would hold up the probes.
    fn save(&self) -> Option<Box<RawValue>> {
        None
    }

    /// Takes back what [`Check::save`] gave, perhaps long ago and from an older version: what doesn't fit is
    /// dropped, and nothing is claimed about the time in between.
    fn restore(&mut self, saved: &RawValue) {
        let _ = saved;
    }
}

/// A window as [`Check::save`] returns it.
#[must_use]
pub fn to_saved<T: Serialize>(window: &T) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(window).ok()
}

/// A saved window, or an empty one if the saved one can't be read.
#[must_use]
pub fn from_saved<T: DeserializeOwned + Default>(saved: &RawValue) -> T {
    serde_json::from_str(saved.get()).unwrap_or_default()
}

/// Everything that a check exposes before it has judged anything.
#[derive(Clone, Debug, Default)]
pub struct CheckLimits {
    /// See [`Check::limits`].
    pub measures: Vec<Measure>,
    /// See [`Check::constants`].
    pub samples: Vec<Sample>,
}
