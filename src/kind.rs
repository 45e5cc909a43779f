//! Forgets which kind a probe is: settings of every kind become [`Written`], and what runs becomes a [`Job`].
//!
//! Here a probe's facts meet its checks, typed for the last time: above this module nobody knows the facts.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use schemars::{Schema, SchemaGenerator};
use tokio::time::Instant;

use crate::{
    check::{Category, Check, Offer, Outcome, Severity, Verdict},
    family::Sample,
    node::{Node, Problems},
    probe::{Broken, Context, Facts, FactsOf, Failure, Invalid, Kind, Observation, Phase, Probe, Reason, Timing},
    secret::{Held, Redactor},
    shared::Shared,
};

/// A probe kind in the list of all kinds.
pub struct Entry {
    /// Configuration key and value of the label `kind`.
    pub name: &'static str,
    /// The phases of its runs.
    pub phases: &'static [Phase],
    /// The checks that it can feed.
    pub offers: fn() -> Vec<Offered>,
    /// Reads its settings and those of its checks; what is wrong goes to the list of problems.
    pub read: Read,
    /// The JSON Schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// Reads the settings of a probe (the node below its kind's name) and of its checks.
pub type Read = fn(&Node, &[CheckNode<'_>], Timing, &mut Problems) -> Option<(Box<dyn Written>, Effect)>;

/// What settings come to, with every default filled in and secrets hidden: to be shown. Trees like these are larger
/// than all that is kept of a probe.
pub struct Effect {
    /// The probe's settings.
    pub probe: serde_json::Value,
    /// Those of each check, in their order.
    pub checks: Vec<serde_json::Value>,
}

/// A check that a kind can feed, its facts forgotten.
pub struct Offered {
    /// The check kind's name.
    pub name: &'static str,
    /// Its default category.
    pub category: Category,
    /// Its default severity.
    pub severity: Severity,
    /// The JSON Schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// One check as the configuration has it, without the keys that every check takes.
pub struct CheckNode<'a> {
    /// Name of the check kind; known to be among the kind's offers.
    pub kind: &'a str,
    /// Its settings: an empty map where only the name was written.
    pub settings: &'a Node,
}

/// Settings of a probe and its checks that hold together.
pub trait Written: Send + Sync {
    /// Makes what runs.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn acquire(self: Box<Self>, shared: &Arc<Shared>) -> Result<Arc<dyn Job>, Invalid>;
}

/// A probe and its checks, ready to run. Whoever runs it sees to it that no run overlaps another; saving may
/// happen at any time.
pub trait Job: Send + Sync {
    /// The host that it talks to.
    fn host(&self) -> Option<&str>;
    /// The limits of each check as samples.
    fn limits(&self) -> Vec<Vec<Sample>>;
    /// One run: observe within the timeout, then let every check judge. Panics are caught and counted.
    fn run(&self, detail: Detail) -> BoxFuture<'_, Report>;
    /// What each check wants to survive a restart.
    fn save(&self) -> Vec<Option<serde_json::Value>>;
    /// Hands back to a check, by its position, what it had saved.
    fn restore(&self, check: usize, saved: serde_json::Value);
}

/// How much of a run is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What the board needs.
    Verdicts,
    /// The facts too, for `explain`.
    Facts,
}

/// One run, its facts forgotten.
#[derive(Debug)]
pub struct Report {
    /// Wall-clock time of the start.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Where the time went.
    pub phases: Vec<(Phase, Duration)>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Samples of the facts themselves.
    pub samples: Vec<Sample>,
    /// What each check says, in their order.
    pub verdicts: Vec<Verdict>,
    /// Panics caught on the way.
    pub panics: u32,
    /// The facts, if asked for and if there are any.
    pub facts: Option<serde_json::Value>,
}

impl Entry {
    /// The list entry of a probe kind.
    #[must_use]
    pub fn of<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            phases: K::PHASES,
            offers: || {
                let forget = |offer: Offer<FactsOf<K>>| Offered {
                    name: offer.name,
                    category: offer.category,
                    severity: offer.severity,
                    schema: offer.schema,
                };
                K::checks().into_iter().map(forget).collect()
            },
            read: read::<K>,
            schema: |generator| generator.subschema_for::<K>(),
        }
    }
}

struct Settings<K: Kind> {
    kind: K,
    checks: Vec<Box<dyn Check<FactsOf<K>>>>,
    timing: Timing,
}

