//! Forgets which kind a probe is: settings of every kind become [`ProbeConfig`], and what runs becomes a [`Job`].
//!
//! Here a probe's facts meet its checks, typed for the last time: above this module nobody knows the facts.

mod runner;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

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
        verdict::Verdict,
        words::{Alert, Category, Phase, Severity},
    },
    probe::Probe,
};

/// A probe kind in the list of all kinds.
pub struct KindEntry {
    /// Configuration key and value of the label `kind`.
    pub name: &'static str,
    /// The phases of its runs.
    pub phases: &'static [Phase],
    /// The Markdown text of its reference page.
    pub doc: &'static str,
    /// The checks that it can feed.
    pub checks: fn() -> Vec<CheckDescriptor>,
    /// Reads its settings and those of its checks; what is wrong goes to the list of problems.
    pub read: ReadSettings,
    /// The JSON Schema of its settings.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// Reads the settings of a probe (the node below its kind's name) and of its checks.
pub type ReadSettings =
    fn(&Node, &[CheckNode<'_>], Timing, &mut Diagnostics) -> Option<(Box<dyn ProbeConfig>, EffectiveSettings)>;

/// What settings come to, with every default filled in and secrets hidden: to be shown. Trees like these are larger
/// than all that is kept of a probe.
pub struct EffectiveSettings {
    /// The probe's settings.
    pub probe: serde_json::Value,
    /// Those of each check, in their order.
    pub checks: Vec<serde_json::Value>,
}

/// A check that a kind can feed: the part of its entry that knows no facts.
#[derive(Clone, Copy)]
pub struct CheckDescriptor {
    /// The check kind's name.
    pub name: &'static str,
    /// Its default category.
    pub category: Category,
    /// Its default severity.
    pub severity: Severity,
    /// The alert that reports its failures.
    pub alert: Alert,
    /// The measures that it may report.
    pub measures: &'static [MeasureInfo],
    /// The Markdown text of its reference page.
    pub doc: &'static str,
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
pub trait ProbeConfig: Send + Sync {
    /// Makes what runs.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn build(self: Box<Self>, shared: &Arc<Resources>) -> Result<Arc<dyn Job>, Invalid>;
}

/// A probe and its checks, ready to run. Whoever runs it sees to it that no run overlaps another; saving may
/// happen at any time.
pub trait Job: Send + Sync {
    /// The host that it talks to.
    fn host(&self) -> Option<&str>;
    /// The limits of each check.
    fn limits(&self) -> Vec<CheckLimits>;
    /// One run: observe within the timeout, then let every check judge. Panics are caught and counted.
    fn run(&self, detail: Detail) -> BoxFuture<'_, RunReport>;
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
pub struct RunReport {
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

impl KindEntry {
    /// The list entry of a probe kind.
    #[must_use]
    pub fn of<K: Kind>() -> Self {
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
    // Checks are read even when the probe is broken: all that is wrong is listed at once.
    let ready: Vec<_> = checks
        .iter()
        .map(|check| {
            let entry = K::CHECKS.iter().find(|entry| entry.descriptor.name == check.kind)?;
            (entry.read)(check.settings, &timing, problems)
        })
        .collect();
    let kind: K = settings.read_renamed(K::RENAMED, problems)?;
    let wants: Vec<_> = ready.iter().flatten().flat_map(|ready| ready.check.wants()).collect();
    if let Err(invalid) = kind.validate(&timing).and_then(|()| kind.validate_wants(&wants)) {
        problems.push_invalid(settings, invalid);
        return None;
    }
    let mut effective =
        EffectiveSettings { probe: serde_json::to_value(&kind).unwrap_or_default(), checks: Vec::new() };
    // Of the right size: these are kept as long as the probe.
    let mut checks = Vec::with_capacity(ready.len());
    for ready in ready.into_iter().collect::<Option<Vec<_>>>()? {
        checks.push(ready.check);
        effective.checks.push(ready.effective);
    }
    Some((Box::new(ValidatedSettings { kind, checks, timing }), effective))
}

impl<K: Kind> ProbeConfig for ValidatedSettings<K> {
    fn build(self: Box<Self>, shared: &Arc<Resources>) -> Result<Arc<dyn Job>, Invalid> {
        let wants = self.checks.iter().flat_map(|check| check.wants()).collect();
        let configured_secrets = shared.registry.hold(self.kind.sent_secrets());
        let probe = self.kind.build(wants, shared)?;
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
}

/// A kind of probe as it stands in the configuration: `http: {url: ..}` is `Http`, a [`Kind`].
///
/// The struct is what was written; [`Kind::acquire`] turns it into what runs. To add a kind, write one file under
/// `probes/` and add one line to `probes.rs`.
pub trait Kind: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// Configuration key, file name and value of the label `kind`.
    const NAME: &'static str;
    /// The phases of a run in their order, so that their series exist from the first scrape.
    const PHASES: &'static [Phase];
    /// The text of its reference page: the Markdown file beside its source.
    const DOC: &'static str;
    /// Every check that these facts can feed; `health` is among them.
    const CHECKS: &'static [CheckEntry<FactsOf<Self>>];
    /// Former names of settings, each with the present name. A former name is an error that states the present one.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];
    /// What runs.
    type Probe: Probe;

    /// Rules that a type alone can't hold, and that may depend on the timing.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let _ = timing;
        Ok(())
    }

    /// Refuses what its checks want and these settings can never bring.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn validate_wants(&self, wants: &[WantOf<Self>]) -> Result<(), Invalid> {
        let _ = wants;
        Ok(())
    }

    /// The secrets among the settings that a run tells its target: nothing that quotes the target shows them. Those in
    /// files are told to [`Context::hide`] when they are read.
    fn sent_secrets(&self) -> SentSecrets {
        SentSecrets::default()
    }

    /// Makes the probe. `wants` is what its checks ask of the facts, so that nothing is fetched in vain.
    ///
    /// Files that may rotate (keys, passwords, CA bundles) are read at use, not here.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn build(self, wants: Vec<WantOf<Self>>, shared: &Arc<Resources>) -> Result<Self::Probe, Invalid>;
}

/// The facts of a kind of probe.
pub type FactsOf<K> = <<K as Kind>::Probe as Probe>::Facts;

/// What checks can ask of the facts of a kind of probe.
pub type WantOf<K> = <FactsOf<K> as Facts>::Want;

/// A kind of check as it stands in the configuration.
pub trait CheckKind<F: Facts>: Check<F> + DeserializeOwned + Serialize + JsonSchema + 'static {
    /// Configuration key, file name and value of the label `kind`.
    const NAME: &'static str;
    /// Where it belongs unless the configuration says otherwise.
    const CATEGORY: Category;
    /// How bad it is unless the configuration says otherwise.
    const SEVERITY: Severity;
    /// The alert that reports its failures.
    const ALERT: Alert = Alert::CheckFailing;
    /// The closed list of the measures that it may report.
    const MEASURES: &'static [MeasureInfo] = &[];
    /// The text of its reference page: the Markdown file beside its source.
    const DOC: &'static str;
    /// Former names of settings, each with the present name. A former name is an error that states the present one.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];

    /// Rules that a type alone can't hold, and that may depend on the probe's timing.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        let _ = timing;
        Ok(())
    }
}

/// One check that a probe kind can feed: an entry of the list that its errors and its schema are made of.
pub struct CheckEntry<F: Facts> {
    /// Everything about it that needs no facts.
    pub descriptor: CheckDescriptor,
    /// Reads its settings; what is wrong with them goes to the list of problems.
    pub read: fn(&Node, &Timing, &mut Diagnostics) -> Option<ParsedCheck<F>>,
}

/// A check that was read and holds together.
pub struct ParsedCheck<F: Facts> {
    /// What judges.
    pub check: Box<dyn Check<F>>,
    /// Its settings with every default filled in and secrets hidden, for `/config`.
    pub effective: serde_json::Value,
}

impl<F: Facts> CheckEntry<F> {
    /// The list entry of a check kind.
    #[must_use]
    pub const fn of<K: CheckKind<F>>() -> Self {
        Self {
            descriptor: CheckDescriptor {
                name: K::NAME,
                category: K::CATEGORY,
                severity: K::SEVERITY,
                alert: K::ALERT,
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
