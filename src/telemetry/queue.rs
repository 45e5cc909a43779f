//! Log lines on their way to standard error: a thread of `tracing-appender` writes them, so that a reader that has
//! stopped reading (a pipe to a log shipper that hangs) delays no probe and no scrape. Lines that don't fit into the
//! queue are dropped and counted.

use std::{
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Most lines that wait to be written; some hundred kilobytes.
const MAX_QUEUED_LINES: usize = 4_096;

/// Longest time that the end of the process waits for the last lines; the crate alone would wait for a second and more.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes the queued lines when it is dropped, within [`FLUSH_TIMEOUT`].
#[derive(Debug)]
pub struct FlushGuard {
    dropped: ErrorCounter,
    worker: Option<WorkerGuard>,
}

/// Starts the thread that writes to standard error.
pub(super) fn start() -> (NonBlocking, FlushGuard) {
    start_with(io::stderr())
}

fn start_with(out: impl Write + Send + 'static) -> (NonBlocking, FlushGuard) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_QUEUED_LINES).thread_name("log");
    let (queue, worker) = builder.finish(out);
    let dropped = queue.error_counter();
    (queue, FlushGuard { dropped, worker: Some(worker) })
}

impl FlushGuard {
    /// The number of lines that were dropped so far because the queue was full.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        let lines = self.dropped_lines();
        if lines > 0 {
            tracing::warn!(lines, "log lines were left out: they could not be written as fast as they came");
        }
        let (finished, done) = mpsc::channel::<()>();
        let worker = self.worker.take();
        let flush = move || {
            drop(worker);
            drop(finished);
        };
        // Without a thread to spare, the closure is dropped here, and the crate's own bound applies.
        if thread::Builder::new().name("log-flush".to_owned()).spawn(flush).is_ok() {
            let _ = done.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Instant,
    };

    use super::*;

    /// A reader that takes a line only when the test lets it, or any line after the test has dropped its sender.
    struct Reader {
        may: mpsc::Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.may.recv();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_stopped_blocks_no_writer_and_queued_lines_are_written_in_the_end() {
        let (go_on, may) = mpsc::channel();
        let read = Arc::<Mutex<Vec<u8>>>::default();
        let (mut queue, guard) = start_with(Reader { may, read: Arc::clone(&read) });
        let start = Instant::now();
        for n in 0..MAX_QUEUED_LINES + 100 {
            queue.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        let dropped = guard.dropped_lines();
        // One line is on its way already, or not yet.
        assert!((99..=100).contains(&dropped));
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(go_on);
        });
        drop(guard);
        reader.join().unwrap();
        let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        assert!(read.starts_with("0\n1\n2\n"), "{read:.100}");
        assert_eq!(read.lines().count(), MAX_QUEUED_LINES + 100 - dropped);
    }

    #[test]
    fn the_end_of_the_process_does_not_wait_for_a_reader_that_never_reads() {
        let (_never, may) = mpsc::channel();
        let (mut queue, guard) = start_with(Reader { may, read: Arc::default() });
        queue.write_all(b"unheard\n").unwrap();
        let start = Instant::now();
        drop(guard);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
