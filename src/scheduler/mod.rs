//! Schedules the probes: one task for each probe waits for its slot, runs the probe and records the report on the
//! board.
//!
//! A hash of the probe's name spreads the starts, so that runs don't coincide after a start or restart. A run never
//! overlaps the previous run of its probe: missed slots are counted and left out. Concurrency is limited overall and
//! for each host, so that a hanging host delays only its own probes.
//!
//! While the last run of a dependency failed, a probe is skipped. A probe that fails although its dependencies passed
//! is published after they have run again, see `confirmation`.

mod concurrency;
mod confirmation;
mod heartbeat;
mod plan;
mod requests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    task::{Id, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::{concurrency::ConcurrencyLimiter, heartbeat::Heartbeat};
use self::{
    concurrency::Permits,
    plan::Plan,
    requests::{RunRequest, RunRequests},
};
use crate::{
    board::{Board, Cause, DependencyState, StatusChange},
    kind::Job,
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
    requests: RunRequests,
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
        Self { board, runtime, tasks: JoinSet::new(), running: HashMap::new(), requests: RunRequests::default(), stop }
    }

    /// Starts the task of a probe. It drops a running probe of the same name first, even during a run.
    pub fn start(&mut self, info: Arc<ProbeInfo>, job: Arc<dyn Job>, limiter: ConcurrencyLimiter) {
        self.drop_probe(&info.name);
        if !info.enabled {
            return;
        }
        let name = info.name.clone();
        let (board, stop) = (Arc::clone(&self.board), self.stop.clone());
        let (requests, request) = (self.requests.clone(), self.requests.register(&name));
        let task = Task { info, job, limiter, board, requests, request, stop };
        // Lent to its run: an argument of an `async fn` is kept twice in its future.
        let run = async move { task.run().await };
        let handle = self.tasks.spawn_on(run, &self.runtime);
        self.running.insert(name, Running { id: handle.id(), handle });
    }

    /// Stops the task of a probe, even during a run.
    pub fn drop_probe(&mut self, name: &str) {
        if let Some(running) = self.running.remove(name) {
            running.handle.abort();
            self.requests.remove(name);
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
    requests: RunRequests,
    request: Arc<RunRequest>,
    stop: CancellationToken,
}

impl Task {
    async fn run(&self) {
        let mut plan = Plan::new(&self.info.name, self.info.timing, Instant::now());
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep_until(plan.next_run()) => {}
                wanted = self.request.next() => {
                    if let Some(earliest) = wanted {
                        plan.bring_forward(earliest.max(Instant::now()));
                    }
                    continue;
                }
            }
            // Boxed, so that a sleeping probe doesn't hold the memory of a run.
            if Box::pin(self.run_slot(&mut plan)).await.is_none() {
                return;
            }
        }
    }

    /// Handles one slot: skips or runs the probe. Returns `None` when the scheduler stops.
    async fn run_slot(&self, plan: &mut Plan) -> Option<()> {
        let (state, has_waited) = self.wait_for_dependencies(plan.slot_after(plan.next_run())).await;
        if has_waited {
            // Waiting is no part of the run, so it makes the run neither late nor an overrun.
            plan.delay_to(Instant::now());
        }
        if let DependencyState::Failing(cause) = state {
            let now = Instant::now();
            plan.complete_run(now, false);
            self.skip(plan, &cause, now).await;
            return Some(());
        }
        let planned = plan.next_run();
        let permits = self.stop.run_until_cancelled(self.limiter.acquire(self.job.host())).await?;
        let start = Instant::now();
        let (result, ended) = self.run_confirmed(permits).await;
        let report = match result {
            Ok(report) => report,
            Err(cause) => {
                plan.complete_run(ended, false);
                self.skip(plan, &cause, start).await;
                return Some(());
            }
        };
        let failed = report.failure.is_some();
        // Aborting a task doesn't stop its current step: a reload may have replaced its probe meanwhile.
        let changes = self.board.record_if_current(&self.info, report, (start - planned).as_secs_f64());
        log_changes(&self.info.name, changes);
        self.requests.record_attempt(&self.request, start, failed);
        let missed = plan.complete_run(ended, failed);
        // Slots that passed during the confirmation of a failure are no overruns either.
        plan.delay_to(Instant::now());
        if missed > 0 {
            let probe = &*self.info.name;
            self.board.add_overruns(probe, missed);
            tracing::debug!(probe, missed, "runs were left out because the previous run had not ended");
        }
        Some(())
    }

    /// Returns the state of the dependencies, and whether it had to wait: each dependency must have run once, but the
    /// wait ends at the deadline.
    async fn wait_for_dependencies(&self, deadline: Instant) -> (DependencyState, bool) {
        if self.info.depends_on.is_empty() {
            return (DependencyState::Satisfied, false);
        }
        let mut changes = self.board.subscribe();
        let mut has_waited = false;
        loop {
            match self.dependency_state() {
                DependencyState::NotRun => tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep_until(deadline) => return (DependencyState::Satisfied, true),
                    () = self.stop.cancelled() => return (DependencyState::Satisfied, true),
                },
                known => return (known, has_waited),
            }
            has_waited = true;
        }
    }

    fn dependency_state(&self) -> DependencyState {
        self.board.dependency_state(&self.info.depends_on, Timestamp::now())
    }

    /// Records a skip, then waits for the next slot, or until no dependency fails. Without the recheck, one short
    /// failure would skip an hourly probe for an hour.
    async fn skip(&self, plan: &mut Plan, cause: &Cause, start: Instant) {
        log_changes(&self.info.name, self.board.skip_if_current(&self.info, cause, Timestamp::now()));
        self.requests.record_attempt(&self.request, start, true);
        plan.delay_to(Instant::now());
        while Instant::now() + DEPENDENCY_RECHECK_INTERVAL < plan.next_run() {
            if self.stop.run_until_cancelled(tokio::time::sleep(DEPENDENCY_RECHECK_INTERVAL)).await.is_none() {
                return;
            }
            match self.dependency_state() {
                DependencyState::Failing(cause) if cause.confirmed => self.board.confirm_skip_if_current(&self.info),
                DependencyState::Failing(_) => {}
                DependencyState::Satisfied | DependencyState::NotRun => plan.bring_forward(Instant::now()),
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
