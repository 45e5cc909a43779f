//! What one connection does: whether an answer is under way, and when bytes of it last went out.
//!
//! An answer is under way from the call of the service until its last byte is with the kernel: after the body has ended,
//! up to a buffer of it may still be here.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::Instant,
};

/// The first request must be there by then.
pub(super) const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// From one request to the next, its answer included: longer than the usual interval of scrapes.
pub(super) const NEXT_REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
/// A new connection is not idle before: its request may still be on the way.
const ARRIVAL_TIME: Duration = Duration::from_millis(20);
/// An answer of which no byte went out for so long is stalled.
const STALL_TIME: Duration = Duration::from_secs(2);
/// An answer that takes longer may be broken off for clients that wait.
const LONG_ANSWER_TIME: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<ActivityState>,
    /// Wakes clients that wait for a place.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct ActivityState {
    /// Answers with a live future or body.
    answers: u32,
    /// Whether bytes of an answer may still be in a buffer of this process.
    is_unflushed: bool,
    /// Whether the answer is made and on its way.
    is_sending: bool,
    has_requested: bool,
    /// `None` while an answer is under way, and until the connection has been read from.
    idle_since: Option<Instant>,
    answering_since: Instant,
    last_progress: Instant,
    deadline: Instant,
}

/// How little it costs to close a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closable {
    /// It makes progress with an answer, or has just been opened.
    No,
    /// Its answer is stalled, or takes very long.
    Stalled,
    /// No answer is under way.
    Idle,
}

impl Activity {
    pub(super) fn new(changed: Arc<Notify>) -> Arc<Self> {
        let now = Instant::now();
        let state = ActivityState {
            answers: 0,
            is_unflushed: false,
            is_sending: false,
            has_requested: false,
            idle_since: None,
            answering_since: now,
            last_progress: now,
            deadline: now + FIRST_REQUEST_TIMEOUT,
        };
        Arc::new(Self { state: Mutex::new(state), changed })
    }

    /// A request has come; its answer is under way until the value is dropped and all is written.
    pub(super) fn begin_answer(self: &Arc<Self>) -> AnswerUnderWay {
        let now = Instant::now();
        let mut state = self.lock();
        state.answers += 1;
        (state.is_unflushed, state.is_sending, state.has_requested) = (true, false, true);
        (state.idle_since, state.answering_since, state.last_progress) = (None, now, now);
        state.deadline = now + NEXT_REQUEST_TIMEOUT;
        AnswerUnderWay(Arc::clone(self))
    }

    /// When the connection has to be closed, whatever the other connections do.
    pub(super) fn deadline(&self) -> Instant {
        self.lock().deadline
    }

    /// Whether the connection can make room for another one, and since when it has been in this state.
    pub(super) fn closable(&self, now: Instant) -> (Closable, Instant) {
        let state = self.lock();
        match state.idle_since {
            Some(since) if state.has_requested || now >= since + ARRIVAL_TIME => (Closable::Idle, since),
            Some(since) => (Closable::No, since),
            None if state.is_sending && now >= state.last_progress + STALL_TIME => {
                (Closable::Stalled, state.last_progress)
            }
            None if now >= state.answering_since + LONG_ANSWER_TIME => (Closable::Stalled, state.answering_since),
            None => (Closable::No, state.answering_since),
        }
    }

    /// Whether an answer is under way.
    pub(super) fn is_answering(&self) -> bool {
        self.lock().is_unflushed
    }

    fn record_written(&self, bytes: usize) {
        if bytes > 0 {
            self.lock().last_progress = Instant::now();
        }
    }

    /// Everything that was written so far is with the kernel.
    fn record_flushed(&self) {
        let mut state = self.lock();
        if state.answers == 0 && state.is_unflushed {
            (state.is_unflushed, state.is_sending, state.idle_since) = (false, false, Some(Instant::now()));
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// The client has sent nothing more.
    fn record_no_request(&self) {
        let mut state = self.lock();
        if !state.is_unflushed && state.idle_since.is_none() {
            state.idle_since = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock()
    }
}

/// An answer that is being made or sent.
#[derive(Debug)]
pub(super) struct AnswerUnderWay(Arc<Activity>);

impl AnswerUnderWay {
    /// The answer is made; from here on the client sets the pace.
    pub(super) fn record_made(&self) {
        let mut state = self.0.lock();
        (state.is_sending, state.last_progress) = (true, Instant::now());
    }
}

impl Drop for AnswerUnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.answers = state.answers.saturating_sub(1);
    }
}

/// The socket of a connection, which records its progress.
#[derive(Debug)]
pub(super) struct TrackedStream {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl TrackedStream {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for TrackedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() {
            self.activity.record_no_request();
        }
        read
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.record(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.record(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The HTTP library flushes when it has written all that it holds.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.activity.record_flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl TrackedStream {
    fn record(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.activity.record_written(*bytes);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_can_be_closed_while_it_is_idle_or_its_answer_stalls() {
        let activity = Activity::new(Arc::default());
        let closable = || activity.closable(Instant::now()).0;
        assert_eq!(closable(), Closable::No, "nothing has been read yet");
        activity.record_no_request();
        assert_eq!(closable(), Closable::No, "a request may be on the way");
        advance(ARRIVAL_TIME).await;
        assert_eq!(closable(), Closable::Idle);
        let answer = activity.begin_answer();
        advance(STALL_TIME).await;
        assert_eq!(closable(), Closable::No, "the answer is being made");
        answer.record_made();
        drop(answer);
        advance(STALL_TIME / 2).await;
        activity.record_written(0);
        assert!(activity.is_answering() && closable() == Closable::No, "bytes are still here");
        advance(STALL_TIME / 2).await;
        assert_eq!(closable(), Closable::Stalled);
        activity.record_written(1);
        assert_eq!(closable(), Closable::No);
        activity.record_flushed();
        assert_eq!(closable(), Closable::Idle);
        let _answer = activity.begin_answer();
        advance(LONG_ANSWER_TIME).await;
        assert_eq!(closable(), Closable::Stalled);
    }
}
