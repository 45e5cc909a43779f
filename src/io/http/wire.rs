//! Bounds that hyper does not have: on consecutive reads, on bytes that an idle connection receives, on interim
//! responses, and on responses with an ambiguous end. In addition, a count of the received bytes.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use hyper::{
    HeaderMap, Request,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use crate::model::{failure::Failure, words::Reason};

/// A connection with a bound on consecutive reads, after which other tasks run.
///
/// hyper reads from a connection as long as data is available: interim responses, chunk sizes and frames of HTTP/2,
/// which don't reach the exchange. tokio interrupts a task only after 128 reads, which is up to 8 MiB here.
#[derive(Debug)]
pub(crate) struct PacedStream<S> {
    stream: S,
    read: usize,
    idle_limit: IdleLimit,
    received: ReceivedBytes,
}

/// Number of bytes that a connection has received since the start of a request. For an encrypted connection, the bytes
/// are counted after decryption.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReceivedBytes(Arc<AtomicU64>);

/// Maximum number of bytes of consecutive reads. A frame of a dozen bytes takes microseconds.
const MAX_READ: usize = 16 << 10;

/// Bound on the bytes that a connection receives between two runs. hyper reads and answers such bytes (PING, SETTINGS,
/// unknown frames) as long as the connection exists, and no timeout of a run ends this.
#[derive(Debug, Clone)]
pub(crate) struct IdleLimit(Arc<AtomicUsize>);

/// Maximum number of bytes that a connection receives between two runs: more than 3,000 PING frames, one in 30 seconds
/// for a day.
const MAX_IDLE_READ: usize = 64 << 10;
/// Value of the bound while a run uses the connection.
const UNLIMITED: usize = usize::MAX;

/// Counter of the interim (1xx) responses to one request. hyper skips them without a limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct InterimResponses(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    seen: AtomicUsize,
    exceeded: Notify,
}

/// Maximum number of interim responses to one request. Servers send one or two; a slow one may repeat `102 Processing`
/// every few seconds.
const MAX_INTERIM_RESPONSES: usize = 32;

impl<S> PacedStream<S> {
    pub(crate) fn new(stream: S, idle_limit: IdleLimit, received: ReceivedBytes) -> Self {
        Self { stream, read: 0, idle_limit, received }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read >= MAX_READ {
            self.read = 0;
            // Waking the task directly would run it before the sockets of other tasks are polled.
            ready!(pin!(tokio::task::yield_now()).poll(cx));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        self.read = if read.is_pending() { 0 } else { self.read + count };
        self.received.0.fetch_add(count as u64, Ordering::Relaxed);
        if !self.idle_limit.admits(count) {
            let text = format!("the other end sent more than {}KiB between two runs", MAX_IDLE_READ >> 10);
            return Poll::Ready(Err(io::Error::other(text)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl ReceivedBytes {
    /// The number of bytes until now.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Starts at zero for the next request.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Default for IdleLimit {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(UNLIMITED)))
    }
}

impl IdleLimit {
    /// Applies the bound: the connection is idle.
    pub(crate) fn start(&self) {
        self.0.store(MAX_IDLE_READ, Ordering::Relaxed);
    }

    /// Lifts the bound: a run uses the connection.
    pub(crate) fn stop(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }

    fn admits(&self, count: usize) -> bool {
        let left = |left| if left == UNLIMITED { Some(left) } else { usize::checked_sub(left, count) };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }
}

impl InterimResponses {
    /// Counts the interim responses to a request over HTTP/1.
    pub(crate) fn count_for<B>(request: &mut Request<B>) -> Self {
        let interim = Self::default();
        let count = Arc::clone(&interim.0);
        hyper::ext::on_informational(request, move |_| {
            if count.seen.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM_RESPONSES {
                count.exceeded.notify_one();
            }
        });
        interim
    }

    /// Waits until the number of interim responses exceeds the maximum.
    pub(crate) async fn wait_until_exceeded(&self) -> Failure {
        self.0.exceeded.notified().await;
        let text = format!(
            "the other end sends interim (1xx) responses without end, more than {MAX_INTERIM_RESPONSES} so far: correct the server, or the proxy in front of it"
        );
        Failure::new(Reason::Protocol, text)
    }
}

/// Rejects a response if two readers may disagree on its end (RFC 9112, section 6.3).
pub(crate) fn refuse_ambiguous_end(headers: &HeaderMap) -> Result<(), Failure> {
    let lengths: Vec<_> = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let what = if headers.contains_key(TRANSFER_ENCODING) && !lengths.is_empty() {
        "both Content-Length and Transfer-Encoding"
    } else if lengths.windows(2).any(|two| matches!(two, [a, b] if a != b)) {
        "several Content-Length that differ"
    } else {
        return Ok(());
    };
    Err(ambiguous_end(what))
}

/// Failure of a response with an ambiguous end.
pub(crate) fn ambiguous_end(what: &str) -> Failure {
    let text = format!(
        "the response has {what}, so that its end depends on who reads it, which is how responses are smuggled past a \
         proxy (RFC 9112, section 6.3): correct the server, or the proxy in front of it"
    );
    Failure::new(Reason::Protocol, text)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_between_two_runs_are_bounded_and_a_run_begins_anew() {
        let idle_limit = IdleLimit::default();
        let received = ReceivedBytes::default();
        let mut stream = PacedStream::new(tokio::io::repeat(0), idle_limit.clone(), received.clone());
        let mut bytes = vec![0; MAX_IDLE_READ];
        for _ in 0..3 {
            idle_limit.start();
            stream.read_exact(&mut bytes).await.unwrap();
            idle_limit.stop();
            stream.read_exact(&mut bytes).await.unwrap();
        }
        idle_limit.start();
        stream.read_exact(&mut bytes).await.unwrap();
        let error = stream.read_exact(&mut [0]).await.unwrap_err();
        assert_eq!(error.to_string(), "the other end sent more than 64KiB between two runs");
        assert_eq!(received.count(), 7 * MAX_IDLE_READ as u64 + 1);
        received.reset();
        assert_eq!(received.count(), 0);
    }
}
