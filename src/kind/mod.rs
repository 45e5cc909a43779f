//! Erases the type of a probe kind: the settings of every kind become a [`ProbeConfig`], and the running probe becomes
//! a [`Job`].
//!
//! In this module the facts of a probe are passed to its checks with their types. The modules above it don't know the
//! types of facts.

mod looks_back;
mod runner;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

pub use self::looks_back::LooksBack;
use self::runner::Runner;
use crate::model::redaction::SentSecrets;
use crate::{
    document::{Diagnostics, Node},
    io::resources::Resources,
    model::{
        check::{Check, CheckLimits},
        failure::{Failure, Invalid},
        measure::MeasureInfo,
        metric::Sample,
        observation::{Facts, Timing},
        privilege::Privilege,
        text,
        verdict::Verdict,
        words::{Alert, Category, Phase, Severity, WhilePending},
    },
    probe::Probe,
};

/// Registry entry of a probe kind.
pub struct KindEntry {
    /// Configuration key and value of the label `kind`.
    pub name: &'static str,
    /// Phases of a run.
    pub phases: &'static [Phase],
    /// Markdown text of the reference page.
    pub doc: &'static str,
    /// The checks of the kind.
    pub checks: fn() -> Vec<CheckDescriptor>,
    /// Reads the settings of a probe and its checks, and reports their errors.
    pub read: ReadSettings,
    /// JSON Schema of the settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// Function that reads the settings of a probe (the node below the kind's name) and of its checks.
pub type ReadSettings =
    fn(&Node, &[CheckNode<'_>], Timing, &mut Diagnostics) -> Option<(Box<dyn ProbeConfig>, EffectiveSettings)>;

/// Effective settings with defaults and without secrets, for display. They are not stored with the probe, because the
/// trees need more memory than the rest of its state.
pub struct EffectiveSettings {
    /// Settings of the probe.
    pub probe: serde_json::Value,
    /// Settings of each check, in order.
    pub checks: Vec<serde_json::Value>,
}

/// Registry entry of a check kind without the types of facts.
#[derive(Clone, Copy)]
pub struct CheckDescriptor {
    /// Name of the check kind.
    pub name: &'static str,
    /// Default category.
    pub category: Category,
    /// Default severity.
    pub severity: Severity,
    /// Default effect on the gate while the check is pending.
    pub while_pending: WhilePending,
    /// The alert that reports its failures.
    pub alert: Alert,
    /// Whether the check looks back at failed runs of its probe.
    pub looks_back: LooksBack,
    /// The measures that the check may report.
    pub measures: &'static [MeasureInfo],
    /// Markdown text of the reference page.
    pub doc: &'static str,
    /// JSON Schema of the settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A configured check without the keys common to all checks.
pub struct CheckNode<'a> {
    /// Name of the check kind; the probe kind supports it.
    pub kind: &'a str,
    /// Settings of the check; an empty map if only the name is configured.
    pub settings: &'a Node,
}

/// Validated settings of a probe and its checks.
pub trait ProbeConfig: Send + Sync {
    /// Builds the job.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    fn build(self: Box<Self>, shared: &Arc<Resources>) -> Result<Arc<dyn Job>, Invalid>;
    /// The privileges that each check needs at the target, in the order of the checks.
    fn privileges(&self) -> Vec<Vec<Privilege>>;
    /// Name of the target for the label `target`, as one bounded line; see [`Kind::target`].
    fn target(&self) -> String;
}

/// A probe with its checks, ready to run. The caller must not start a run while another one is active; saving is
/// allowed at any time.
pub trait Job: Send + Sync {
    /// Host that the probe connects to.
    fn host(&self) -> Option<&str>;
    /// Limits of each check.
    fn limits(&self) -> Vec<CheckLimits>;
    /// Runs once: observes within the timeout, then lets every check judge. Panics are caught and counted.
    fn run(&self, detail: Detail) -> BoxFuture<'_, RunReport>;
    /// Runs once like [`Job::run`]. If the run failed, the checks judge it only if `may_judge` allows it, so that a run
    /// that is not judged leaves no trace in their windows. Returns `None` for such a run.
    fn run_if<'a>(&'a self, detail: Detail, may_judge: BoxFuture<'a, bool>) -> BoxFuture<'a, Option<RunReport>> {
        Box::pin(async move {
            let report = self.run(detail).await;
            (report.failure.is_none() || may_judge.await).then_some(report)
        })
    }
    /// Returns the state of each check that should survive a restart.
    fn save(&self) -> Vec<Option<Box<serde_json::value::RawValue>>>;
    /// Restores the saved state of the check at a position.
    fn restore(&self, check: usize, saved: &serde_json::value::RawValue);
}

/// Amount of detail in a run report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Verdicts and samples, for the board.
    Verdicts,
    /// The facts in addition, for `explain`.
    Facts,
}

/// Report of one run without the types of facts.
#[derive(Debug)]
pub struct RunReport {
    /// Start time.
    pub at: Timestamp,
    /// Duration of the run.
    pub duration: Duration,
    /// Duration of each phase.
    pub phases: Vec<(Phase, Duration)>,
    /// The failure, if the run failed.
    pub failure: Option<Failure>,
    /// Samples of the facts.
    pub samples: Vec<Sample>,
    /// Verdict of each check, in order.
    pub verdicts: Vec<Verdict>,
    /// Number of caught panics.
    pub panics: u32,
    /// The facts, if requested and available.
    pub facts: Option<serde_json::Value>,
}

impl KindEntry {
    /// Creates the registry entry of a probe kind.
    #[must_use]
    pub fn new<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            phases: K::PHASES,
            doc: K::DOC,
            checks: || K::CHECKS.iter().map(|entry| entry.descriptor).collect(),
            read: read_probe::<K>,
            schema: |generator| generator.subschema_for::<K>(),
        }
    }
}

