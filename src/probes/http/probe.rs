//! One run: connects, sends the request, follows allowed redirects and compares the status with the expected ones.
//!
//! The probe drives hyper directly instead of an HTTP client, so that each phase has its own duration.

use std::{net::IpAddr, sync::Arc};

use hyper::header::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::{either::Either, task::AbortOnDropHandle};

use super::{Http, HttpFacts, redirect, request::PreparedRequest};
use crate::{
    io::{
        context::Context,
        dial,
        http::{
            exchange::{self, BodyOptions, ReceivedResponse, Sender},
            framing::Framing,
            version::HttpVersion,
        },
        tls::{Certificates, Tls},
    },
    model::{
        failure::Failure,
        observation::Incomplete,
        words::{Phase, Reason},
    },
    probe::Probe,
};

/// What runs.
#[derive(Debug)]
pub struct HttpProbe {
    settings: Http,
    keep_body: bool,
    kept: Mutex<Option<Box<Kept>>>,
    /// Whether an address is one to which no redirect may lead.
    forbidden: fn(IpAddr) -> bool,
}

/// A connection that waits for the next run. Its driver ends when it is dropped.
#[derive(Debug)]
struct Kept {
    sender: Sender,
    form: Framing,
    seen: HttpFacts,
    _driver: AbortOnDropHandle<()>,
}

/// A connection that stands.
struct Link {
    stream: exchange::HttpStream,
    form: Framing,
}

impl Probe for HttpProbe {
    type Facts = HttpFacts;

    fn host(&self) -> Option<&str> {
        let target = self.settings.proxy.as_ref().map_or(&self.settings.url, |proxy| proxy.target());
        Some(target.host())
    }

    async fn observe(&self, cx: &Context) -> Result<HttpFacts, Incomplete<HttpFacts>> {
        let mut facts =
            HttpFacts { expected_status: self.settings.expect_status.single_range(), ..HttpFacts::default() };
        match self.ask(cx, &mut facts).await {
            Ok(()) => Ok(facts),
            Err(failure) => Err(Incomplete { failure, facts: Some(facts) }),
        }
    }
}

impl HttpProbe {
    /// A probe without a connection yet; bodies are kept only if a check wants them.
    pub(super) fn new(settings: Http, keep_body: bool) -> Self {
        Self { settings, keep_body, kept: Mutex::default(), forbidden: redirect::is_local_to_machine }
    }

    /// The same with other addresses to which no redirect may lead: tests never ask the real ones.
    #[cfg(test)]
    pub(super) fn forbidding(self, forbidden: fn(IpAddr) -> bool) -> Self {
        Self { forbidden, ..self }
    }

    async fn ask(&self, cx: &Context, facts: &mut HttpFacts) -> Result<(), Failure> {
        let authorization = self.settings.credentials().authorization(cx).await?;
        let mut hop = PreparedRequest::first(&self.settings);
        let mut near = false;
        loop {
            let answer = self.fetch(cx, &hop, authorization.as_ref(), facts).await?;
            if facts.redirects.is_empty() {
                near = self.is_near(&hop, facts);
            }
            let follow = self.follow(&hop, &answer, facts.redirects.len());
            match follow {
                Ok(Some(next)) => {
                    facts.redirects.push(next.target.to_string());
                    let is_configured = next.target.host() == self.settings.url.host();
                    hop = PreparedRequest { near: near || is_configured, ..next };
                }
                end => {
                    let answered = facts.response.insert(answer.into());
                    end?;
                    return self.accept(&hop, answered.status);
                }
            }
        }
    }

    /// Whether the configured URL itself leads to an address that is forbidden to redirects.
    fn is_near(&self, hop: &PreparedRequest<'_>, facts: &HttpFacts) -> bool {
        let reached = facts.remote.filter(|_| self.settings.proxy.is_none()).map(|remote| remote.ip());
        hop.target.address().into_iter().chain(reached).any(self.forbidden)
    }

