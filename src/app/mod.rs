//! Assembles the daemon from the settings.
//!
//! [`App::build`] acquires everything that can fail: sockets, the state folder and all probes. [`App::run`] runs until
//! the shutdown. A reload builds the next `Generation` in parallel and activates it only if the whole configuration is
//! valid.

mod generation;
mod probe_thread;
mod run_once;
mod state_writer;

use std::{fmt::Write, io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinError, JoinHandle},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

pub use self::run_once::OneShot;
use self::{
    generation::{Generation, StartSettings},
    probe_thread::ProbeThread,
    state_writer::StateWriter,
};
use crate::{
    board::Board,
    daemon_metrics::ReloadError,
    document::{Diagnostics, Location},
    io::resources::Resources,
    scheduler::{ConcurrencyLimiter, Heartbeat, Scheduler, log_change},
    server::{self, ReloadReport, ReloadRequest},
    settings::{EffectiveConfig, Settings},
    state::{LoadedState, StateStore, StateStoreError},
};

/// Loads the configuration at the start and at each reload.
pub type LoadSettings = Arc<dyn Fn() -> Result<Settings, Diagnostics> + Send + Sync>;

/// Shortest interval between writes of the state.
const STATE_WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// Time for current runs to finish after a signal. The whole shutdown takes less than five seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests for a reload that may wait for the one under way to end, more than clients have connections. All of them
/// share the next one.
const MAX_WAITING_RELOADS: usize = 256;

/// Shortest stall of the probe thread that is logged.
const MIN_LOGGED_STALL: Duration = Duration::from_secs(2);

/// A daemon with all resources acquired that doesn't run yet.
pub struct App {
    load: LoadSettings,
    generation: Generation,
    listeners: Vec<TcpListener>,
    store: Option<Arc<StateStore>>,
    board: Arc<Board>,
    shared: Arc<Resources>,
    probes: ProbeThread,
    reloads: (mpsc::Sender<ReloadRequest>, mpsc::Receiver<ReloadRequest>),
}

/// Reasons why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration is invalid.
    #[error("{0}")]
    Settings(Diagnostics),
    /// Listening on an address failed.
    #[error("can't listen on {address}: {error}; is the address in use, or does it belong to another machine?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// The state folder can't be used.
    #[error(transparent)]
    State(#[from] StateStoreError),
    /// The thread of the probes could not be started.
    #[error("can't start the thread that runs the probes: {0}; check the limits on processes and open files")]
    Thread(io::Error),
}

impl App {
    /// Acquires all resources.
    ///
    /// # Errors
    /// The configuration is invalid, or an address, the state folder or the probe thread is unavailable.
    pub async fn build(load: LoadSettings) -> Result<Self, BuildError> {
        let shared = Arc::new(Resources::default());
        let settings = load().map_err(BuildError::Settings)?;
        let generation = Generation::build(settings, None, &shared).map_err(BuildError::Settings)?;
        let mut listeners = Vec::new();
        for &address in &generation.server.listen {
            let listener = server::listen(address);
            listeners.push(listener.map_err(|error| BuildError::Listen { address, error })?);
        }
        let store = generation.state.as_deref().map(StateStore::open).transpose()?.map(Arc::new);
        let board = Arc::new(Board::default());
        generation.publish_probes(&board, None, Timestamp::now());
        board.update_daemon(|daemon| daemon.record_reload(Timestamp::now().as_duration().as_secs_f64()));
        if let Some(store) = &store {
            restore_state(store, &board, &generation);
        }
        let probes = ProbeThread::start().map_err(BuildError::Thread)?;
        Ok(Self {
            load,
            generation,
            listeners,
            store,
            board,
            shared,
            probes,
            reloads: mpsc::channel(MAX_WAITING_RELOADS),
        })
    }

    /// The listening addresses, with the ports that the system assigned.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// The board of the daemon.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Channel for reload requests.
    #[must_use]
    pub fn reload_sender(&self) -> mpsc::Sender<ReloadRequest> {
        self.reloads.0.clone()
    }

