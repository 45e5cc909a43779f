//! The thread of the probes, with a runtime of its own.
//!
//! The HTTP server, signals, reloads and the age of results are handled on the main thread, so that neither a busy
//! parser nor an expensive handshake delays a scrape, a health check or the end of the process.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{runtime::Builder, sync::oneshot, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{io::resources::THREADS, scheduler::Heartbeat};

/// Longest wait for the thread to drop the runs that are still under way, which kills their child processes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// See the module. Dropping it ends the thread without waiting for it.
pub(super) struct ProbeThread {
    heartbeat: Arc<Heartbeat>,
    stop: DropGuard,
    ended: oneshot::Receiver<()>,
}

impl ProbeThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no room for another thread or another epoll instance.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build()?;
        let heartbeat = Arc::new(Heartbeat::new(runtime.handle().clone()));
        let stop = CancellationToken::new();
        let (done, ended) = oneshot::channel();
        let (heartbeats, stopped) = (Arc::clone(&heartbeat), stop.clone());
        thread::Builder::new().name("probes".to_owned()).spawn(move || {
            runtime.block_on(stopped.run_until_cancelled(heartbeats.run()));
            // A look-up or a file that hangs must not hold up the exit.
            runtime.shutdown_background();
            let _ = done.send(());
        })?;
        Ok(Self { heartbeat, stop: stop.drop_guard(), ended })
    }

    /// Sign of life of the thread.
    pub(super) fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    /// Ends the thread, and waits a moment for it: a probe that keeps it busy must not hold up the exit.
    pub(super) async fn shut_down(self) {
        let Self { stop, ended, .. } = self;
        drop(stop);
        if timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("a probe still keeps the thread of the probes busy; the process ends without it");
        }
    }
}
