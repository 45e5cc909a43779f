//! `http`: asks a URL and reads the answer to its end, over a connection of its own, phase by phase.
//!
//! It drives hyper itself rather than through a client, so that each phase is timed for what it is. It changes
//! nothing unless the method says so, and never follows where it was not sent.

mod body;
mod exchange;
mod facts;
mod status;
mod target;

use std::{collections::BTreeMap, sync::Arc};

use http_body_util::Full;
use hyper::{
    HeaderMap, Request,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::either::Either;

pub use self::{
    facts::{Answered, HttpFacts, Want},
    status::Statuses,
    target::Target,
};
use crate::{
    check::Offer,
    checks::health::Health,
    dial::{self, AddressFamily},
    probe::{Broken, Context, Failure, Invalid, Kind, Phase, Probe, Reason, Timing},
    secret::Secret,
    shared::Shared,
    tls::Tls,
    units::Size,
};

/// Settings of an `http` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// What to ask: `http://` or `https://`, without user and password.
    pub url: Target,
    /// Method of the request.
    #[serde(default)]
    pub method: Method,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Body to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Secret>,
    /// Statuses that mean success: codes, ranges `200-299` or classes `2xx`.
    #[serde(default)]
    pub expect_status: Statuses,
    /// How to encrypt and whom to trust, for `https`.
    #[serde(default)]
    pub tls: Tls,
    /// Which addresses of the host to use.
    #[serde(default)]
    pub address_family: AddressFamily,
    /// A larger body, after decompression, is a failure.
    #[serde(default = "a_mebibyte")]
    pub body_limit: Size,
}

/// Method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Asks for a representation.
    #[default]
    Get,
    /// Asks for the headers alone.
    Head,
    /// Asks what can be done.
    Options,
    /// Hands something in.
    Post,
    /// Puts something there.
    Put,
    /// Changes a part.
    Patch,
    /// Takes something away.
    Delete,
}

/// What runs.
#[derive(Debug)]
pub struct HttpProbe {
    settings: Http,
    keep_body: bool,
}

fn a_mebibyte() -> Size {
    Size(1 << 20)
}

impl Kind for Http {
    const NAME: &'static str = "http";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::Response];
    type Probe = HttpProbe;

    fn checks() -> Vec<Offer<HttpFacts>> {
        vec![Offer::of::<Health>()]
    }

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        self.tls.validate()?;
        if self.body_limit.0 == 0 {
            return Err(Invalid::at("body_limit", "no body can be smaller than nothing: write a size such as 1MiB"));
        }
        self.header_map().map(drop)
    }

    fn acquire(self, wants: Vec<Want>, _shared: &Arc<Shared>) -> Result<HttpProbe, Invalid> {
        Ok(HttpProbe { settings: self, keep_body: wants.contains(&Want::Body) })
    }
}

impl Http {
    fn header_map(&self) -> Result<HeaderMap, Invalid> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = |text: &str| Invalid::at("headers", format!("header `{name}`: {text}"));
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("not a name for a header"))?;
            if [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(&parsed) {
                return Err(wrong("it is set by the probe itself"));
            }
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| wrong("its value has bytes that no header may have"))?;
            value.set_sensitive(true);
            map.insert(parsed, value);
        }
        Ok(map)
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Failure> {
        let internal = |text: String| Failure::new(Reason::Internal, text);
        let mut headers = self.header_map().map_err(|invalid| internal(invalid.message))?;
        let host = HeaderValue::from_str(&self.url.authority()).map_err(|error| internal(error.to_string()))?;
        headers.insert(header::HOST, host);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let body = self.body.as_ref().map(|body| Bytes::from(body.expose().to_owned())).unwrap_or_default();
        let request = Request::builder().method(self.method.as_str()).uri(self.url.path_and_query());
        let mut request = request.body(Full::new(body)).map_err(|error| internal(error.to_string()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

const AGENT: &str = concat!("readiness-exporter/", env!("CARGO_PKG_VERSION"));

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Probe for HttpProbe {
    type Facts = HttpFacts;

    fn host(&self) -> Option<&str> {
        Some(self.settings.url.host())
    }

    async fn observe(&self, cx: &Context) -> Result<HttpFacts, Broken<HttpFacts>> {
        let mut facts = HttpFacts::default();
        match self.ask(cx, &mut facts).await {
            Ok(()) => Ok(facts),
            Err(failure) => Err(Broken { failure, facts: Some(facts) }),
        }
    }
}

impl HttpProbe {
    async fn ask(&self, cx: &Context, facts: &mut HttpFacts) -> Result<(), Failure> {
        let Http { url, tls, address_family, expect_status, body_limit, .. } = &self.settings;
        let request = self.settings.request()?;
        let stream = dial::connect(cx, url.host(), url.port(), *address_family).await?;
        facts.remote = stream.peer_addr().ok();
        let stream = if url.is_https() {
            let handshake = cx.phase(Phase::Tls, tls.handshake(stream, url.host(), &[b"http/1.1"], &cx.shared)).await;
            Either::Left(handshake.stream?)
        } else {
            Either::Right(stream)
        };
        let reading = exchange::Reading { limit: *body_limit, keep: self.keep_body };
        let answer = exchange::http1(cx, stream, request, reading).await?;
        let status = answer.status.as_u16();
        facts.response = Some(answer.into());
        if expect_status.contains(status) {
            return Ok(());
        }
        Err(Failure::new(Reason::Status, format!("{url} answered with status {status}, expected {expect_status}")))
    }
}

#[cfg(test)]
mod tests;