    /// Runs until `shutdown`, then stops within five seconds.
    ///
    /// # Errors
    /// The server panicked, which is a bug. The daemon ends so that its service manager restarts it.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), JoinError> {
        let (sender, mut requests) = self.reloads;
        let effective = Arc::new(ArcSwap::new(Arc::clone(&self.generation.effective)));
        let context = server::ServerContext {
            board: Arc::clone(&self.board),
            effective: Arc::clone(&effective),
            reload: sender,
            heartbeat: Arc::clone(self.probes.heartbeat()),
            settings: self.generation.server.clone(),
        };
        let mut server = tokio::spawn(server::serve(self.listeners, context, shutdown.clone()));
        let mut closed = None;
        let mut daemon = Daemon {
            scheduler: Scheduler::new(
                Arc::clone(&self.board),
                self.probes.heartbeat().runtime().clone(),
                shutdown.clone(),
            ),
            heartbeat: Arc::clone(self.probes.heartbeat()),
            stall_logged: false,
            limiter: ConcurrencyLimiter::new(self.generation.concurrency),
            start_settings: self.generation.start_settings(),
            generation: Arc::new(self.generation),
            state_writer: self.store.map(|store| StateWriter::new(store, Arc::clone(&self.board))),
            board: self.board,
            shared: self.shared,
            load: self.load,
            effective,
        };
        daemon.start_probes();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_write = Instant::now() + STATE_WRITE_INTERVAL;
        let mut pending: Option<PendingReload> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                ended = &mut server => {
                    closed = Some(ended);
                    shutdown.cancel();
                    break;
                }
                Some(reply) = requests.recv(), if pending.is_none() => {
                    let waiting = (0..MAX_WAITING_RELOADS).map_while(|_| requests.try_recv().ok());
                    pending = Some(daemon.start_reload(std::iter::once(reply).chain(waiting).collect()));
                }
                // Loading runs in parallel: a configuration on a hanging mount must delay neither the expiry of results
                // nor the shutdown.
                Some(read) = reload_result(&mut pending) => {
                    if let Some(PendingReload { replies, .. }) = pending.take() {
                        let result = daemon.finish_reload(read);
                        for reply in replies {
                            // The requester may have disconnected.
                            let _ = reply.send(result.clone());
                        }
                    }
                }
                now = tick.tick() => {
                    daemon.expire_stale_results();
                    daemon.log_probe_stall();
                    if now >= next_write {
                        daemon.write_state();
                        next_write = now + STATE_WRITE_INTERVAL;
                    }
                }
                () = daemon.scheduler.supervise() => {}
            }
        }
        if tokio::time::timeout(DRAIN_TIMEOUT, daemon.scheduler.drain()).await.is_err() {
            tracing::warn!("probes were still running after {DRAIN_TIMEOUT:?} and were cancelled");
        }
        daemon.write_last_state().await;
        self.probes.shut_down().await;
        match closed {
            Some(ended) => ended,
            None => server.await,
        }
    }
}

fn restore_state(store: &StateStore, board: &Board, generation: &Generation) {
    if let Some(risk) = store.describe_risk() {
        tracing::warn!(folder = %store.folder().display(), risk, "the state folder is not safe");
    }
    let checks = generation.members().iter().map(|member| member.info.checks.len()).sum();
    match store.load(checks) {
        LoadedState::Nothing => tracing::info!("no saved state: this is the first start"),
        LoadedState::State(saved) => {
            tracing::info!(saved_at = %saved.saved_at, "restored the state from before the restart");
            saved.restore(board, &generation.running_probes());
        }
        LoadedState::Damaged { why, moved_to } => {
            tracing::warn!(why, moved_to = %moved_to.display(), "the saved state can't be used; starting without it");
        }
    }
}

/// Longest message of a configuration error on the status page, in characters.
const MAX_RELOAD_ERROR_CHARS: usize = 500;

/// The first configuration error for the status page. It contains no line of the file, because a line may contain a
/// secret.
fn first_error(problems: &Diagnostics) -> Option<ReloadError> {
    let first = problems.iter().next()?;
    let location = match (&*first.file, first.line) {
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}"),
    };
    let mut message: String = first.message.chars().take(MAX_RELOAD_ERROR_CHARS).collect();
    if let Some(word) = &first.suggestion {
        let _ = write!(message, "; did you mean `{word}`?");
    }
    Some(ReloadError { location, message, more: problems.len() - 1 })
}

/// A reload in progress and the channels for its result.
struct PendingReload {
    next: JoinHandle<Result<Generation, Diagnostics>>,
    replies: Vec<ReloadRequest>,
}

