//! Observations: the results of one run of a probe.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    failure::Failure,
    measure::{Measure, MeasureInfo},
    metric::Sample,
    verdict::Verdict,
    words::{Outcome, Phase, Reason},
};

/// Timing of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Timing {
    /// Time between the starts of two runs.
    pub interval: Duration,
    /// Time between the starts of two runs after a failed run; never longer than `interval`.
    pub retry_interval: Duration,
    /// Maximum duration of a run; never longer than `interval`.
    pub timeout: Duration,
}

/// Results of one run.
#[derive(Debug)]
pub struct Observation<F> {
    /// Start of the run in wall-clock time. Checks have no other clock.
    pub at: Timestamp,
    /// Duration of the run. The duration of a run that timed out is the timeout.
    pub duration: Duration,
    /// The probe's timing.
    pub timing: Timing,
    /// Duration of each phase.
    pub phases: Vec<(Phase, Duration)>,
    /// Facts. A run that failed late may have collected a part of them.
    pub facts: Option<F>,
    /// Cause of a failed run; `None` for a successful run.
    pub failure: Option<Failure>,
}

impl<F> Observation<F> {
    /// Start of the run in seconds since the epoch.
    #[must_use]
    pub fn epoch_seconds(&self) -> f64 {
        self.at.as_duration().as_secs_f64()
    }

    /// Facts of a successful run.
    ///
    /// # Errors
    /// The verdict `unknown`, for a failed run and for a run without facts.
    pub fn facts_or_verdict(&self) -> Result<&F, Verdict> {
        match (&self.failure, &self.facts) {
            (Some(failure), _) => Err(Verdict::not_measured(failure)),
            (None, Some(facts)) => Ok(facts),
            (None, None) => {
                Err(Verdict::new(Outcome::Unknown(Reason::Internal), "a run that worked has brought no facts"))
            }
        }
    }
}

/// Facts of a probe kind, without judgement. `explain` serializes them.
pub trait Facts: Serialize + Send + Sync + 'static {
    /// Facts that a check can request; `()` if every run collects all facts.
    type Request: Send + 'static;

    /// The measures that [`Facts::answer`] may report: a closed list.
    const ANSWER: &'static [MeasureInfo] = &[];

    /// Codes of the target's answer with the expected codes, such as the HTTP status. The check `health` reports them,
    /// so that an alert can state both.
    fn answer(&self) -> Vec<Measure> {
        Vec::new()
    }

    /// Samples of the facts themselves, labelled by probe and not by check.
    fn samples(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Whether the checks judge these facts on a separate thread, because the amount of data would block the thread
    /// that runs all probes.
    fn is_heavy(&self) -> bool {
        false
    }
}

/// A failed run with the facts that it had collected before, such as an expired certificate.
#[derive(Debug)]
pub struct Incomplete<F> {
    /// Cause of the failure.
    pub failure: Failure,
    /// Facts from the time before the failure.
    pub facts: Option<F>,
}

impl<F> From<Failure> for Incomplete<F> {
    fn from(failure: Failure) -> Self {
        Self { failure, facts: None }
    }
}
