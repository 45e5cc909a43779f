//! The state of the probes that a probe depends on.
//!
//! The last run of a dependency decides, before any threshold: thresholds delay a statement about the target, but a
//! dependent that runs during this delay would fail for the same cause.

use std::collections::{HashSet, VecDeque};

use jiff::Timestamp;

use super::{Board, BoardState, ProbeState};
use crate::{
    checks::health,
    model::{
        observation::Timing,
        words::{Origin, Status},
    },
};

/// State of the dependencies of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencyState {
    /// No dependency fails.
    Satisfied,
    /// A dependency fails.
    Failing(Cause),
    /// A dependency has not run yet.
    NotRun,
}

/// A failure that keeps dependent probes from being judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `PROBE`, or `PROBE/CHECK` if the dependency names a check.
    pub name: String,
    /// Whether the failure has passed the failure threshold, so that the cause itself is reported as failing.
    pub confirmed: bool,
}

/// A direct or indirect dependency that can run.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Name of the probe.
    pub probe: String,
    /// Whether only one check of the probe matters.
    pub is_check: bool,
    /// Timing of the probe.
    pub timing: Timing,
}

impl Board {
    /// Returns the state of the direct dependencies. A skipped dependency passes on its cause, and a disabled one is
    /// replaced by its own dependencies.
    #[must_use]
    pub fn dependency_state(&self, depends_on: &[String], now: Timestamp) -> DependencyState {
        let inner = self.lock();
        let mut result = DependencyState::Satisfied;
        let mut seen = HashSet::new();
        let mut waiting: VecDeque<&str> = depends_on.iter().map(String::as_str).collect();
        while let Some(name) = waiting.pop_front() {
            let Some((state, check)) = inner.dependency(name).filter(|_| seen.insert(name)) else { continue };
            if !state.info.enabled {
                waiting.extend(state.info.depends_on.iter().map(String::as_str));
            } else if let Some(cause) = state.cause_for_dependents(check, now) {
                let confirmed = inner.is_confirmed(&cause);
                return DependencyState::Failing(Cause { name: cause, confirmed });
            } else if !state.was_attempted() {
                result = DependencyState::NotRun;
            }
        }
        result
    }

    /// Returns the cause among all direct and indirect dependencies, or `None` if none of them fails.
    #[must_use]
    pub fn failing_dependency(&self, depends_on: &[String], now: Timestamp) -> Option<Cause> {
        let inner = self.lock();
        let cause = inner
            .all_dependencies(depends_on)
            .find_map(|(state, check)| state.cause_for_dependents(check, now).filter(|_| state.info.enabled))?;
        let confirmed = inner.is_confirmed(&cause);
        Some(Cause { name: cause, confirmed })
    }

    /// Lists all direct and indirect dependencies that are enabled.
    #[must_use]
    pub fn all_dependencies(&self, depends_on: &[String]) -> Vec<Dependency> {
        let inner = self.lock();
        let enabled = inner.all_dependencies(depends_on).filter(|(state, _)| state.info.enabled);
        let dependency = |(state, check): (&ProbeState, Option<&str>)| Dependency {
            probe: state.info.name.clone(),
            is_check: check.is_some(),
            timing: state.info.timing,
        };
        enabled.map(dependency).collect()
    }
}

impl BoardState {
    /// Finds the probe and the check of a dependency written as `PROBE` or `PROBE/CHECK`.
    fn dependency<'a>(&'a self, name: &'a str) -> Option<(&'a ProbeState, Option<&'a str>)> {
        let (probe, check) = split_dependency(name);
        let state = self.by_name.get(probe).and_then(|at| self.probes.get(*at))?;
        Some((state, check))
    }

    /// Iterates over all direct and indirect dependencies, each once, breadth first.
    fn all_dependencies<'a>(
        &'a self,
        depends_on: &'a [String],
    ) -> impl Iterator<Item = (&'a ProbeState, Option<&'a str>)> {
        let mut seen = HashSet::new();
        let mut waiting: VecDeque<&str> = depends_on.iter().map(String::as_str).collect();
        std::iter::from_fn(move || {
            while let Some(name) = waiting.pop_front() {
                if let Some(found) = self.dependency(name).filter(|_| seen.insert(name)) {
                    waiting.extend(found.0.info.depends_on.iter().map(String::as_str));
                    return Some(found);
                }
            }
            None
        })
    }

    fn is_confirmed(&self, cause: &str) -> bool {
        self.dependency(cause).is_none_or(|(state, check)| state.is_confirmed_failing(check))
    }
}

impl ProbeState {
    /// Returns the cause because of which probes that depend on this probe, or on one of its checks, can't be judged.
    fn cause_for_dependents(&self, check: Option<&str>, now: Timestamp) -> Option<String> {
        // The state of a probe that no longer runs says nothing about the present.
        if self.is_stale(now) {
            return None;
        }
        if let Some(cause) = &self.skipped_because {
            return Some(cause.clone());
        }
        let last = self.last.as_ref()?;
        let name = &self.info.name;
        // Missing credentials of this exporter say nothing about the target, so the dependents run.
        let is_of_target = |origin| origin == Origin::Target;
        let Some(check) = check else {
            return last.failure.as_ref().filter(|failure| is_of_target(failure.origin)).map(|_| name.clone());
        };
        let found = self.checks.iter().find(|state| state.info.name == check && state.info.enabled)?;
        let verdict = found.verdict.as_ref()?;
        (verdict.outcome.status() == Status::Fail && is_of_target(verdict.origin)).then(|| format!("{name}/{check}"))
    }

    /// Whether the failure is reported by the probe's own check. Without a health check nothing else would report it.
    fn is_confirmed_failing(&self, check: Option<&str>) -> bool {
        let reports = |state: &&super::CheckState| {
            state.info.enabled && check.map_or(state.info.kind == health::NAME, |check| state.info.name == check)
        };
        let mut reporting = self.checks.iter().filter(reports).peekable();
        reporting.peek().is_none() || reporting.any(|state| state.status == Status::Fail)
    }
}

/// Splits `PROBE/CHECK`; names contain no `/`.
#[must_use]
pub fn split_dependency(name: &str) -> (&str, Option<&str>) {
    name.split_once('/').map_or((name, None), |(probe, check)| (probe, Some(check)))
}
