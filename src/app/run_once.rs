//! Runs probes once without a daemon, for `check` and `explain`.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;

use super::generation::{Generation, Member};
use crate::{
    board::{Board, DependencyState, ProbeState, Snapshot, split_dependency},
    document::Diagnostics,
    io::resources::Resources,
    kind::{Detail, RunReport},
    scheduler::ConcurrencyLimiter,
    settings::{CheckInfo, ProbeInfo, Settings},
};

/// Probes of a configuration that run once on demand, after their dependencies.
pub struct OneShot {
    generation: Generation,
    board: Board,
    limiter: ConcurrencyLimiter,
}

impl OneShot {
    /// Builds the probes of the selected checks and their dependencies.
    ///
    /// # Errors
    /// The errors of the configuration.
    pub fn new(settings: Settings, wanted: impl Fn(&ProbeInfo, &CheckInfo) -> bool) -> Result<Self, Diagnostics> {
        let mut settings = settings;
        let needed = required_probes(&settings, wanted);
        settings.probes.retain(|probe| needed.contains(&probe.info.name));
        for probe in &mut settings.probes {
            probe.info = Arc::new(without_thresholds(&probe.info));
        }
        let generation = Generation::build(settings, None, &Arc::new(Resources::default()))?;
        let board = Board::default();
        generation.publish_probes(&board, None, Timestamp::now());
        Ok(Self { limiter: ConcurrencyLimiter::new(generation.concurrency), generation, board })
    }

    /// Number of probes.
    #[must_use]
    pub fn probe_count(&self) -> usize {
        self.generation.members().len()
    }

    /// Runs every probe once. `progress` receives the number of completed probes after each.
    pub async fn run_all(&self, mut progress: impl FnMut(usize)) -> Snapshot {
        let mut waiting: Vec<&Member> = self.generation.members().iter().collect();
        let mut done = HashSet::new();
        let mut running = FuturesUnordered::new();
        loop {
            waiting.retain(|member| {
                let free = member.info.depends_on.iter().all(|other| done.contains(split_dependency(other).0));
                if free {
                    running.push(self.run(member));
                }
                !free
            });
            let Some(name) = running.next().await else { break };
            done.insert(name);
            progress(done.len());
        }
        self.board.snapshot()
    }

    async fn run<'a>(&self, member: &'a Member) -> &'a str {
        let name = &*member.info.name;
        if !member.info.enabled {
            return name;
        }
        let now = Timestamp::now();
        if let DependencyState::Failing(cause) = self.board.dependency_state(&member.info.depends_on, now) {
            self.board.skip(name, &cause.name, now);
        } else {
            let _permits = self.limiter.acquire(member.running.job.host()).await;
            let report = member.running.job.run(Detail::Verdicts).await;
            self.board.record(name, report, 0.0);
        }
        name
    }

    /// Records the report of [`OneShot::explain`] and returns the state of the probe.
    pub fn record(&self, probe: &str, report: RunReport) -> Option<Arc<ProbeState>> {
        self.board.record(probe, report, 0.0);
        self.board.probe(probe)
    }

    /// Runs one probe once with all facts; `None` if no probe has the name.
    pub async fn explain(&self, probe: &str) -> Option<(Arc<ProbeInfo>, RunReport)> {
        let member = self.generation.members().iter().find(|member| member.info.name == probe)?;
        Some((Arc::clone(&member.info), member.running.job.run(Detail::Facts).await))
    }
}

/// Names of the probes with selected checks and of their direct and indirect dependencies.
fn required_probes(settings: &Settings, wanted: impl Fn(&ProbeInfo, &CheckInfo) -> bool) -> HashSet<String> {
    let feeds = |info: &ProbeInfo| info.checks.iter().any(|check| wanted(info, check));
    let mut todo: Vec<&str> =
        settings.probes.iter().filter(|probe| feeds(&probe.info)).map(|probe| &*probe.info.name).collect();
    let mut needed = HashSet::new();
    while let Some(name) = todo.pop() {
        if needed.insert(name.to_owned()) {
            let probe = settings.probes.iter().find(|probe| probe.info.name == name);
            let names = probe.into_iter().flat_map(|probe| &probe.info.depends_on);
            todo.extend(names.map(|other| split_dependency(other).0));
        }
    }
    needed
}

/// Removes the thresholds, which need several runs.
fn without_thresholds(info: &ProbeInfo) -> ProbeInfo {
    let mut info = info.clone();
    for check in &mut info.checks {
        let check = Arc::make_mut(check);
        check.failure_threshold = 1;
        check.success_threshold = 1;
    }
    info
}
