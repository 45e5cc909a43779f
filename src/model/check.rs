//! Vocabulary of judging: what a check is, what it says and what it needs to say it.
//!
//! A check is pure: facts in, verdict out. It may keep a window of what it saw, and knows no clock but the
//! observation's.

use super::{
    metric::Sample,
    observation::{Facts, Observation},
    verdict::Verdict,
};
use crate::model::measure::Measure;

/// Judges facts of the type `F`; to add one, write one file and add one line to the list of each probe kind that
/// can feed it ([`crate::kind::Kind::checks`]).
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
    fn save(&self) -> Option<serde_json::Value> {
        None
    }

    /// Takes back what [`Check::save`] gave, perhaps long ago and from an older version: what doesn't fit is
    /// dropped, and nothing is claimed about the time in between.
    fn restore(&mut self, saved: serde_json::Value) {
        let _ = saved;
    }
}

/// Everything that a check exposes before it has judged anything.
#[derive(Clone, Debug, Default)]
pub struct CheckLimits {
    /// See [`Check::limits`].
    pub measures: Vec<Measure>,
    /// See [`Check::constants`].
    pub samples: Vec<Sample>,
}
