//! Observations: everything that one run of a probe brought back, for the checks to judge.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    failure::Failure,
    metric::Sample,
    verdict::Verdict,
    words::{Outcome, Phase, Reason},
};

/// When a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Timing {
    /// From start to start.
    pub interval: Duration,
    /// From start to start while the last run failed; never longer than `interval`.
    pub retry_interval: Duration,
    /// How long one run may take; never longer than `interval`.
    pub timeout: Duration,
}

/// Everything that one run brought back, for the checks to judge.
#[derive(Debug)]
pub struct Observation<F> {
    /// Wall-clock time of the start; the only clock that checks know.
    pub at: Timestamp,
    /// How long the run took; a run that timed out took its timeout.
    pub duration: Duration,
    /// The probe's timing.
    pub timing: Timing,
    /// Where the time went.
    pub phases: Vec<(Phase, Duration)>,
    /// What was seen. A run that failed late may have seen some of it.
    pub facts: Option<F>,
    /// Why the run failed; `None` when it worked.
    pub failure: Option<Failure>,
}

impl<F> Observation<F> {
    /// Seconds since the epoch at the start of the run.
    #[must_use]
    pub fn epoch(&self) -> f64 {
        self.at.as_duration().as_secs_f64()
    }

    /// The facts of a run that worked.
    ///
    /// # Errors
    /// The verdict of every check on a run that failed, or that brought no facts: `unknown`.
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

/// Facts of one kind: what was seen, without a verdict. Serializable for `explain`.
pub trait Facts: Serialize + Send + Sync + 'static {
    /// What a check may ask a probe to fetch for it; `()` where every run brings everything.
    type Want: Send + 'static;

    /// Samples that belong to the facts themselves rather than to a check, labelled by probe.
    fn samples(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Whether there is so much to look through that the checks judge it on a thread of its own: the thread that runs
    /// all probes and serves all clients must not be held up by what one target sends.
    fn is_heavy(&self) -> bool {
        false
    }
}

/// A run that failed, perhaps after it had seen something: an expired certificate is still a certificate.
#[derive(Debug)]
pub struct Incomplete<F> {
    /// Why.
    pub failure: Failure,
    /// What was seen before.
    pub facts: Option<F>,
}

impl<F> From<Failure> for Incomplete<F> {
    fn from(failure: Failure) -> Self {
        Self { failure, facts: None }
    }
}