fn read<K: Kind>(
    settings: &Node,
    checks: &[CheckNode<'_>],
    timing: Timing,
    problems: &mut Problems,
) -> Option<(Box<dyn Written>, Effect)> {
    let offers = K::checks();
    // Checks are read even when the probe is broken: all that is wrong is listed at once.
    let ready: Vec<_> = checks
        .iter()
        .map(|check| {
            let offer = offers.iter().find(|offer| offer.name == check.kind)?;
            (offer.read)(check.settings, &timing, problems)
        })
        .collect();
    let kind: K = settings.read(problems)?;
    let wants: Vec<_> = ready.iter().flatten().flat_map(|ready| ready.check.wants()).collect();
    if let Err(invalid) = kind.validate(&timing).and_then(|()| kind.validate_wants(&wants)) {
        problems.invalid(settings, invalid);
        return None;
    }
    let mut effect = Effect { probe: serde_json::to_value(&kind).unwrap_or_default(), checks: Vec::new() };
    // Of the right size: these are kept as long as the probe.
    let mut checks = Vec::with_capacity(ready.len());
    for ready in ready.into_iter().collect::<Option<Vec<_>>>()? {
        checks.push(ready.check);
        effect.checks.push(ready.effective);
    }
    Some((Box::new(Settings { kind, checks, timing }), effect))
}

impl<K: Kind> Written for Settings<K> {
    fn acquire(self: Box<Self>, shared: &Arc<Shared>) -> Result<Arc<dyn Job>, Invalid> {
        let wants = self.checks.iter().flat_map(|check| check.wants()).collect();
        let written = shared.registry.hold(self.kind.hidden());
        let probe = self.kind.acquire(wants, shared)?;
        let (checks, read) = (Arc::new(Mutex::new(self.checks)), Mutex::default());
        Ok(Arc::new(Watch { probe, checks, written, read, timing: self.timing, shared: Arc::clone(shared) }))
    }
}

type Checks<F> = Mutex<Vec<Box<dyn Check<F>>>>;

struct Watch<P: Probe> {
    probe: P,
    checks: Arc<Checks<P::Facts>>,
    /// Secrets of the settings, which the target may say back.
    written: Held,
    /// Those that were last read from files.
    read: Mutex<Vec<Held>>,
    timing: Timing,
    shared: Arc<Shared>,
}

impl<P: Probe> Job for Watch<P> {
    fn host(&self) -> Option<&str> {
        self.probe.host()
    }

    fn limits(&self) -> Vec<Vec<Sample>> {
        let label = |mut limit| {
            self.probe.label_limit(&mut limit);
            limit
        };
        self.checks().iter().map(|check| check.limits().into_iter().map(label).collect()).collect()
    }

    fn run(&self, detail: Detail) -> BoxFuture<'_, Report> {
        Box::pin(async move {
            let mut panics = 0;
            let seen = self.observe(&mut panics).await;
            let (seen, verdicts) = self.judged(seen, &mut panics).await;
            let facts = match (detail, &seen.facts) {
                (Detail::Facts, Some(facts)) => serde_json::to_value(facts).ok(),
                _ => None,
            };
            let mut report = Report {
                at: seen.at,
                duration: seen.duration,
                verdicts,
                samples: seen.facts.as_ref().map(Facts::samples).unwrap_or_default(),
                phases: seen.phases,
                failure: seen.failure,
                panics,
                facts,
            };
            self.redact(|redactor| report.hide(redactor));
            report
        })
    }

    fn save(&self) -> Vec<Option<serde_json::Value>> {
        let mut saved: Vec<_> = self.checks().iter().map(|check| check.save()).collect();
        // A window may be kept by labels that the target chose.
        self.redact(|redactor| saved.iter_mut().flatten().for_each(|window| redactor.hide_all(window)));
        saved
    }

    fn restore(&self, check: usize, saved: serde_json::Value) {
        if let Some(check) = self.checks().get_mut(check) {
            check.restore(saved);
        }
    }
}

