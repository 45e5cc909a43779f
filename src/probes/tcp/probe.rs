//! One run: connects, negotiates TLS, and performs the steps of the dialogue.

use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{
    Closed, Tcp, TcpFacts,
    dialogue::{Conversation, DialogueAction},
};
use crate::{
    io::{
        context::Context,
        dial::{self, AddressFamily},
        tls::{Certificates, Tls},
    },
    model::{
        failure::Failure,
        observation::Incomplete,
        words::{Phase, Reason},
    },
    probe::Probe,
};

/// A `tcp` probe.
#[derive(Debug)]
pub struct TcpProbe {
    settings: Tcp,
    actions: Vec<DialogueAction>,
}

/// A connection, encrypted or not.
type TcpLink = Either<TlsStream<TcpStream>, TcpStream>;

impl Probe for TcpProbe {
    type Facts = TcpFacts;

    fn host(&self) -> Option<&str> {
        Some(self.settings.address.host())
    }

    async fn observe(&self, cx: &Context) -> Result<TcpFacts, Incomplete<TcpFacts>> {
        let (mut facts, mut talk) = (TcpFacts::default(), Conversation::default());
        let outcome = cx.until_timeout(self.run(cx, &mut facts, &mut talk)).await;
        facts.received = talk.inbox.received();
        facts.banner = talk.inbox.banner();
        match outcome {
            Ok(()) => Ok(facts),
            Err(failure) => Err(Incomplete { failure: explain_timeout(failure, &talk), facts: Some(facts) }),
        }
    }
}

/// Adds the expected and the received bytes to a timeout.
fn explain_timeout(failure: Failure, talk: &Conversation) -> Failure {
    match talk.describe_wait() {
        Some(wait) if failure.reason == Reason::Timeout => {
            Failure::new(Reason::Timeout, format!("{}: {wait}", failure.detail))
        }
        _ => failure,
    }
}

impl TcpProbe {
    pub(super) fn new(settings: Tcp, actions: Vec<DialogueAction>) -> Self {
        Self { settings, actions }
    }

    async fn run(&self, cx: &Context, facts: &mut TcpFacts, talk: &mut Conversation) -> Result<(), Failure> {
        let Tcp { address, tls, starttls, address_family, closed, .. } = &self.settings;
        if *closed != Closed::No {
            let silence_passes = *closed == Closed::OrSilent;
            return dial::require_closed(cx, address.host(), address.port(), *address_family, silence_passes).await;
        }
        let (mut stream, remote) = dial::connect(cx, address.host(), address.port(), *address_family).await?;
        facts.remote = Some(remote);
        facts.address_family = Some(if remote.is_ipv4() { AddressFamily::Ip4 } else { AddressFamily::Ip6 });
        if let Some(protocol) = starttls {
            let name = tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or(address.host());
            cx.phase(Phase::Tls, protocol.negotiate(&mut stream, name, talk)).await?;
        }
        let starts_encrypted = starttls.is_some() || (tls.is_some() && !self.starts_tls_later());
        let mut link =
            if starts_encrypted { self.encrypt(cx, stream, facts, talk).await? } else { Either::Right(stream) };
        let mut actions = self.actions.iter().peekable();
        while let Some(action) = actions.next() {
            link = match action {
                DialogueAction::Expect(expected) => {
                    let settles = expected.may_grow() || matches!(actions.peek(), Some(DialogueAction::StartTls));
                    cx.phase(Phase::Response, talk.expect(&mut link, expected, settles)).await?;
                    link
                }
                DialogueAction::Send(payload) => {
                    let bytes = payload.bytes(&talk.groups);
                    cx.phase(Phase::Request, talk.send(&mut link, &bytes)).await?;
                    link
                }
                DialogueAction::StartTls => match link {
                    Either::Right(mut stream) => {
                        cx.phase(Phase::Tls, talk.finish_line(&mut stream)).await?;
                        self.encrypt(cx, stream, facts, talk).await?
                    }
                    encrypted @ Either::Left(_) => encrypted,
                },
            };
        }
        Ok(())
    }

    /// Whether a step of the dialogue starts TLS.
    fn starts_tls_later(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, DialogueAction::StartTls))
    }

    async fn encrypt(
        &self,
        cx: &Context,
        stream: TcpStream,
        facts: &mut TcpFacts,
        talk: &mut Conversation,
    ) -> Result<TcpLink, Failure> {
        let (standard, host) = (Tls::default(), self.settings.address.host());
        let tls = self.settings.tls.as_ref().unwrap_or(&standard);
        talk.expected = None;
        talk.inbox.begin_line();
        let deadline = Instant::now() + cx.remaining();
        let handshake = cx.phase(Phase::Tls, tls.handshake_until(deadline, stream, host, &[], &cx.shared.tls)).await;
        facts.certificates = handshake.presented.as_ref().and_then(Certificates::from_presented);
        facts.tls_version = handshake.presented.as_ref().and_then(|presented| presented.version);
        let mut link = Either::Left(handshake.stream?);
        if handshake.wants_client_certificate && self.actions.is_empty() {
            cx.phase(Phase::Tls, await_acceptance(cx, &mut link, talk)).await?;
        }
        Ok(link)
    }
}

/// Waits for the alert of a server that refuses the client certificate. In TLS 1.3 it arrives after the handshake, and a
/// run without a dialogue would not notice it.
async fn await_acceptance(cx: &Context, link: &mut TcpLink, talk: &mut Conversation) -> Result<(), Failure> {
    let time = MAX_ALERT_TIME.min(cx.remaining() / 4);
    match tokio::time::timeout(time, talk.inbox.receive(link)).await {
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Maximum time to wait for an alert about the client certificate.
const MAX_ALERT_TIME: std::time::Duration = std::time::Duration::from_millis(500);
