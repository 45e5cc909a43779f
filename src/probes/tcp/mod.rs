#![doc = include_str!("tcp.md")]

mod checks;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

pub use crate::io::address::Address;
use crate::{
    checks::certificate::Certified,
    io::{
        context::Context,
        dial::{self, AddressFamily},
        resources::Resources,
        tls::{Certificates, Tls},
    },
    kind::{CheckEntry, Kind},
    model::{
        failure::{Failure, Invalid},
        metric::Sample,
        observation::{Facts, Incomplete, Timing},
        pattern::Pattern,
        redaction::{SentSecrets, before_cut},
        secret::Secret,
        words::{Phase, Reason},
    },
    probe::Probe,
};

/// Settings of a `tcp` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// Address of the server, `host:port`. An IPv6 address is written in brackets.
    pub address: Address,
    /// TLS settings. If present, the connection is encrypted; `{}` uses the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Text to send after connecting, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Secret>,
    /// Regular expression that must match the first 64 KiB of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
    /// Address family of the connection.
    #[serde(default)]
    pub address_family: AddressFamily,
}

/// A `tcp` probe.
#[derive(Debug)]
pub struct TcpProbe(Tcp);

/// Facts of a `tcp` probe.
#[derive(Debug, Default, Serialize)]
pub struct TcpFacts {
    /// Remote address of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<std::net::SocketAddr>,
    /// Certificates of an encrypted connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// Number of bytes that were received until the expectation was met.
    pub received: usize,
}

/// Facts that a check can request from a `tcp` probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpFactRequest {
    /// Certificates of the server.
    Certificates,
}

impl Facts for TcpFacts {
    type Request = TcpFactRequest;

    fn samples(&self) -> Vec<Sample> {
        self.certificates.as_ref().map(Certificates::samples).unwrap_or_default()
    }
}

impl Certified for TcpFacts {
    fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }
    fn certificates_request() -> TcpFactRequest {
        TcpFactRequest::Certificates
    }
}

impl Kind for Tcp {
    const NAME: &'static str = "tcp";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::Response];
    const DOC: &'static str = include_str!("tcp.md");
    const CHECKS: &'static [CheckEntry<TcpFacts>] = checks::CHECKS;
    type Probe = TcpProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        self.tls.as_ref().map_or(Ok(()), Tls::validate)
    }

    fn validate_requests(&self, requests: &[TcpFactRequest]) -> Result<(), Invalid> {
        if self.tls.is_none() && requests.contains(&TcpFactRequest::Certificates) {
            return Err(Invalid::at("address", "a `certificate` check needs an encrypted connection: add `tls: {}`"));
        }
        Ok(())
    }

    fn sent_secrets(&self) -> SentSecrets {
        let mut secrets = SentSecrets::default();
        self.send.iter().for_each(|send| secrets.add_sent_text(send.expose()));
        secrets
    }

    fn build(self, _requests: Vec<TcpFactRequest>, _shared: &Arc<Resources>) -> Result<TcpProbe, Invalid> {
        Ok(TcpProbe(self))
    }
}

impl Probe for TcpProbe {
    type Facts = TcpFacts;

    fn host(&self) -> Option<&str> {
        Some(self.0.address.host())
    }

    async fn observe(&self, cx: &Context) -> Result<TcpFacts, Incomplete<TcpFacts>> {
        let mut facts = TcpFacts::default();
        match self.run(cx, &mut facts).await {
            Ok(()) => Ok(facts),
            Err(failure) => Err(Incomplete { failure, facts: Some(facts) }),
        }
    }
}

/// Maximum number of bytes of a response.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Maximum number of bytes of a response that are searched for secrets before it is quoted, and of quoted characters.
const MAX_QUOTED_BYTES: usize = 4 << 10;
const MAX_SHOWN_CHARS: usize = 60;

impl TcpProbe {
    async fn run(&self, cx: &Context, facts: &mut TcpFacts) -> Result<(), Failure> {
        let Tcp { address, tls, address_family, .. } = &self.0;
        let (stream, remote) = dial::connect(cx, address.host(), address.port(), *address_family).await?;
        facts.remote = Some(remote);
        let Some(tls) = tls else { return self.exchange_messages(cx, stream, facts).await };
        let handshake = cx.phase(Phase::Tls, tls.handshake(stream, address.host(), &[], &cx.shared.tls)).await;
        facts.certificates = handshake.presented.as_ref().and_then(Certificates::from_presented);
        self.exchange_messages(cx, handshake.stream?, facts).await
    }

    async fn exchange_messages<S>(&self, cx: &Context, mut stream: S, facts: &mut TcpFacts) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(send) = &self.0.send {
            let sent = async {
                stream.write_all(send.expose().as_bytes()).await?;
                stream.flush().await
            };
            cx.phase(Phase::Request, sent).await.map_err(|error| dial::io_failure("sending failed", &error))?;
        }
        match &self.0.expect {
            Some(expect) => cx.phase(Phase::Response, read_until_match(&mut stream, expect, facts)).await,
            None => Ok(()),
        }
    }
}

/// Reads until the response matches the expectation. A response that ends or exceeds its maximum size before is a
/// failure.
async fn read_until_match<S: AsyncRead + Unpin>(
    stream: &mut S,
    expect: &Pattern,
    facts: &mut TcpFacts,
) -> Result<(), Failure> {
    let mut heard = Vec::new();
    loop {
        let read = stream.read_buf(&mut heard).await.map_err(|error| dial::io_failure("reading failed", &error))?;
        facts.received = heard.len();
        let start = Instant::now();
        let found =
            if read > 0 { expect.is_match(heard.get(..MAX_RESPONSE_BYTES).unwrap_or(&heard)) } else { Ok(false) };
        if found.map_err(|error| Failure::new(Reason::TooLarge, format!("`{expect}` on the answer: {error}")))? {
            return Ok(());
        }
        let text = || quote_response(&heard);
        match read {
            0 if heard.is_empty() => {
                return Err(Failure::new(Reason::Body, "the other end closed the connection without a word"));
            }
            0 => return Err(Failure::new(Reason::Body, format!("`{expect}` does not match the answer {}", text()))),
            _ if heard.len() >= MAX_RESPONSE_BYTES => {
                let detail = format!("`{expect}` does not match the first 64KiB of the answer {}", text());
                return Err(Failure::new(Reason::TooLarge, detail));
            }
            _ => {}
        }
        // A response may arrive byte by byte, and each search may take the maximum time of a pattern. The searches take
        // at most a fifth of the time, and the next search has more bytes.
        let spent = start.elapsed();
        if spent > Duration::from_millis(1) {
            tokio::time::sleep(spent * 4).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// Quotes the beginning of a response with visible escapes.
fn quote_response(bytes: &[u8]) -> String {
    let start = bytes.get(..MAX_QUOTED_BYTES).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    // `before_cut` must see the original text, because escapes would only add work.
    let shown = before_cut(&text, MAX_SHOWN_CHARS);
    let cut: String = shown.chars().take(MAX_SHOWN_CHARS).collect();
    let more = if cut.len() < shown.len() || bytes.len() > start.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}

#[cfg(test)]
mod tests;
