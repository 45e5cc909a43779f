//! Schedules the probes: one task for each probe waits for its slot, runs the probe and records the report on the
//! board.
//!
//! A hash of the probe's name spreads the starts, so that runs don't coincide after a start or restart. A run never
//! overlaps the previous run of its probe: missed slots are counted and left out. Concurrency is limited overall and
//! for each host, so that a hanging host delays only its own probes.

mod concurrency;
mod heartbeat;
mod plan;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    task::{Id, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::plan::Plan;
pub use self::{concurrency::ConcurrencyLimiter, heartbeat::Heartbeat};
use crate::{
    board::{Board, StatusChange},
    kind::{Detail, Job},
    model::words::Status,
    settings::ProbeInfo,
};

/// Runs probes until its cancellation token is cancelled.
#[derive(Debug)]
pub struct Scheduler {
    board: Arc<Board>,
    runtime: Handle,
    tasks: JoinSet<()>,
    running: HashMap<String, Running>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Running {
    id: Id,
    handle: tokio::task::AbortHandle,
}

/// Interval at which a skipped probe rechecks its dependencies. The runs of probes that wait for one dependency are spread
/// over the same time.
const DEPENDENCY_RECHECK_INTERVAL: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Creates a scheduler without probes that spawns tasks on `runtime`. After `stop` is cancelled, current runs
    /// finish and no new runs start.
    #[must_use]
    pub fn new(board: Arc<Board>, runtime: Handle, stop: CancellationToken) -> Self {
        Self { board, runtime, tasks: JoinSet::new(), running: HashMap::new(), stop }
    }

    /// Starts the task of a probe. It drops a running probe of the same name first, even during a run.
    pub fn start(&mut self, info: Arc<ProbeInfo>, job: Arc<dyn Job>, limiter: ConcurrencyLimiter) {
        self.drop_probe(&info.name);
        if !info.enabled {
            return;
        }
        let name = info.name.clone();
        let (board, stop) = (Arc::clone(&self.board), self.stop.clone());
        let task = Task { info, job, limiter, board, stop };
        // Lent to its run: an argument of an `async fn` is kept twice in its future.
        let run = async move { task.run().await };
        let handle = self.tasks.spawn_on(run, &self.runtime);
        self.running.insert(name, Running { id: handle.id(), handle });
    }

    /// Stops the task of a probe, even during a run.
    pub fn drop_probe(&mut self, name: &str) {
        if let Some(running) = self.running.remove(name) {
            running.handle.abort();
        }
    }

    /// Waits for tasks that end unexpectedly, and logs each one as a bug. The future stays pending while all tasks run.
    pub async fn supervise(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
            let name = self.running.iter().find(|(_, running)| running.id == id).map(|(name, _)| name.clone());
            if let Some(name) = name.filter(|_| !self.stop.is_cancelled()) {
                let why = ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
                tracing::error!(probe = name, why, "the task of a probe ended; its results will become unknown");
                self.board.update_daemon(|daemon| daemon.panics.inc());
                self.running.remove(&name);
            }
        }
        std::future::pending::<()>().await;
    }

    /// Waits until all current runs have ended. The caller cancels `stop` first and sets a deadline.
    pub async fn drain(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Task {
    info: Arc<ProbeInfo>,
    job: Arc<dyn Job>,
    limiter: ConcurrencyLimiter,
    board: Arc<Board>,
    stop: CancellationToken,
}

/// State of the dependencies of a probe.
enum DependencyState {
    Satisfied,
    Failing(String),
    /// Some dependencies have not run yet, right after the start.
    Unknown,
}

impl Task {
    async fn run(&self) {
        let mut plan = Plan::new(&self.info.name, self.info.timing, Instant::now());
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep_until(plan.next_run()) => {}
            }
            // Boxed, so that a sleeping probe doesn't hold the memory of a run.
            if Box::pin(self.run_slot(&mut plan)).await.is_none() {
                return;
            }
        }
    }

    /// Handles one slot: skips or runs the probe. Returns `None` when the scheduler stops.
    async fn run_slot(&self, plan: &mut Plan) -> Option<()> {
        let (name, planned) = (&*self.info.name, plan.next_run());
        if let DependencyState::Failing(other) = self.wait_for_dependencies(plan.slot_after(planned)).await {
            log_changes(name, self.board.skip_if_current(&self.info, &other, Timestamp::now()));
            plan.complete_run(Instant::now(), false);
            self.wait_for_recovery(plan).await;
            return Some(());
        }
        let _permits = self.stop.run_until_cancelled(self.limiter.acquire(self.job.host())).await?;
        let start = Instant::now();
        let report = self.job.run(Detail::Verdicts).await;
        let failed = report.failure.is_some();
        // Aborting a task doesn't stop its current step: a reload may have replaced its probe meanwhile.
        log_changes(name, self.board.record_if_current(&self.info, report, (start - planned).as_secs_f64()));
        let missed = plan.complete_run(Instant::now(), failed);
        if missed > 0 {
            self.board.add_overruns(name, missed);
            tracing::debug!(probe = name, missed, "runs were left out because the previous run had not ended");
        }
        Some(())
    }

    /// Returns the state of the dependencies. It waits until each dependency has run once, at most until the deadline.
    async fn wait_for_dependencies(&self, deadline: Instant) -> DependencyState {
        if self.info.depends_on.is_empty() {
            return DependencyState::Satisfied;
        }
        let mut changes = self.board.subscribe();
        loop {
            match self.dependency_state() {
                DependencyState::Unknown => tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep_until(deadline) => return DependencyState::Satisfied,
                    () = self.stop.cancelled() => return DependencyState::Satisfied,
                },
                known => return known,
            }
        }
    }

    fn dependency_state(&self) -> DependencyState {
        let mut result = DependencyState::Satisfied;
        for other in &self.info.depends_on {
            match self.board.probe(other) {
                Some(state) if state.is_failing() => return DependencyState::Failing(other.clone()),
                Some(state) if !state.was_attempted() => result = DependencyState::Unknown,
                _ => {}
            }
        }
        result
    }

    /// Waits after a skip for the next slot, or until no dependency fails. Without the recheck, one short failure would
    /// skip an hourly probe for an hour.
    async fn wait_for_recovery(&self, plan: &mut Plan) {
        while Instant::now() + DEPENDENCY_RECHECK_INTERVAL < plan.next_run() {
            if self.stop.run_until_cancelled(tokio::time::sleep(DEPENDENCY_RECHECK_INTERVAL)).await.is_none() {
                return;
            }
            if !matches!(self.dependency_state(), DependencyState::Failing(_)) {
                plan.bring_forward(Instant::now());
            }
        }
    }
}

fn log_changes(probe: &str, changes: Vec<StatusChange>) {
    for change in changes {
        log_change(probe, &change);
    }
}

/// Logs a status change: bad statuses as warnings, others as information.
pub fn log_change(probe: &str, change: &StatusChange) {
    let StatusChange { check, from, to, summary } = change;
    let (from, to_word) = (from.as_str(), to.as_str());
    match to {
        Status::Fail | Status::Unknown | Status::Warn => {
            tracing::warn!(probe, check, from, to = to_word, summary, "status changed");
        }
        _ => tracing::info!(probe, check, from, to = to_word, summary, "status changed"),
    }
}

#[cfg(test)]
mod tests;