/// Waits for the result of the reload; returns `None` if no reload is in progress.
async fn reload_result(pending: &mut Option<PendingReload>) -> Option<Result<Generation, Diagnostics>> {
    let read = (&mut pending.as_mut()?.next).await;
    Some(read.unwrap_or_else(|error| {
        let mut problems = Diagnostics::default();
        problems.push(Location::default(), format!("reading the configuration failed: {error}"), None);
        Err(problems)
    }))
}

struct Daemon {
    generation: Arc<Generation>,
    start_settings: StartSettings,
    scheduler: Scheduler,
    heartbeat: Arc<Heartbeat>,
    /// Whether a stall of the probe thread was logged and persists.
    stall_logged: bool,
    limiter: ConcurrencyLimiter,
    board: Arc<Board>,
    shared: Arc<Resources>,
    load: LoadSettings,
    state_writer: Option<StateWriter>,
    effective: Arc<ArcSwap<EffectiveConfig>>,
}

impl Daemon {
    fn start_probes(&mut self) {
        for member in self.generation.members() {
            self.scheduler.start(Arc::clone(&member.info), Arc::clone(&member.running.job), self.limiter.clone());
        }
    }

    /// Starts loading on a blocking thread, because building ten thousand probes would delay the server.
    fn start_reload(&self, replies: Vec<ReloadRequest>) -> PendingReload {
        let (load, before, shared) = (Arc::clone(&self.load), Arc::clone(&self.generation), Arc::clone(&self.shared));
        let next = move || load().and_then(|settings| Generation::build(settings, Some(&before), &shared));
        PendingReload { next: tokio::task::spawn_blocking(next), replies }
    }

    /// Activates the next generation, or keeps the current one if loading failed.
    fn finish_reload(&mut self, next: Result<Generation, Diagnostics>) -> Result<ReloadReport, String> {
        let next = match next {
            Ok(next) => next,
            Err(problems) => {
                let text = problems.without_excerpts().to_string();
                tracing::error!(
                    problems = text,
                    "the new configuration is invalid; the daemon continues with the previous one"
                );
                let error = first_error(&problems);
                self.board.update_daemon(|daemon| daemon.record_failed_reload(error));
                return Err(text);
            }
        };
        let needs_restart = next.settings_needing_restart(&self.start_settings);
        for key in &needs_restart {
            tracing::warn!(key, "this setting changes only after a restart of the daemon");
        }
        self.swap_generation(next);
        Ok(ReloadReport { needs_restart })
    }

    fn swap_generation(&mut self, next: Generation) {
        let before = std::mem::replace(&mut self.generation, Arc::new(next));
        let all = before.concurrency != self.generation.concurrency;
        if all {
            self.limiter = ConcurrencyLimiter::new(self.generation.concurrency);
        }
        for member in before.members() {
            if all || !self.generation.contains(member) {
                self.scheduler.drop_probe(&member.info.name);
            }
        }
        self.generation.publish_probes(&self.board, Some(&before), Timestamp::now());
        let mut started = 0;
        for member in self.generation.members() {
            if all || !before.contains(member) {
                self.scheduler.start(Arc::clone(&member.info), Arc::clone(&member.running.job), self.limiter.clone());
                started += 1;
            }
        }
        self.effective.store(Arc::clone(&self.generation.effective));
        self.board.update_daemon(|daemon| daemon.record_reload(Timestamp::now().as_duration().as_secs_f64()));
        tracing::info!(probes = self.generation.members().len(), started, "configuration reloaded");
    }

    fn expire_stale_results(&self) {
        for (probe, change) in self.board.expire_stale(Timestamp::now()) {
            log_change(&probe, &change);
        }
    }

    /// Logs the start and the end of a stall of the probe thread.
    fn log_probe_stall(&mut self) {
        let stalled_for = self.heartbeat.stalled_for();
        if stalled_for > MIN_LOGGED_STALL && !self.stall_logged {
            self.stall_logged = true;
            tracing::warn!("a probe blocks the probe thread: no probe runs until it ends");
        } else if stalled_for.is_zero() && self.stall_logged {
            self.stall_logged = false;
            tracing::info!("the probe thread runs again");
        }
    }

    fn write_state(&mut self) {
        if let Some(state_writer) = &mut self.state_writer {
            state_writer.write(self.generation.running_probes());
        }
    }

    async fn write_last_state(&mut self) {
        if let Some(state_writer) = &mut self.state_writer {
            state_writer.write_last(self.generation.running_probes()).await;
        }
    }
}
