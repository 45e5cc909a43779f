//! One probe with its checks as the configuration would have it, run when a test says so.

use std::{fs, sync::Arc};

use readiness_exporter::{
    io::resources::Resources,
    kind::{Detail, Job, RunReport},
    model::{
        privilege::Privilege,
        verdict::Verdict,
        words::{Outcome, Phase, Reason},
    },
    settings::{self, Sources},
};

/// A probe under test.
pub(crate) struct ProbeUnderTest {
    job: Arc<dyn Job>,
    checks: Vec<String>,
    privileges: Vec<Vec<Privilege>>,
}

/// What one run brought.
#[derive(Debug)]
pub(crate) struct RunResult {
    pub(crate) report: RunReport,
    checks: Vec<String>,
}

impl ProbeUnderTest {
    /// Reads one probe: what stands below its name in the list `probes`, indented by nothing.
    pub(crate) fn new(probe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("readiness.yaml");
        let probe = probe.trim().replace('\n', "\n    ");
        fs::write(&path, format!("service: test\nprobes:\n  - name: probe\n    {probe}\n")).unwrap();
        let loaded = settings::load(&Sources { path, ..Sources::default() });
        let mut settings = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let probe = settings.probes.remove(0);
        let checks = probe.info.checks.iter().map(|check| check.name.clone()).collect();
        let privileges = probe.config.privileges();
        let job = probe.config.build(&Arc::<Resources>::default()).unwrap();
        Self { job, checks, privileges }
    }

    /// The privileges that each check needs, by the check's name.
    pub(crate) fn privileges(&self) -> Vec<(&str, Vec<Privilege>)> {
        self.checks.iter().map(String::as_str).zip(self.privileges.iter().cloned()).collect()
    }

    /// One run.
    pub(crate) async fn run(&self) -> RunResult {
        RunResult { report: self.job.run(Detail::Facts).await, checks: self.checks.clone() }
    }
}

impl RunResult {
    /// What a check says.
    pub(crate) fn verdict(&self, check: &str) -> &Verdict {
        let at = self.checks.iter().position(|name| name == check);
        &self.report.verdicts[at.unwrap_or_else(|| panic!("no check {check} among {:?}", self.checks))]
    }

    pub(crate) fn outcome(&self, check: &str) -> Outcome {
        self.verdict(check).outcome
    }

    /// Why the run failed.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.report.failure.as_ref().map(|failure| failure.reason)
    }

    pub(crate) fn phases(&self) -> Vec<Phase> {
        self.report.phases.iter().map(|(phase, _)| *phase).collect()
    }

    /// One of the facts, by its path in JSON.
    pub(crate) fn fact(&self, pointer: &str) -> &serde_json::Value {
        let facts = self.report.facts.as_ref().unwrap_or_else(|| panic!("no facts in {:?}", self.report));
        facts.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {facts}"))
    }

    /// Fails unless the run worked.
    pub(crate) fn worked(self) -> Self {
        assert_eq!(self.report.failure, None);
        self
    }
}
