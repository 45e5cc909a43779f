//! Wiring: from settings to what runs.
//!
//! [`App::build`] acquires everything that can fail: sockets, the state folder, every probe. [`App::run`] can't fail
//! any more; it ends when it is told to. A reload builds the next `Generation` beside the running one and swaps
//! them only if all of it holds.

mod generation;
mod probe_thread;
mod run_once;
mod state_writer;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

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
use self::{generation::Generation, probe_thread::ProbeThread, state_writer::StateWriter};
use crate::{
    board::Board,
    document::{Diagnostics, Location},
    io::resources::Resources,
    scheduler::{ConcurrencyLimiter, Heartbeat, Scheduler, log_change},
    server::{self, ReloadRequest},
    settings::{EffectiveConfig, Settings},
    state::{LoadedState, StateStore, StateStoreError},
};

/// Reads the configuration afresh; called for the start and for each reload.
pub type LoadSettings = Arc<dyn Fn() -> Result<Settings, Diagnostics> + Send + Sync>;

/// State is written at most this often, and once at the end.
const STATE_WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// So long may runs that are under way take to end after a signal; the whole drain stays below five seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Standstill of the probes' thread from which on it is logged.
const MIN_LOGGED_STALL: Duration = Duration::from_secs(2);

/// Everything acquired, nothing running yet.
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

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration doesn't hold together.
    #[error("{0}")]
    Settings(Diagnostics),
    /// An address can't be listened on.
    #[error("can't listen on {address}: {error}; is another process there, or is it another machine's address?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The state folder can't be used.
    #[error(transparent)]
    State(#[from] StateStoreError),
    /// The system gives no thread to run the probes on.
    #[error("can't start the thread that runs the probes: {0}; check the limits on processes and open files")]
    Thread(io::Error),
}

impl App {
    /// Acquires everything.
    ///
    /// # Errors
    /// The configuration, an address or the state folder is at fault.
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
        Ok(Self { load, generation, listeners, store, board, shared, probes, reloads: mpsc::channel(4) })
    }

    /// Where the doors are, with the ports that the system chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// The board that is filled while it runs.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Where to ask for a reload.
    #[must_use]
    pub fn reload_sender(&self) -> mpsc::Sender<ReloadRequest> {
        self.reloads.0.clone()
    }

    /// Runs until `shutdown`, then drains within five seconds.
    ///
    /// # Errors
    /// The server panicked, a bug: without doors there is nothing to run for, and whoever started it should again.
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
                Some(reply) = requests.recv(), if pending.is_none() => pending = Some(daemon.start_reload(reply)),
                // Beside the rest: a configuration in a dead mount must hold up neither what ages nor the end.
                Some(read) = reload_result(&mut pending) => {
                    if let Some(PendingReload { reply, .. }) = pending.take() {
                        // Whoever asked may have gone.
                        let _ = reply.send(daemon.finish_reload(read));
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
            tracing::warn!("probes were still running after {DRAIN_TIMEOUT:?} and were dropped");
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
        LoadedState::Nothing => tracing::info!("no saved state: a first start"),
        LoadedState::State(saved) => {
            tracing::info!(saved_at = %saved.saved_at, "state of before the restart is taken up");
            saved.restore(board, &generation.running_probes());
        }
        LoadedState::Damaged { why, moved_to } => {
            tracing::warn!(why, moved_to = %moved_to.display(), "the saved state can't be used; starting without");
        }
    }
}

/// A configuration that is being read and acquired, and who asked for it.
struct PendingReload {
    next: JoinHandle<Result<Generation, Diagnostics>>,
    reply: ReloadRequest,
}

/// What was read, once it is; `None` while nothing is being read.
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
    scheduler: Scheduler,
    heartbeat: Arc<Heartbeat>,
    /// Whether a standstill of the probes' thread has been logged and is not over yet.
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

    /// Reads and acquires on a thread of its own: ten thousand probes would hold up the server for a while.
    fn start_reload(&self, reply: ReloadRequest) -> PendingReload {
        let (load, before, shared) = (Arc::clone(&self.load), Arc::clone(&self.generation), Arc::clone(&self.shared));
        let next = move || load().and_then(|settings| Generation::build(settings, Some(&before), &shared));
        PendingReload { next: tokio::task::spawn_blocking(next), reply }
    }

    /// All or nothing: the next generation was acquired while this one ran on.
    fn finish_reload(&mut self, next: Result<Generation, Diagnostics>) -> Result<(), String> {
        let next = match next {
            Ok(next) => next,
            Err(problems) => {
                let text = problems.to_string();
                tracing::error!(problems = text, "the new configuration is not taken over; the old one runs on");
                self.board.update_daemon(|daemon| daemon.reload_successful.set(0));
                return Err(text);
            }
        };
        self.swap_generation(next);
        Ok(())
    }

    fn swap_generation(&mut self, next: Generation) {
        for key in next.settings_needing_restart(&self.generation) {
            tracing::warn!(key, "a change of this setting takes a restart of the daemon");
        }
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

    /// Logs when the probes' thread stops to answer, and when it does again.
    fn log_probe_stall(&mut self) {
        let stalled_for = self.heartbeat.stalled_for();
        if stalled_for > MIN_LOGGED_STALL && !self.stall_logged {
            self.stall_logged = true;
            tracing::warn!("a probe keeps the thread of the probes busy: no probe runs until it ends");
        } else if stalled_for.is_zero() && self.stall_logged {
            self.stall_logged = false;
            tracing::info!("the thread of the probes runs again");
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