struct ValidatedSettings<K: Kind> {
    kind: K,
    checks: Vec<Box<dyn Check<FactsOf<K>>>>,
    timing: Timing,
}

fn read_probe<K: Kind>(
    settings: &Node,
    checks: &[CheckNode<'_>],
    timing: Timing,
    problems: &mut Diagnostics,
) -> Option<(Box<dyn ProbeConfig>, EffectiveSettings)> {
    // Checks are read even if the probe is invalid, so that all errors are reported at once.
    let ready: Vec<_> = checks
        .iter()
        .map(|check| {
            let entry = K::CHECKS.iter().find(|entry| entry.descriptor.name == check.kind)?;
            (entry.read)(check.settings, &timing, problems)
        })
        .collect();
    let kind: K = settings.read_renamed(K::RENAMED, problems)?;
    let requests: Vec<_> = ready.iter().flatten().flat_map(|ready| ready.check.requested_facts()).collect();
    if let Err(invalid) = kind.validate(&timing).and_then(|()| kind.validate_requests(&requests)) {
        problems.push_invalid(settings, invalid);
        return None;
    }
    let mut effective =
        EffectiveSettings { probe: serde_json::to_value(&kind).unwrap_or_default(), checks: Vec::new() };
    // Allocated at the exact size, because the checks are kept as long as the probe.
    let mut checks = Vec::with_capacity(ready.len());
    for ready in ready.into_iter().collect::<Option<Vec<_>>>()? {
        checks.push(ready.check);
        effective.checks.push(ready.effective);
    }
    Some((Box::new(ValidatedSettings { kind, checks, timing }), effective))
}

impl<K: Kind> ProbeConfig for ValidatedSettings<K> {
    fn build(self: Box<Self>, shared: &Arc<Resources>) -> Result<Arc<dyn Job>, Invalid> {
        let requests = self.checks.iter().flat_map(|check| check.requested_facts()).collect();
        let configured_secrets = shared.registry.register(self.kind.sent_secrets());
        let probe = self.kind.build(requests, shared)?;
        let (checks, file_secrets) = (Arc::new(Mutex::new(self.checks)), Mutex::default());
        Ok(Arc::new(Runner {
            probe,
            checks,
            configured_secrets,
            file_secrets,
            timing: self.timing,
            shared: Arc::clone(shared),
        }))
    }

    fn privileges(&self) -> Vec<Vec<Privilege>> {
        self.checks.iter().map(|check| K::privileges(&check.requested_facts())).collect()
    }

    fn target(&self) -> String {
        text::bounded_name(self.kind.target().unwrap_or_default())
    }
}

/// A probe kind, with its settings as fields: `http: {url: ..}` is `Http`.
///
/// The struct contains the settings; [`Kind::build`] turns them into a probe. The crate documentation describes how to
/// add a kind.
pub trait Kind: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// Configuration key, folder name and value of the label `kind`.
    const NAME: &'static str;
    /// Phases of a run in order. Their series exist from the first scrape.
    const PHASES: &'static [Phase];
    /// Text of the reference page: the Markdown file beside the source file.
    const DOC: &'static str;
    /// The checks that can judge the kind's facts, including `health`.
    const CHECKS: &'static [CheckEntry<FactsOf<Self>>];
    /// Former names of settings, each with the present name. A former name is an error that states the present one.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];
    /// Type of the running probe.
    type Probe: Probe;

    /// Validates rules that types can't express and that may depend on the timing.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let _ = timing;
        Ok(())
    }

    /// Rejects facts that checks want but these settings can't provide.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    fn validate_requests(&self, requests: &[RequestOf<Self>]) -> Result<(), Invalid> {
        let _ = requests;
        Ok(())
    }

    /// The privileges that the probe's account needs at its target to fetch these facts.
    fn privileges(requests: &[RequestOf<Self>]) -> Vec<Privilege> {
        let _ = requests;
        Vec::new()
    }

    /// The target in alerts: a host with its port, a socket, or the pattern of the files. It contains no user, password,
    /// path of a URL or query. `None` if the settings do not contain it.
    fn target(&self) -> Option<String> {
        None
    }

    /// Returns the secrets in the settings that a run sends to its target. They are redacted in every text that quotes
    /// the target. Secrets from files are registered with `Context::register_secrets` when they are read.
    fn sent_secrets(&self) -> SentSecrets {
        SentSecrets::default()
    }

    /// Builds the probe. `requests` lists the facts that the checks need, so that the probe collects no others.
    ///
    /// Files that may rotate (keys, passwords, CA bundles) are read at each use, not here.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    fn build(self, requests: Vec<RequestOf<Self>>, shared: &Arc<Resources>) -> Result<Self::Probe, Invalid>;
}

