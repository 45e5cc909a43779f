//! Runs a probe and its checks once: applies the timeout, catches panics and redacts secrets.

use std::{borrow::Cow, collections::HashSet, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{Detail, Job, RunReport};
use crate::{
    io::{context::Context, resources::Resources},
    model::{
        check::{Check, CheckLimits},
        failure::Failure,
        metric::Sample,
        observation::{Facts, Incomplete, Observation, Timing},
        redaction::{Quoting, Redactor, RegisteredSecrets},
        text,
        verdict::Verdict,
        words::{Outcome, Reason},
    },
    probe::Probe,
};

type SharedChecks<F> = Mutex<Vec<Box<dyn Check<F>>>>;

pub(super) struct Runner<P: Probe> {
    pub(super) probe: P,
    pub(super) checks: Arc<SharedChecks<P::Facts>>,
    /// Secrets in the settings, which the target may echo.
    pub(super) configured_secrets: RegisteredSecrets,
    /// Secrets that the last run read from files.
    pub(super) file_secrets: Mutex<Vec<RegisteredSecrets>>,
    pub(super) timing: Timing,
    pub(super) shared: Arc<Resources>,
}

impl<P: Probe> Job for Runner<P> {
    fn host(&self) -> Option<&str> {
        self.probe.host()
    }

    fn limits(&self) -> Vec<CheckLimits> {
        let label = |mut sample| {
            self.probe.add_probe_labels(&mut sample);
            sample
        };
        let of = |check: &dyn Check<P::Facts>| CheckLimits {
            measures: check.limits(),
            samples: check.constant_samples().into_iter().map(label).collect(),
        };
        self.checks().iter().map(|check| of(&**check)).collect()
    }

    fn run(&self, detail: Detail) -> BoxFuture<'_, RunReport> {
        Box::pin(async move {
            let mut panics = 0;
            let observation = self.observe(&mut panics).await;
            self.report(observation, detail, panics).await
        })
    }

    fn run_if<'a>(&'a self, detail: Detail, may_judge: BoxFuture<'a, bool>) -> BoxFuture<'a, Option<RunReport>> {
        Box::pin(async move {
            let mut panics = 0;
            let observation = self.observe(&mut panics).await;
            if observation.failure.is_some() && !may_judge.await {
                return None;
            }
            Some(self.report(observation, detail, panics).await)
        })
    }

    fn save(&self) -> Vec<Option<Box<RawValue>>> {
        self.checks().iter().map(|check| check.save()).collect()
    }

    fn restore(&self, check: usize, saved: &RawValue) {
        if let Some(check) = self.checks().get_mut(check) {
            check.restore(saved);
        }
    }
}

