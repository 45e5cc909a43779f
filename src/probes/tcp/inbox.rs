//! Bytes that a server sent and that no step has consumed yet. The inbox outlives a run that is given up at its
//! timeout, so that the failure can state what was received.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    io::{dial, tls},
    model::{failure::Failure, redaction::before_cut, words::Reason},
};

/// Maximum number of unconsumed bytes.
pub(super) const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Maximum number of bytes of a response that are searched for secrets before it is quoted, and of quoted characters.
const MAX_QUOTED_BYTES: usize = 4 << 10;
const MAX_SHOWN_CHARS: usize = 60;
/// Maximum number of characters of the banner.
const MAX_BANNER_CHARS: usize = 200;
/// Bytes before the current position that remain for anchors and word boundaries: the longest character.
const LOOK_BEHIND: usize = 4;

/// Received bytes.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Start of the unconsumed bytes.
    start: usize,
    /// Number of bytes that were received in total.
    received: usize,
    /// Beginning of the bytes that the server sent before the probe sent something.
    banner: Vec<u8>,
    is_banner_complete: bool,
}

impl Inbox {
    /// Reads once; returns the number of bytes, which is 0 at the end of the connection.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn receive<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<usize, Failure> {
        let read = match stream.read_buf(&mut self.bytes).await {
            Ok(read) => read,
            // A peer that ends TLS without announcing it has ended the connection.
            Err(error) if tls::is_unannounced_end(&error) => 0,
            Err(error) => return Err(read_failure(&error)),
        };
        if !self.is_banner_complete {
            let new = self.bytes.len().saturating_sub(read);
            let free = MAX_QUOTED_BYTES.saturating_sub(self.banner.len());
            self.banner.extend(self.bytes.iter().skip(new).take(free));
        }
        self.received += read;
        Ok(read)
    }

    /// The bytes with the context before the unconsumed ones, and the start of the unconsumed ones.
    pub(super) fn content(&self) -> (&[u8], usize) {
        let end = self.bytes.len().min(self.start + MAX_RESPONSE_BYTES);
        (self.bytes.get(..end).unwrap_or_default(), self.start)
    }

    /// Unconsumed bytes.
    pub(super) fn unconsumed(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn is_full(&self) -> bool {
        self.unconsumed().len() >= MAX_RESPONSE_BYTES
    }

    /// Consumes bytes until a position of [`Inbox::content`].
    pub(super) fn consume_until(&mut self, end: usize) {
        let end = end.min(self.bytes.len());
        let keep = end.saturating_sub(LOOK_BEHIND);
        self.bytes.drain(..keep);
        self.start = end - keep;
    }

    /// Forgets the bytes before the next ones if all are consumed, so that the next byte begins a line. It is the first
    /// byte of a response, or of the encrypted part of the connection.
    pub(super) fn begin_line(&mut self) {
        self.is_banner_complete |= !self.banner.is_empty();
        if self.unconsumed().is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Consumes a number of unconsumed bytes, and returns them.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.unconsumed().get(..count).unwrap_or(self.unconsumed()).to_vec();
        self.consume_until(self.start + taken.len());
        taken
    }

    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Beginning of the first bytes of the server, for display.
    pub(super) fn banner(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.banner);
        (!text.is_empty()).then(|| before_cut(&text, MAX_BANNER_CHARS).chars().take(MAX_BANNER_CHARS).collect())
    }

    /// Quotes the beginning of the unconsumed bytes.
    pub(super) fn quote(&self) -> String {
        quote(self.unconsumed())
    }
}

/// Quotes the beginning of a response with visible escapes.
pub(super) fn quote(bytes: &[u8]) -> String {
    let start = bytes.get(..MAX_QUOTED_BYTES).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    // `before_cut` must see the original text, because escapes would only add work.
    let shown = before_cut(&text, MAX_SHOWN_CHARS);
    let cut: String = shown.chars().take(MAX_SHOWN_CHARS).collect();
    let more = if cut.len() < shown.len() || bytes.len() > start.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}

/// The failure of a read from an established connection. In TLS 1.3, a server refuses the client certificate after the
/// handshake, so its alert arrives with the first read.
pub(super) fn read_failure(error: &io::Error) -> Failure {
    tls::find_failure("reading failed", error).unwrap_or_else(|| match error.kind() {
        io::ErrorKind::ConnectionReset => {
            Failure::new(Reason::Protocol, "reading failed: the other end reset the connection")
        }
        _ => dial::io_failure("reading failed", error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn consumed_bytes_are_dropped_and_give_context_to_anchors() {
        let mut inbox = Inbox::default();
        let mut stream = &b"220 mail ready\r\n250 ok\r\n"[..];
        while inbox.receive(&mut stream).await.unwrap() > 0 {}
        inbox.consume_until(16);
        assert_eq!((inbox.content(), inbox.unconsumed()), ((&b"dy\r\n250 ok\r\n"[..], 4), &b"250 ok\r\n"[..]));
        assert_eq!(inbox.take(3), b"250");
        assert_eq!(inbox.take(100), b" ok\r\n");
        assert_eq!((inbox.unconsumed().len(), inbox.received()), (0, 24));
        inbox.begin_line();
        assert_eq!(inbox.content(), (&b""[..], 0));
        assert_eq!(inbox.banner().as_deref(), Some("220 mail ready\r\n250 ok\r\n"));
    }
}
