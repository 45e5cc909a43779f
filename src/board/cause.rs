//! The check whose failure explains that another check can't be judged.

use std::collections::HashMap;

use super::{CheckState, ProbeState, Snapshot, split_dependency};
use crate::{checks::health, model::words::Status};

/// A check with its probe.
pub type ProbeCheck<'a> = (&'a ProbeState, &'a CheckState);

/// The probes of a snapshot by name, for look-ups of causes. A page with ten thousand checks needs one look-up for each.
#[derive(Debug)]
pub struct CauseIndex<'a>(HashMap<&'a str, &'a ProbeState>);

impl<'a> CauseIndex<'a> {
    /// Indexes the probes of a snapshot.
    #[must_use]
    pub fn new(all: &'a Snapshot) -> Self {
        Self(all.probes.iter().map(|probe| (&*probe.info.name, &**probe)).collect())
    }

    /// Returns the check whose failure keeps another check from being judged: the failing dependency of a skipped check,
    /// or the health check of a probe whose last run failed. Returns `None` for a check that has its own explanation.
    #[must_use]
    pub fn cause_of(&self, probe: &'a ProbeState, check: &'a CheckState) -> Option<ProbeCheck<'a>> {
        match check.status {
            Status::Skipped if check.info.enabled => self.find(probe.skipped_because.as_deref()?),
            Status::Unknown if check.info.kind != health::NAME && probe.is_current => {
                let failure = probe.last.as_ref()?.failure.as_ref()?;
                // A check with its own reason, such as a missing privilege, has its own explanation.
                let reason = check.verdict.as_ref()?.outcome.reason()?;
                let cause = probe.checks.iter().find(|other| other.info.enabled && other.info.kind == health::NAME)?;
                (reason == failure.reason).then_some((probe, cause))
            }
            _ => None,
        }
    }

    /// Finds the check of a cause, which is `PROBE/CHECK`, or `PROBE` for the health check of a probe.
    fn find(&self, name: &str) -> Option<ProbeCheck<'a>> {
        let (probe, check) = split_dependency(name);
        let probe = self.0.get(probe)?;
        let found = match check {
            Some(check) => probe.checks.iter().find(|other| other.info.name == check),
            None => probe.checks.iter().find(|other| other.info.kind == health::NAME).or(probe.checks.first()),
        };
        Some((*probe, found?))
    }
}