impl<P: Probe> Runner<P> {
    /// Locks the checks while they judge or are saved, never across an await.
    fn checks(&self) -> MutexGuard<'_, Vec<Box<dyn Check<P::Facts>>>> {
        self.checks.lock()
    }

    /// Lets the checks judge an observation.
    async fn report(&self, observation: Observation<P::Facts>, detail: Detail, panics: u32) -> RunReport {
        let mut panics = panics;
        let (observation, verdicts) = self.judge_observation(observation, &mut panics).await;
        let facts = match (detail, &observation.facts) {
            (Detail::Facts, Some(facts)) => serde_json::to_value(facts).ok(),
            _ => None,
        };
        let mut report = RunReport {
            at: observation.at,
            duration: observation.duration,
            verdicts,
            samples: observation.facts.as_ref().map(Facts::samples).unwrap_or_default(),
            phases: observation.phases,
            failure: observation.failure,
            panics,
            facts,
        };
        self.quoting().sync_scope(|| report.bound_labels());
        self.with_redactor(|redactor| report.redact(redactor));
        report
    }

    fn with_redactor(&self, work: impl FnOnce(&Redactor<'_>)) {
        let read = self.file_secrets.lock();
        self.shared.registry.with_redactor(read.iter().chain([&self.configured_secrets]), work);
    }

    /// Secrets to redact before a text of the target is cut.
    fn quoting(&self) -> Quoting {
        Quoting::new(Arc::clone(&self.shared.registry))
    }

    /// Judges the observation; expensive facts are judged on a blocking thread.
    async fn judge_observation(
        &self,
        observation: Observation<P::Facts>,
        panics: &mut u32,
    ) -> (Observation<P::Facts>, Vec<Verdict>) {
        if !observation.facts.as_ref().is_some_and(Facts::is_heavy) {
            let verdicts = self.quoting().sync_scope(|| judge_all(&self.checks, &observation, panics));
            return (observation, verdicts);
        }
        let permit = Arc::clone(&self.shared.judging).acquire_owned().await;
        let checks = Arc::clone(&self.checks);
        let quoting = self.quoting();
        let work = move || {
            let _permit = permit;
            let mut panics = 0;
            let verdicts = quoting.sync_scope(|| judge_all(&checks, &observation, &mut panics));
            (observation, verdicts, panics)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((observation, verdicts, caught)) => {
                *panics += caught;
                (observation, verdicts)
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime shuts down, and the run ends with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn observe(&self, panics: &mut u32) -> Observation<P::Facts> {
        let cx = Context::new(self.timing.timeout, Arc::clone(&self.shared));
        let (at, start) = (Timestamp::now(), Instant::now());
        // A probe's future can be large. It is boxed, so that idle probes don't hold its memory.
        let run = self.quoting().scope(Box::pin(self.probe.observe(&cx)));
        let run = AssertUnwindSafe(run).catch_unwind();
        let outcome = tokio::time::timeout(self.timing.timeout, run).await;
        let elapsed = start.elapsed();
        let phases = cx.phases();
        let read = cx.take_registered_secrets();
        if !read.is_empty() {
            *self.file_secrets.lock() = read;
        }
        let outcome = match outcome {
            // Facts that arrive after the timeout count as a timeout. A final synchronous step can't be interrupted,
            // and a busy thread delays the timer.
            Ok(Ok(Ok(facts))) if elapsed > self.timing.timeout => {
                Err(Incomplete { failure: cx.timeout_failure(), facts: Some(facts) })
            }
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => {
                *panics += 1;
                Err(Failure::new(Reason::Internal, format!("the probe panicked: {}", panic_text(&*panic))).into())
            }
            Err(_) => Err(cx.timeout_failure().into()),
        };
        let (facts, failure) = match outcome {
            Ok(facts) => (Some(facts), None),
            Err(Incomplete { failure, facts }) => (facts, Some(failure)),
        };
        Observation { at, duration: elapsed, timing: self.timing, phases, facts, failure }
    }
}

impl RunReport {
    /// Bounds the labels that a target chose.
    fn bound_labels(&mut self) {
        let samples = self.samples.iter_mut().chain(self.verdicts.iter_mut().flat_map(|verdict| &mut verdict.samples));
        for label in samples.flat_map(|sample| &mut sample.labels) {
            if let Cow::Owned(text) = label {
                *text = text::bounded_name(std::mem::take(text));
            }
        }
    }

    /// Redacts every string of the report that may quote the target. All reports pass through here.
    fn redact(&mut self, redactor: &Redactor<'_>) {
        let Self { failure, samples, verdicts, facts, .. } = self;
        let details = failure.iter_mut().map(|failure| &mut failure.detail);
        let summaries = verdicts.iter_mut().map(|verdict| &mut verdict.summary);
        details.chain(summaries).for_each(|text| _ = redactor.redact(text));
        redact_labels(samples, redactor);
        for verdict in verdicts {
            redact_labels(&mut verdict.samples, redactor);
            for subject in verdict.measures.iter_mut().filter_map(|measure| measure.subject.as_mut()) {
                let mut text = std::mem::take(subject).into_string();
                redactor.redact(&mut text);
                *subject = text.into();
            }
        }
        if let Some(facts) = facts {
            redactor.redact_document(facts);
            text::make_visible(facts);
        }
    }
}

/// Redacts labels. Series that differ only in a secret become duplicates, and a target may choose names whose
/// hashes are the same. Duplicates are removed, because Prometheus rejects a page with duplicate series.
fn redact_labels(samples: &mut Vec<Sample>, redactor: &Redactor<'_>) {
    let mut is_foreign = false;
    for label in samples.iter_mut().flat_map(|sample| &mut sample.labels) {
        if let Cow::Owned(text) = label {
            redactor.redact(text);
            is_foreign = true;
        }
    }
    let mut seen = HashSet::new();
    if is_foreign && !samples.iter().all(|sample| seen.insert((sample.family.name, &sample.labels))) {
        let mut seen = HashSet::new();
        samples.retain(|sample| seen.insert((sample.family.name, sample.labels.clone())));
    }
}

fn judge_all<F: Facts>(checks: &SharedChecks<F>, observation: &Observation<F>, panics: &mut u32) -> Vec<Verdict> {
    let mut checks = checks.lock();
    checks.iter_mut().map(|check| judge(check.as_mut(), observation, panics)).collect()
}

fn judge<F: Facts>(check: &mut dyn Check<F>, observation: &Observation<F>, panics: &mut u32) -> Verdict {
    let judged = std::panic::catch_unwind(AssertUnwindSafe(|| check.judge(observation)));
    let mut verdict = judged.unwrap_or_else(|panic| {
        *panics += 1;
        Verdict::new(Outcome::Unknown(Reason::Internal), format!("the check panicked: {}", panic_text(&*panic)))
    });
    verdict.summary = text::one_line(verdict.summary);
    verdict
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied()).unwrap_or("no message")
}
