//! The probe thread with its own runtime.
//!
//! The main thread handles HTTP, signals, reloads and the expiry of results. So a busy parser or an expensive TLS
//! handshake of a probe delays no scrape, health check or shutdown.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{runtime::Builder, sync::oneshot, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{io::resources::THREADS, scheduler::Heartbeat};

/// Time to wait until the thread has dropped its current runs, which kills their child processes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// Handle of the probe thread. Dropping it stops the thread without waiting.
pub(super) struct ProbeThread {
    heartbeat: Arc<Heartbeat>,
    stop: DropGuard,
    ended: oneshot::Receiver<()>,
}

impl ProbeThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system can't create a thread or an epoll instance.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build()?;
        let heartbeat = Arc::new(Heartbeat::new(runtime.handle().clone()));
        let stop = CancellationToken::new();
        let (done, ended) = oneshot::channel();
        let (heartbeats, stopped) = (Arc::clone(&heartbeat), stop.clone());
        thread::Builder::new().name("probes".to_owned()).spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(heartbeats.run()));
            // A hanging DNS lookup or file access must not delay the exit.
            runtime.shutdown_background();
            let _ = done.send(());
        })?;
        Ok(Self { heartbeat, stop: stop.drop_guard(), ended })
    }

    /// Heartbeat of the thread.
    pub(super) fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// Stops the thread and waits briefly: a probe that blocks the thread must not delay the exit.
    pub(super) async fn shut_down(self) {
        let Self { stop, ended, .. } = self;
        drop(stop);
        if timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("a probe still blocks the probe thread; the process exits without waiting for it");
        }
    }
}
