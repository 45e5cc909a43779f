//! Writes the state in the background, one write at a time, and counts the results. A hanging disk delays neither the
//! daemon nor its shutdown.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::{
    board::Board,
    state::{RunningProbe, StateSnapshot, StateStore},
};

/// Time for the last write, including a write that is still in progress.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Writes one state; may block.
type Write = dyn Fn(&StateSnapshot<'_>) -> io::Result<()> + Send + Sync;

/// Writes the state; see the module documentation.
pub(super) struct StateWriter {
    folder: PathBuf,
    write: Arc<Write>,
    board: Arc<Board>,
    in_progress: Option<JoinHandle<()>>,
    /// Whether the last write failed.
    last_write_failed: Arc<AtomicBool>,
}

impl StateWriter {
    pub(super) fn new(store: Arc<StateStore>, board: Arc<Board>) -> Self {
        let folder = store.folder().to_owned();
        Self::with_write(folder, Arc::new(move |state: &StateSnapshot<'_>| store.write(state)), board)
    }

    fn with_write(folder: PathBuf, write: Arc<Write>, board: Arc<Board>) -> Self {
        Self { folder, write, board, in_progress: None, last_write_failed: Arc::default() }
    }

    /// Starts a write. If the previous write is still in progress, nothing is written, and a failure is counted.
    pub(super) fn write(&mut self, kept: Vec<RunningProbe>) {
        if self.in_progress.as_ref().is_some_and(|in_progress| !in_progress.is_finished()) {
            self.record_result(Err(write_in_progress()));
            return;
        }
        self.in_progress = Some(self.spawn_write(kept));
    }

    /// Writes the state once more with a timeout, because a service manager kills a daemon that doesn't stop.
    pub(super) async fn write_last(&mut self, kept: Vec<RunningProbe>) {
        let last = async {
            if let Some(in_progress) = self.in_progress.take() {
                let _ = in_progress.await;
            }
            let _ = self.spawn_write(kept).await;
        };
        if tokio::time::timeout(LAST_WRITE_TIMEOUT, last).await.is_err() {
            self.record_result(Err(write_in_progress()));
        }
    }

    fn spawn_write(&self, kept: Vec<RunningProbe>) -> JoinHandle<()> {
        let writer = Self {
            folder: self.folder.clone(),
            write: Arc::clone(&self.write),
            board: Arc::clone(&self.board),
            in_progress: None,
            last_write_failed: Arc::clone(&self.last_write_failed),
        };
        tokio::task::spawn_blocking(move || {
            let snapshot = writer.board.snapshot();
            writer.record_result((writer.write)(&StateSnapshot::new(&snapshot, &kept, Timestamp::now())));
        })
    }

    fn record_result(&self, result: io::Result<()>) {
        let had_failed = self.last_write_failed.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            // A full disk fails many writes, so only the first failure is a warning.
            Err(error) if had_failed => tracing::debug!(%error, "the state still can't be written"),
            Err(error) => {
                let folder = self.folder.display();
                let text = "the state can't be written; a restart would use the last written state";
                tracing::warn!(%folder, %error, "{text}");
            }
            Ok(()) if had_failed => tracing::info!("the state is written again"),
            Ok(()) => {}
        }
        self.board.update_daemon(|daemon| match result {
            Ok(()) => daemon.state_writes.inc(),
            Err(_) => daemon.state_failures.inc(),
        });
    }
}

fn write_in_progress() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the previous write is still in progress; its disk or mount may hang")
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_counted_at_each_write_and_holds_up_the_end_for_a_moment_only() {
        let (disk, answers) = mpsc::channel::<()>();
        let answers = Mutex::new(answers);
        let hang = move |_: &StateSnapshot<'_>| {
            let _ = answers.lock().map(|answers| answers.recv());
            Ok(())
        };
        let board = Arc::new(Board::default());
        let mut state_writer = StateWriter::with_write("/state".into(), Arc::new(hang), Arc::clone(&board));
        state_writer.write(Vec::new());
        let failures = || board.daemon().state_failures.get();
        assert_eq!(failures(), 0);
        for expected in [1, 2] {
            state_writer.write(Vec::new());
            assert_eq!(failures(), expected);
        }
        // The paused clock doesn't advance while a blocking thread runs.
        tokio::join!(state_writer.write_last(Vec::new()), tokio::time::advance(LAST_WRITE_TIMEOUT));
        assert_eq!(failures(), 3);
        drop(disk);
    }
}
