//! Connections of a probe: new ones through all phases, and one that is kept between runs.

use std::{net::IpAddr, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;
use tokio_util::{either::Either, task::AbortOnDropHandle};

use super::{
    Http, HttpFacts, redirect,
    request::{PreparedRequest, SentHeaders},
};
use crate::{
    io::{
        context::Context,
        dial,
        http::{
            body::BodyOptions,
            exchange::{self, ResponseProgress, Sender},
            framing::Framing,
            version::HttpVersion,
        },
        kept::{ConnectionAge, Renewal},
        tls::{Certificates, Tls},
    },
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// Opens the connections of a probe.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) keep_body: bool,
    pub(super) renewal: Renewal,
    /// Whether an address is one to which no redirect may lead.
    pub(super) forbidden: fn(IpAddr) -> bool,
    kept: Mutex<Option<Box<Kept>>>,
}

/// Results of a run until now. They outlive a run that fails or is aborted.
#[derive(Debug)]
pub(super) struct RunResults {
    pub(super) facts: HttpFacts,
    pub(super) progress: ResponseProgress,
}

/// A connection that waits for the next run. Its driver ends when it is dropped.
#[derive(Debug)]
struct Kept {
    sender: Sender,
    form: Framing,
    facts: HttpFacts,
    age: ConnectionAge,
    _driver: AbortOnDropHandle<()>,
}

/// An established connection.
struct Link {
    stream: exchange::HttpStream,
    form: Framing,
}

impl Connector {
    pub(super) fn new(keep_body: bool, renewal: Renewal) -> Self {
        Self { keep_body, renewal, forbidden: redirect::is_local_to_machine, kept: Mutex::default() }
    }

    /// Sends a request and reads its response, over the kept connection or a new one.
    ///
    /// # Errors
    /// The failures of connecting, of the TLS handshake, of the request and of reading the response.
    pub(super) async fn fetch(
        &self,
        settings: &Http,
        cx: &Context,
        hop: &PreparedRequest<'_>,
        sent: &SentHeaders,
        seen: &mut RunResults,
    ) -> Result<(), Failure> {
        let options = BodyOptions {
            limit: settings.body_limit,
            keep: self.keep_body,
            accepts_large_windows: settings.accepts_large_windows(),
        };
        seen.progress = ResponseProgress::default();
        // A redirect uses a connection of its own; only the connection of every run is kept.
        let reuse = settings.keep_alive && seen.facts.redirects.is_empty();
        if reuse && let Some(mut kept) = self.current_connection(settings, cx).await {
            seen.facts.copy_connection(&kept.facts);
            let request = settings.request(hop, kept.form, sent)?;
            match exchange::send_and_read(cx, &mut kept.sender, request, options, &mut seen.progress).await {
                Ok(()) => {
                    self.keep(kept);
                    return Ok(());
                }
                // The server may have closed the connection just now, which says nothing about its health.
                Err(failure)
                    if failure.reason == Reason::Protocol
                        && hop.method.is_idempotent()
                        && seen.progress.response.is_none() => {}
                Err(failure) => return Err(failure),
            }
        }
        let link = self.connect(settings, cx, hop, &mut seen.facts).await?;
        let request = settings.request(hop, link.form, sent)?;
        let (mut sender, driver) = exchange::start_http(link.stream, link.form == Framing::Two).await?;
        if !reuse {
            let exchange = exchange::send_and_read(cx, &mut sender, request, options, &mut seen.progress);
            return exchange::drive_while(driver, exchange).await;
        }
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        exchange::send_and_read(cx, &mut sender, request, options, &mut seen.progress).await?;
        if let Some(remote) = seen.facts.remote {
            let mut facts = HttpFacts::default();
            facts.copy_connection(&seen.facts);
            let age = ConnectionAge::start(remote);
            self.keep(Box::new(Kept { sender, form: link.form, facts, age, _driver: driver }));
        }
        Ok(())
    }

    /// Takes the kept connection, if the run may use it.
    async fn current_connection(&self, settings: &Http, cx: &Context) -> Option<Box<Kept>> {
        let mut kept = self.kept().take().filter(|kept| !kept.sender.is_closed())?;
        let is_current = kept.age.admits_run(cx, settings.nearest().host(), self.renewal).await;
        is_current.then_some(kept)
    }

    async fn connect(
        &self,
        settings: &Http,
        cx: &Context,
        hop: &PreparedRequest<'_>,
        facts: &mut HttpFacts,
    ) -> Result<Link, Failure> {
        let Http { proxy, address_family, http_version, .. } = settings;
        let target = &*hop.target;
        let nearest = proxy.as_ref().map_or(target, |proxy| proxy.target());
        let refuse = |address: IpAddr| redirect::forbidden(hop, address);
        if !hop.near
            && let Some(address) = target.address().filter(|address| (self.forbidden)(*address))
        {
            return Err(refuse(address));
        }
        // Only the proxy knows the address that it uses for a name. The address of the proxy itself is configured.
        let any = hop.near || proxy.is_some();
        let unless = |address| (!any && (self.forbidden)(address)).then(|| refuse(address));
        facts.forget_connection();
        let (mut stream, remote) =
            dial::connect_unless(cx, &nearest.dial_host(), nearest.port(), *address_family, unless).await?;
        facts.set_remote(remote);
        if !target.is_https() {
            let form = match (proxy, http_version) {
                (Some(_), _) => Framing::Proxied,
                (None, HttpVersion::Two) => Framing::Two,
                (None, _) => Framing::Direct,
            };
            return Ok(Link { stream: Either::Right(stream), form });
        }
        if let Some(proxy) = proxy {
            let headers = settings.headers_for_proxy()?;
            cx.phase(Phase::Connect, proxy.tunnel(&mut stream, target, &headers)).await?;
        }
        let (stream, form) = encrypt(settings, cx, hop, stream, facts).await?;
        Ok(Link { stream: Either::Left(stream), form })
    }

    fn keep(&self, kept: Box<Kept>) {
        kept.sender.mark_idle();
        *self.kept() = Some(kept);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Box<Kept>>> {
        self.kept.lock()
    }
}

async fn encrypt(
    settings: &Http,
    cx: &Context,
    hop: &PreparedRequest<'_>,
    stream: TcpStream,
    facts: &mut HttpFacts,
) -> Result<(TlsStream<TcpStream>, Framing), Failure> {
    let Http { tls, http_version, host, .. } = settings;
    let deadline = Instant::now() + cx.remaining();
    let handshake = if hop.same_origin {
        let name = host.as_deref().map_or(hop.target.host(), without_port);
        cx.phase(Phase::Tls, tls.handshake_until(deadline, stream, name, http_version.alpn(), &cx.shared.tls)).await
    } else {
        // The client certificate and the server name are for the configured origin only.
        let tls = Tls { cert: None, key: None, server_name: None, ..tls.clone() };
        cx.phase(
            Phase::Tls,
            tls.handshake_until(deadline, stream, hop.target.host(), http_version.alpn(), &cx.shared.tls),
        )
        .await
    };
    if facts.redirects.is_empty() {
        facts.certificates = handshake.presented.as_ref().and_then(Certificates::from_presented).map(Arc::new);
    }
    let stream = handshake.stream?;
    let session = &stream.get_ref().1;
    facts.set_tls_version(session.protocol_version());
    let form = match session.alpn_protocol() {
        Some(b"h2") => Framing::Two,
        _ if *http_version == HttpVersion::Two => {
            return Err(Failure::new(Reason::Protocol, format!("{} does not speak HTTP/2", hop.target)));
        }
        _ => Framing::Direct,
    };
    Ok((stream, form))
}

/// The host of `host:port`. The colons of an IPv6 address are inside brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
