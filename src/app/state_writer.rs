//! Writes the state in the background: one write at a time, each outcome counted. A disk that hangs holds up neither
//! the daemon nor its end.

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

/// Longest time that the last write may take, with the one before that is still under way.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Writes one state; may block.
type Write = dyn Fn(&StateSnapshot<'_>) -> io::Result<()> + Send + Sync;

/// See the module.
pub(super) struct StateWriter {
    folder: PathBuf,
    write: Arc<Write>,
    board: Arc<Board>,
    writing: Option<JoinHandle<()>>,
    /// The last write failed.
    unsaved: Arc<AtomicBool>,
}

impl StateWriter {
    pub(super) fn new(store: Arc<StateStore>, board: Arc<Board>) -> Self {
        let folder = store.folder().to_owned();
        Self::with(folder, Arc::new(move |state: &StateSnapshot<'_>| store.write(state)), board)
    }

    fn with(folder: PathBuf, write: Arc<Write>, board: Arc<Board>) -> Self {
        Self { folder, write, board, writing: None, unsaved: Arc::default() }
    }

    /// Begins a write. While the one before is still under way there is none, which counts as a failure.
    pub(super) fn write(&mut self, kept: Vec<RunningProbe>) {
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            self.count(Err(too_slow()));
            return;
        }
        self.writing = Some(self.begin(kept));
    }

    /// Writes once more, but not for long: whoever ends the daemon kills it if it doesn't end.
    pub(super) async fn write_last(&mut self, kept: Vec<RunningProbe>) {
        let last = async {
            if let Some(writing) = self.writing.take() {
                let _ = writing.await;
            }
            let _ = self.begin(kept).await;
        };
        if tokio::time::timeout(LAST_WRITE_TIMEOUT, last).await.is_err() {
            self.count(Err(too_slow()));
        }
    }

    fn begin(&self, kept: Vec<RunningProbe>) -> JoinHandle<()> {
        let own = Self {
            folder: self.folder.clone(),
            write: Arc::clone(&self.write),
            board: Arc::clone(&self.board),
            writing: None,
            unsaved: Arc::clone(&self.unsaved),
        };
        tokio::task::spawn_blocking(move || {
            let snapshot = own.board.snapshot();
            own.count((own.write)(&StateSnapshot::new(&snapshot, &kept, Timestamp::now())));
        })
    }

    fn count(&self, result: io::Result<()>) {
        let was_unsaved = self.unsaved.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            // A full disk stays full for many writes: it is said once.
            Err(error) if was_unsaved => tracing::debug!(%error, "the state still can't be written"),
            Err(error) => {
                let folder = self.folder.display();
                let text = "the state can't be written; a restart would begin from the last one that could";
                tracing::warn!(%folder, %error, "{text}");
            }
            Ok(()) if was_unsaved => tracing::info!("the state is written again"),
            Ok(()) => {}
        }
        self.board.update_daemon(|daemon| match result {
            Ok(()) => daemon.state_writes += 1,
            Err(_) => daemon.state_failures += 1,
        });
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the write before it is still under way; its disk or mount may hang")
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
        let mut saving = StateWriter::with("/state".into(), Arc::new(hang), Arc::clone(&board));
        saving.write(Vec::new());
        let failures = || board.snapshot().daemon.state_failures;
        assert_eq!(failures(), 0);
        for expected in [1, 2] {
            saving.write(Vec::new());
            assert_eq!(failures(), expected);
        }
        // The clock doesn't run by itself while a thread is at work.
        tokio::join!(saving.write_last(Vec::new()), tokio::time::advance(LAST_WRITE_TIMEOUT));
        assert_eq!(failures(), 3);
        drop(disk);
    }
}