    fn follow(
        &self,
        hop: &PreparedRequest<'_>,
        answer: &ReceivedResponse,
        followed: usize,
    ) -> Result<Option<PreparedRequest<'static>>, Failure> {
        let max = usize::from(self.settings.follow_redirects.0);
        if max == 0 {
            return Ok(None);
        }
        let next = redirect::next(hop, answer.status.as_u16(), &answer.headers)?;
        match next {
            Some(next) if followed >= max => {
                let text = format!("redirected more than {max} times, at last to {}", next.target);
                Err(Failure::new(Reason::Status, text))
            }
            next => Ok(next),
        }
    }

    fn accept(&self, hop: &PreparedRequest<'_>, status: u16) -> Result<(), Failure> {
        let expected = &self.settings.expect_status;
        if expected.contains(status) {
            return Ok(());
        }
        let hint = match status {
            300..=399 if self.settings.follow_redirects.0 == 0 => " (redirects are not followed: `follow_redirects`)",
            _ => "",
        };
        let text = format!("{} answered with status {status}, expected {expected}{hint}", hop.target);
        Err(Failure::new(Reason::Status, text))
    }

    async fn fetch(
        &self,
        cx: &Context,
        hop: &PreparedRequest<'_>,
        authorization: Option<&HeaderValue>,
        facts: &mut HttpFacts,
    ) -> Result<ReceivedResponse, Failure> {
        let reading = BodyOptions { limit: self.settings.body_limit, keep: self.keep_body };
        // A redirect goes its own way; only the connection that every run needs is kept.
        let reuse = self.settings.keep_alive && facts.redirects.is_empty();
        let kept = if reuse { self.kept().take() } else { None };
        if let Some(mut kept) = kept.filter(|kept| !kept.sender.is_closed()) {
            (facts.remote, facts.certificates) = (kept.seen.remote, kept.seen.certificates.clone());
            let request = self.settings.request(hop, kept.form, authorization)?;
            match exchange::send_and_read(cx, &mut kept.sender, request, reading).await {
                Ok(answer) => {
                    self.keep(kept);
                    return Ok(answer);
                }
                // The other end may have closed it just now, which says nothing about the service.
                Err(failure) if failure.reason == Reason::Protocol && hop.method.is_idempotent() => {}
                Err(failure) => return Err(failure),
            }
        }
        let link = self.connect(cx, hop, facts).await?;
        let request = self.settings.request(hop, link.form, authorization)?;
        let (mut sender, driver) = exchange::start_http(link.stream, link.form == Framing::Two).await?;
        if !reuse {
            return exchange::drive_while(driver, exchange::send_and_read(cx, &mut sender, request, reading)).await;
        }
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        let answer = exchange::send_and_read(cx, &mut sender, request, reading).await?;
        let seen = HttpFacts { remote: facts.remote, certificates: facts.certificates.clone(), ..HttpFacts::default() };
        self.keep(Box::new(Kept { sender, form: link.form, seen, _driver: driver }));
        Ok(answer)
    }

    async fn connect(&self, cx: &Context, hop: &PreparedRequest<'_>, facts: &mut HttpFacts) -> Result<Link, Failure> {
        let Http { proxy, address_family, http_version, .. } = &self.settings;
        let target = &*hop.target;
        let nearest = proxy.as_ref().map_or(target, |proxy| proxy.target());
        let refuse = |address: IpAddr| redirect::forbidden(hop, address);
        if !hop.near
            && let Some(address) = target.address().filter(|address| (self.forbidden)(*address))
        {
            return Err(refuse(address));
        }
        // Which address a name has for a proxy, only the proxy knows; its own address is configured.
        let any = hop.near || proxy.is_some();
        let unless = |address| (!any && (self.forbidden)(address)).then(|| refuse(address));
        let (mut stream, remote) =
            dial::connect_unless(cx, nearest.host(), nearest.port(), *address_family, unless).await?;
        facts.remote = Some(remote);
        if !target.is_https() {
            let form = match (proxy, http_version) {
                (Some(_), _) => Framing::Proxied,
                (None, HttpVersion::Two) => Framing::Two,
                (None, _) => Framing::Direct,
            };
            return Ok(Link { stream: Either::Right(stream), form });
        }
        if let Some(proxy) = proxy {
            cx.phase(Phase::Connect, proxy.tunnel(&mut stream, target)).await?;
        }
        let (stream, form) = self.encrypt(cx, hop, stream, facts).await?;
        Ok(Link { stream: Either::Left(stream), form })
    }

    async fn encrypt(
        &self,
        cx: &Context,
        hop: &PreparedRequest<'_>,
        stream: TcpStream,
        facts: &mut HttpFacts,
    ) -> Result<(TlsStream<TcpStream>, Framing), Failure> {
        let Http { tls, http_version, host, .. } = &self.settings;
        let handshake = if hop.same_origin {
            let name = host.as_deref().map_or(hop.target.host(), without_port);
            cx.phase(Phase::Tls, tls.handshake(stream, name, http_version.alpn(), &cx.shared.tls)).await
        } else {
            // Who we are and whom we ask for was meant for the configured origin alone.
            let tls = Tls { cert: None, key: None, server_name: None, ..tls.clone() };
            cx.phase(Phase::Tls, tls.handshake(stream, hop.target.host(), http_version.alpn(), &cx.shared.tls)).await
        };
        if facts.redirects.is_empty() {
            facts.certificates = handshake.presented.as_ref().and_then(Certificates::from_presented).map(Arc::new);
        }
        let stream = handshake.stream?;
        let form = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Framing::Two,
            _ if *http_version == HttpVersion::Two => {
                return Err(Failure::new(Reason::Protocol, format!("{} does not speak HTTP/2", hop.target)));
            }
            _ => Framing::Direct,
        };
        Ok((stream, form))
    }

    fn keep(&self, kept: Box<Kept>) {
        kept.sender.mark_idle();
        *self.kept() = Some(kept);
    }

    fn kept(&self) -> MutexGuard<'_, Option<Box<Kept>>> {
        self.kept.lock()
    }
}

/// The host of `host:port`; the colons of an IPv6 address stand in brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
