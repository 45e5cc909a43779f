//! A bounded queue of log lines. A thread writes them to standard error, so that a blocked pipe delays neither probes
//! nor scrapes. Lines that don't fit are dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// Longest queue; some hundred kilobytes.
const MAX_QUEUED_LINES: usize = 4_096;
/// Time to wait for the last lines at exit.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Sender of log lines.
#[derive(Clone, Debug)]
pub(super) struct LogQueue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// Flushes the log on drop, with a timeout of half a second.
#[derive(Debug)]
pub struct FlushGuard {
    queue: LogQueue,
    done: Receiver<()>,
}

/// A log line that is queued on drop.
#[derive(Debug)]
pub(super) struct LogLine<'a> {
    queue: &'a LogQueue,
    bytes: Vec<u8>,
}

/// Starts the thread that writes to standard error.
///
/// # Errors
/// The system can't create a thread.
pub(super) fn start() -> io::Result<(LogQueue, FlushGuard)> {
    spawn_writer(io::stderr())
}

fn spawn_writer(mut out: impl Write + Send + 'static) -> io::Result<(LogQueue, FlushGuard)> {
    let (sender, lines) = sync_channel::<Vec<u8>>(MAX_QUEUED_LINES);
    let (finished, done) = sync_channel(1);
    let queue = LogQueue { lines: sender, dropped: Arc::default() };
    let dropped = Arc::clone(&queue.dropped);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        for line in lines {
            if line.is_empty() {
                let _ = finished.try_send(());
                continue;
            }
            // Writing fails only if standard error is closed.
            let _ = out.write_all(&line);
            let lines = dropped.swap(0, Ordering::Relaxed);
            if lines > 0 {
                tracing::warn!(lines, "dropped log lines: standard error was too slow");
            }
        }
    })?;
    Ok((queue.clone(), FlushGuard { queue, done }))
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine { queue: self, bytes: Vec::new() }
    }
}

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.queue.lines.try_send(line).is_err() {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        let end = Instant::now() + FLUSH_TIMEOUT;
        // An empty line requests a confirmation that all lines before it are written. It may have to wait for space in
        // the queue.
        while let Err(TrySendError::Full(_)) = self.queue.lines.try_send(Vec::new()) {
            if Instant::now() >= end {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _: Result<(), RecvTimeoutError> = self.done.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    /// A reader that reads only when the test permits it.
    struct Reader {
        may: mpsc::Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // After the sender was dropped, every read passes.
            let _ = self.may.recv();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_stopped_holds_nobody_up_and_what_was_said_comes_out_in_the_end() {
        let (go_on, may) = mpsc::channel();
        let read = Arc::<Mutex<Vec<u8>>>::default();
        let (queue, flush_guard) = spawn_writer(Reader { may, read: Arc::clone(&read) }).unwrap();
        let start = Instant::now();
        for n in 0..MAX_QUEUED_LINES + 100 {
            queue.make_writer().write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        let dropped = queue.dropped.load(Ordering::Relaxed) as usize;
        // The thread may have taken one line already.
        assert!((99..=100).contains(&dropped));
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(go_on);
        });
        drop(flush_guard);
        reader.join().unwrap();
        let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        assert!(read.starts_with("0\n1\n2\n"), "{read:.100}");
        assert_eq!(read.lines().count(), MAX_QUEUED_LINES + 100 - dropped);
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_who_never_reads() {
        let (_never, may) = mpsc::channel();
        let (queue, flush_guard) = spawn_writer(Reader { may, read: Arc::default() }).unwrap();
        queue.make_writer().write_all(b"unheard\n").unwrap();
        let start = Instant::now();
        drop(flush_guard);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
