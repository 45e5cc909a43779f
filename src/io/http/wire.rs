//! What hyper leaves open of HTTP on the wire: how much is read in one go, how many interim responses there are, and
//! responses whose end depends on the reader.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
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

/// A connection from which only so much is read before everything else has its turn.
///
/// hyper goes on reading while a connection has more: through interim responses, chunk sizes and the frames of HTTP/2,
/// of none of which an exchange hears. tokio ends that after 128 reads, which is up to 8 MiB here.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    stream: S,
    read: usize,
    rest: Rest,
}

/// Bytes that are read in one go: a frame of a dozen bytes takes microseconds.
const MAX_READ: usize = 16 << 10;

/// Bounds the bytes that a connection receives between two runs. hyper reads and answers them (PING, SETTINGS, frames of
/// unknown kinds) for as long as the connection lasts, and no timeout of a run ends that.
#[derive(Debug, Clone)]
pub(crate) struct Rest(Arc<AtomicUsize>);

/// Bytes that a connection may receive between two runs: more than 3,000 PING, one in 30 seconds for a day.
const MAX_READ_AT_REST: usize = 64 << 10;
/// For a connection that a run uses.
const UNLIMITED: usize = usize::MAX;

/// Counts the interim (1xx) responses to one request. hyper skips them without a limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interim(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    seen: AtomicUsize,
    exceeded: Notify,
}

/// Interim responses to one request. Servers send one or two; a slow one may repeat `102 Processing` every few seconds.
const MAX_INTERIM_RESPONSES: usize = 32;

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, rest: Rest) -> Self {
        Self { stream, read: 0, rest }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read >= MAX_READ {
            self.read = 0;
            // Not the waker itself: the task would have its next turn before the sockets of the others are looked at.
            ready!(pin!(tokio::task::yield_now()).poll(cx));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        self.read = if read.is_pending() { 0 } else { self.read + count };
        if !self.rest.admits(count) {
            let text = format!("the other end sent more than {}KiB between two runs", MAX_READ_AT_REST >> 10);
            return Poll::Ready(Err(io::Error::other(text)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
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

impl Default for Rest {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(UNLIMITED)))
    }
}

impl Rest {
    /// Begins the time between two runs.
    pub(crate) fn begin(&self) {
        self.0.store(MAX_READ_AT_REST, Ordering::Relaxed);
    }

    /// Ends it: a run uses the connection.
    pub(crate) fn end(&self) {
        self.0.store(UNLIMITED, Ordering::Relaxed);
    }

    fn admits(&self, count: usize) -> bool {
        let left = |left| if left == UNLIMITED { Some(left) } else { usize::checked_sub(left, count) };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }
}

impl Interim {
    /// Counts the interim responses to a request that is sent over HTTP/1.
    pub(crate) fn count<B>(request: &mut Request<B>) -> Self {
        let interim = Self::default();
        let count = Arc::clone(&interim.0);
        hyper::ext::on_informational(request, move |_| {
            if count.seen.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM_RESPONSES {
                count.exceeded.notify_one();
            }
        });
        interim
    }

    /// Waits until there are more of them than allowed.
    pub(crate) async fn exceeded(&self) -> Failure {
        self.0.exceeded.notified().await;
        let text = format!(
            "the other end sends interim (1xx) responses without end, more than {MAX_INTERIM_RESPONSES} so far: correct the server, or the proxy in front of it"
        );
        Failure::new(Reason::Protocol, text)
    }
}

/// Refuses a response that two readers may take to end at different places (RFC 9112, section 6.3).
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
    Err(ambiguous(what))
}

/// The failure for a response with these headers.
pub(crate) fn ambiguous(what: &str) -> Failure {
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
        let rest = Rest::default();
        let mut stream = Paced::new(tokio::io::repeat(0), rest.clone());
        let mut bytes = vec![0; MAX_READ_AT_REST];
        for _ in 0..3 {
            rest.begin();
            stream.read_exact(&mut bytes).await.unwrap();
            rest.end();
            stream.read_exact(&mut bytes).await.unwrap();
        }
        rest.begin();
        stream.read_exact(&mut bytes).await.unwrap();
        let error = stream.read_exact(&mut [0]).await.unwrap_err();
        assert_eq!(error.to_string(), "the other end sent more than 64KiB between two runs");
    }
}