/// Facts of a probe kind.
pub type FactsOf<K> = <<K as Kind>::Probe as Probe>::Facts;

/// Type of the facts that checks can request from a probe kind.
pub type RequestOf<K> = <FactsOf<K> as Facts>::Request;

/// A check kind, with its settings as fields.
pub trait CheckKind<F: Facts>: Check<F> + DeserializeOwned + Serialize + JsonSchema + 'static {
    /// Configuration key, file name and value of the label `kind`.
    const NAME: &'static str;
    /// Default category.
    const CATEGORY: Category;
    /// Default severity.
    const SEVERITY: Severity;
    /// The alert that reports its failures.
    const ALERT: Alert = Alert::CheckFailing;
    /// Default effect on the gate while the check is pending. `Passes` suits checks that may wait for observations for
    /// long after a first start: for a minimum number of samples, or for another backup.
    const WHILE_PENDING: WhilePending = WhilePending::Blocks;
    /// Whether the check looks back at failed runs of its probe.
    const LOOKS_BACK: LooksBack = LooksBack::Never;
    /// Complete list of the measures that the check may report.
    const MEASURES: &'static [MeasureInfo] = &[];
    /// Text of the reference page: the Markdown file beside the source file.
    const DOC: &'static str;
    /// Former names of settings, each with the present name. A former name is an error that states the present one.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];

    /// Validates rules that types can't express and that may depend on the probe's timing.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let _ = timing;
        Ok(())
    }
}

/// Registry entry of a check kind for a type of facts. Error messages and the schema are derived from it.
pub struct CheckEntry<F: Facts> {
    /// The part of the entry without the types of facts.
    pub descriptor: CheckDescriptor,
    /// Reads the settings and reports their errors.
    pub read: fn(&Node, &Timing, &mut Diagnostics) -> Option<ParsedCheck<F>>,
}

/// A check with valid settings.
pub struct ParsedCheck<F: Facts> {
    /// The check.
    pub check: Box<dyn Check<F>>,
    /// Effective settings with defaults and without secrets, for `/config`.
    pub effective: serde_json::Value,
}

impl<F: Facts> CheckEntry<F> {
    /// Creates the registry entry of a check kind.
    #[must_use]
    pub const fn new<K: CheckKind<F>>() -> Self {
        Self {
            descriptor: CheckDescriptor {
                name: K::NAME,
                category: K::CATEGORY,
                severity: K::SEVERITY,
                while_pending: K::WHILE_PENDING,
                alert: K::ALERT,
                looks_back: K::LOOKS_BACK,
                measures: K::MEASURES,
                doc: K::DOC,
                schema: |generator| generator.subschema_for::<K>(),
            },
            read: |node, timing, problems| {
                let check: K = node.read_renamed(K::RENAMED, problems)?;
                if let Err(invalid) = check.validate(timing) {
                    problems.push_invalid(node, invalid);
                    return None;
                }
                let effective = serde_json::to_value(&check).unwrap_or_default();
                Some(ParsedCheck { check: Box::new(check), effective })
            },
        }
    }
}

#[cfg(test)]
mod tests;