impl<P: Probe> Watch<P> {
    /// The lock is held while the checks judge or are saved, never across an await.
    fn checks(&self) -> MutexGuard<'_, Vec<Box<dyn Check<P::Facts>>>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn redact(&self, work: impl FnOnce(&Redactor<'_>)) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.registry.redact(read.iter().chain([&self.written]), work);
    }

    /// The verdicts; heavy facts are judged on another thread.
    async fn judged(&self, seen: Observation<P::Facts>, panics: &mut u32) -> (Observation<P::Facts>, Vec<Verdict>) {
        if !seen.facts.as_ref().is_some_and(Facts::is_heavy) {
            let verdicts = judge_all(&self.checks, &seen, panics);
            return (seen, verdicts);
        }
        let permit = Arc::clone(&self.shared.judging).acquire_owned().await;
        let checks = Arc::clone(&self.checks);
        let work = move || {
            let _permit = permit;
            let mut panics = 0;
            let verdicts = judge_all(&checks, &seen, &mut panics);
            (seen, verdicts, panics)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((seen, verdicts, caught)) => {
                *panics += caught;
                (seen, verdicts)
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime shuts down, and this run ends with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn observe(&self, panics: &mut u32) -> Observation<P::Facts> {
        let cx = Context::new(self.timing.timeout, Arc::clone(&self.shared));
        let (at, start) = (Timestamp::now(), Instant::now());
        // The future of a probe can be large and is only needed while it runs: boxed, so that ten thousand idle
        // probes don't hold it.
        let run = AssertUnwindSafe(Box::pin(self.probe.observe(&cx))).catch_unwind();
        let outcome = tokio::time::timeout(self.timing.timeout, run).await;
        let elapsed = start.elapsed();
        let phases = cx.phases();
        let read = cx.take_held();
        if !read.is_empty() {
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
        }
        let outcome = match outcome {
            // Brought back when time was up: what is looked at last isn't cut short, nor is one that a busy thread held up.
            Ok(Ok(Ok(facts))) if elapsed > self.timing.timeout => {
                Err(Broken { failure: timed_out(self.timing.timeout, &phases), facts: Some(facts) })
            }
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => {
                *panics += 1;
                Err(Failure::new(Reason::Internal, format!("the probe panicked: {}", panic_text(&*panic))).into())
            }
            Err(_) => Err(timed_out(self.timing.timeout, &phases).into()),
        };
        let (facts, failure) = match outcome {
            Ok(facts) => (Some(facts), None),
            Err(Broken { failure, facts }) => (facts, Some(failure)),
        };
        Observation { at, duration: elapsed, timing: self.timing, phases, facts, failure }
    }
}

impl Report {
    /// The one place that everything passes in which a target is quoted.
    fn hide(&mut self, redactor: &Redactor<'_>) {
        let Self { failure, samples, verdicts, facts, .. } = self;
        let details = failure.iter_mut().map(|failure| &mut failure.detail);
        let summaries = verdicts.iter_mut().map(|verdict| &mut verdict.summary);
        details.chain(summaries).for_each(|text| _ = redactor.hide(text));
        hide_labels(samples, redactor);
        for verdict in verdicts {
            hide_labels(&mut verdict.samples, redactor);
            let hidden =
                verdict.measures.iter_mut().filter_map(|it| redactor.hide_in(&mut it.name).then_some(())).count();
            if hidden > 0 {
                let mut seen = HashSet::new();
                verdict.measures.retain(|measure| seen.insert(measure.name.clone()));
            }
        }
        facts.iter_mut().for_each(|facts| redactor.hide_all(facts));
    }
}

/// Series that differ only in a secret become one: Prometheus refuses a whole page with two of the same name and
/// labels.
fn hide_labels(samples: &mut Vec<Sample>, redactor: &Redactor<'_>) {
    let labels = samples.iter_mut().flat_map(|sample| &mut sample.labels);
    let hidden = labels.filter_map(|label| redactor.hide_in(label).then_some(())).count();
    if hidden > 0 {
        let mut seen = HashSet::new();
        samples.retain(|sample| seen.insert((sample.family.name, sample.labels.clone())));
    }
}

fn timed_out(timeout: Duration, phases: &[(Phase, Duration)]) -> Failure {
    let during = match phases.last() {
        Some((phase, _)) => format!(" (in phase {phase})"),
        None => " (before its first phase: files with secrets or certificates are read then)".to_owned(),
    };
    Failure::new(Reason::Timeout, format!("not done within {}{during}", crate::units::Period(timeout)))
}

fn judge_all<F: Facts>(checks: &Checks<F>, seen: &Observation<F>, panics: &mut u32) -> Vec<Verdict> {
    let mut checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
    checks.iter_mut().map(|check| judge(check.as_mut(), seen, panics)).collect()
}

fn judge<F: Facts>(check: &mut dyn Check<F>, seen: &Observation<F>, panics: &mut u32) -> Verdict {
    std::panic::catch_unwind(AssertUnwindSafe(|| check.judge(seen))).unwrap_or_else(|panic| {
        *panics += 1;
        Verdict::new(Outcome::Unknown(Reason::Internal), format!("the check panicked: {}", panic_text(&*panic)))
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
