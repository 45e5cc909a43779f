//! Performs the steps of a dialogue on a connection.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use crate::{
    io::{dial, tls},
    model::{failure::Failure, pattern::LinePattern, words::Reason},
    probes::tcp::inbox::Inbox,
};

/// Time without further bytes after which a match at the end of the received bytes is final. A response may arrive in
/// several parts, and a group or `$` may end too early in the first part.
const SETTLE_TIME: Duration = Duration::from_millis(50);

/// State of a dialogue that outlives a run that is given up.
#[derive(Debug, Default)]
pub(in crate::probes::tcp) struct Conversation {
    pub(in crate::probes::tcp) inbox: Inbox,
    /// Description of the response that the probe waits for.
    pub(in crate::probes::tcp) expected: Option<String>,
    /// Groups of the last expression with groups; the first is its whole match.
    pub(in crate::probes::tcp) groups: Vec<Vec<u8>>,
}

impl Conversation {
    /// Sends bytes.
    ///
    /// # Errors
    /// Those of the connection.
    pub(in crate::probes::tcp) async fn send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        self.inbox.begin_line();
        let sent = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        sent.await.map_err(|error| {
            tls::find_failure("sending failed", &error).unwrap_or_else(|| dial::io_failure("sending failed", &error))
        })
    }

    /// Reads until the unconsumed bytes match an expression, and consumes the bytes until the end of the match. `settle`
    /// requests that a match at the end of the received bytes is final only after a short silence.
    ///
    /// # Errors
    /// `body`: the connection ends before. `too_large`: there is no match in the maximum number of bytes.
    pub(in crate::probes::tcp) async fn expect<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        expected: &LinePattern,
        settle: bool,
    ) -> Result<(), Failure> {
        self.expected = Some(format!("`{expected}`"));
        let mut may_search = !self.inbox.unconsumed().is_empty();
        loop {
            let started = Instant::now();
            let found = if may_search { self.find(expected)? } else { None };
            let spent = started.elapsed();
            if let Some(end) = found {
                let is_at_end = end >= self.inbox.content().0.len();
                // An error after the response concerns the next step.
                if settle
                    && is_at_end
                    && !self.inbox.is_full()
                    && matches!(timeout(SETTLE_TIME, self.inbox.receive(stream)).await, Ok(Ok(1..)))
                {
                    continue;
                }
                self.remember_groups(expected)?;
                self.inbox.consume_until(end);
                self.expected = None;
                return Ok(());
            }
            if self.inbox.is_full() {
                let detail =
                    format!("`{expected}` does not match the first 64KiB of the answer {}", self.inbox.quote());
                return Err(Failure::new(Reason::TooLarge, detail));
            }
            // A response may arrive byte by byte, and each search may take the maximum time of a pattern. The searches
            // take at most a fifth of the time, and the next search has more bytes.
            if spent > Duration::from_millis(1) {
                tokio::time::sleep(spent * 4).await;
            } else {
                tokio::task::yield_now().await;
            }
            match self.inbox.receive(stream).await? {
                // The last bytes were searched.
                0 => return Err(self.ended(expected)),
                _ => may_search = true,
            }
        }
    }

    /// Consumes the rest of the current line before the TLS handshake.
    ///
    /// # Errors
    /// `protocol`: the server sends more than one line. An attacker could insert such text (CVE-2011-0411).
    pub(in crate::probes::tcp) async fn finish_line<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> Result<(), Failure> {
        // A binary protocol has no lines, so that a silence ends the response, too.
        while !self.inbox.unconsumed().contains(&b'\n') && !self.inbox.is_full() {
            match timeout(SETTLE_TIME, self.inbox.receive(stream)).await {
                Ok(Ok(1..)) => {}
                Ok(Err(failure)) => return Err(failure),
                Ok(Ok(0)) | Err(_) => break,
            }
        }
        let rest = self.inbox.unconsumed();
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        self.inbox.take(line);
        self.require_silence()
    }

    /// Checks that no bytes wait before the TLS handshake.
    ///
    /// # Errors
    /// `protocol`, with the bytes.
    pub(in crate::probes::tcp) fn require_silence(&self) -> Result<(), Failure> {
        if self.inbox.unconsumed().is_empty() {
            return Ok(());
        }
        let text = format!(
            "the server sends more before the TLS handshake: {}; a proxy or an attacker may have inserted it",
            self.inbox.quote()
        );
        Err(Failure::new(Reason::Protocol, text))
    }

    fn find(&self, expected: &LinePattern) -> Result<Option<usize>, Failure> {
        let (bytes, start) = self.inbox.content();
        expected.find_end(bytes, start).map_err(|error| too_long(expected, &error))
    }

    fn remember_groups(&mut self, expected: &LinePattern) -> Result<(), Failure> {
        if expected.groups() > 0 || self.groups.is_empty() {
            let (bytes, start) = self.inbox.content();
            self.groups = expected.capture(bytes, start).map_err(|error| too_long(expected, &error))?;
        }
        Ok(())
    }

    fn ended(&self, expected: &LinePattern) -> Failure {
        if self.inbox.unconsumed().is_empty() {
            let text = match self.inbox.received() {
                0 => "the other end closed the connection without a word".to_owned(),
                _ => format!("the other end closed the connection, expected `{expected}`"),
            };
            return Failure::new(Reason::Body, text);
        }
        Failure::new(Reason::Body, format!("`{expected}` does not match the answer {}", self.inbox.quote()))
    }

    /// The end of a sentence about a run that was given up: the expected and the received bytes.
    pub(in crate::probes::tcp) fn describe_wait(&self) -> Option<String> {
        let expected = self.expected.as_ref()?;
        Some(if self.inbox.unconsumed().is_empty() {
            format!("expected {expected}, and nothing came")
        } else {
            format!("expected {expected}, received {}", self.inbox.quote())
        })
    }
}

fn too_long(expected: &LinePattern, error: &crate::model::pattern::TooLong) -> Failure {
    Failure::new(Reason::TooLarge, format!("`{expected}` on the answer: {error}"))
}
