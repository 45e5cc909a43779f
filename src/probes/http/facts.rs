//! Facts of an `http` probe.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, sync::Arc};

use hyper::{
    HeaderMap, Version,
    body::Bytes,
    header::{self, HeaderName},
};
use rustls::ProtocolVersion;
use serde::{Serialize, Serializer};

use crate::{
    checks::certificate::Certified,
    io::{
        dial::AddressFamily,
        http::{STATUS, exchange::ReceivedResponse},
        tls::Certificates,
    },
    model::{
        measure::{Measure, MeasureInfo},
        metric::Sample,
        observation::Facts,
    },
};

/// Facts of a run.
#[derive(Debug, Default, Serialize)]
pub struct HttpFacts {
    /// Remote address of the last connection; the address of the proxy, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// Address family of the last connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_family: Option<AddressFamily>,
    /// TLS version of the last connection, if it is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<&'static str>,
    /// Certificates of the server of the configured URL, if the connection is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Arc<Certificates>>,
    /// Targets of the redirects, without queries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<String>,
    /// The last response. It may be incomplete if the run has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HttpResponse>,
    /// The expected status codes, if they are one range.
    #[serde(skip)]
    pub expected_status: Option<RangeInclusive<u16>>,
}

/// A response.
#[derive(Debug, Serialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// HTTP version of the response, such as `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    /// The headers. Values that may contain a secret are not displayed.
    #[serde(serialize_with = "shown")]
    pub headers: HeaderMap,
    /// Whether the body was received to its end.
    pub is_complete: bool,
    /// Received bytes of the body, before decompression.
    pub received_size: u64,
    /// Bytes of the body after decompression.
    pub body_size: u64,
    /// The body, if a check requests it. It is never displayed, because it may contain personal data.
    #[serde(skip)]
    pub body: Option<Bytes>,
}

/// Facts that a check can request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpFactRequest {
    /// The body of the response.
    Body,
    /// The certificates of the server.
    Certificates,
}

/// Maximum size of a body that the checks search on the thread of all probes.
const MAX_LIGHT_BODY: usize = 64 << 10;

impl Facts for HttpFacts {
    type Request = HttpFactRequest;
    const ANSWER: &'static [MeasureInfo] = &[STATUS];

    fn answer(&self) -> Vec<Measure> {
        let Some(response) = &self.response else { return Vec::new() };
        let is_expected = self.expected_status.as_ref().is_none_or(|expected| expected.contains(&response.status));
        if !response.is_complete && is_expected {
            // The status did not fail the run.
            return Vec::new();
        }
        match &self.expected_status {
            Some(expected) => Measure::of_code(STATUS.name, response.status, expected.clone()),
            None => vec![Measure::of_unlimited_code(STATUS.name, response.status)],
        }
    }

    fn samples(&self) -> Vec<Sample> {
        self.certificates.as_ref().map(|certificates| certificates.samples()).unwrap_or_default()
    }

    fn is_heavy(&self) -> bool {
        let body = self.response.as_ref().and_then(|answered| answered.body.as_ref());
        body.is_some_and(|body| body.len() > MAX_LIGHT_BODY)
    }
}

impl HttpResponse {
    /// Values of a header as text. RFC 9110, section 5.5: values should be ASCII, and were Latin-1 before. Servers also
    /// send UTF-8.
    pub(super) fn header_values(&self, name: &str) -> impl Iterator<Item = String> {
        self.headers.get_all(name).iter().map(|value| header_text(value.as_bytes()))
    }
}

fn header_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

impl HttpFacts {
    /// Copies the facts of a kept connection.
    pub(super) fn copy_connection(&mut self, from: &Self) {
        (self.remote, self.address_family, self.tls_version) = (from.remote, from.address_family, from.tls_version);
        self.certificates.clone_from(&from.certificates);
    }

    /// Removes the facts of an earlier connection. The certificates of the configured URL remain.
    pub(super) fn forget_connection(&mut self) {
        (self.remote, self.address_family, self.tls_version) = (None, None, None);
        if self.redirects.is_empty() {
            self.certificates = None;
        }
    }

    pub(super) fn set_remote(&mut self, remote: SocketAddr) {
        self.remote = Some(remote);
        self.address_family = Some(if remote.is_ipv4() { AddressFamily::Ip4 } else { AddressFamily::Ip6 });
    }

    pub(super) fn set_tls_version(&mut self, version: Option<ProtocolVersion>) {
        self.tls_version = match version {
            Some(ProtocolVersion::TLSv1_2) => Some("1.2"),
            Some(ProtocolVersion::TLSv1_3) => Some("1.3"),
            _ => None,
        };
    }
}

impl Certified for HttpFacts {
    fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_deref()
    }
    fn certificates_request() -> HttpFactRequest {
        HttpFactRequest::Certificates
    }
}

impl From<ReceivedResponse> for HttpResponse {
    fn from(answer: ReceivedResponse) -> Self {
        Self {
            status: answer.status.as_u16(),
            version: match answer.version {
                Version::HTTP_09 => "HTTP/0.9",
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                _ => "HTTP/1.1",
            },
            headers: answer.headers,
            is_complete: answer.body.is_complete,
            received_size: answer.body.received,
            body_size: answer.body.size,
            body: answer.body.kept,
        }
    }
}

/// Headers with values that are not displayed.
pub(super) const SENSITIVE_HEADERS: [HeaderName; 5] =
    [header::SET_COOKIE, header::COOKIE, header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::LOCATION];

fn shown<S: Serializer>(headers: &HeaderMap, to: S) -> Result<S::Ok, S::Error> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = match SENSITIVE_HEADERS.contains(name) {
            true => "<hidden>".to_owned(),
            false => header_text(value.as_bytes()),
        };
        all.entry(name.as_str()).or_default().push(value);
    }
    all.serialize(to)
}
