//! What an `http` probe brings back.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, sync::Arc};

use hyper::{
    HeaderMap, Version,
    body::Bytes,
    header::{self, HeaderName},
};
use serde::{Serialize, Serializer};

use crate::{
    checks::certificate::Certified,
    io::{
        http::{STATUS, exchange::ReceivedResponse},
        tls::Certificates,
    },
    model::{
        measure::{Measure, MeasureInfo},
        metric::Sample,
        observation::Facts,
    },
};

/// What a run of an `http` probe saw.
#[derive(Debug, Default, Serialize)]
pub struct HttpFacts {
    /// The address that answered; the proxy's, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// What the configured URL's server presented, if it encrypts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Arc<Certificates>>,
    /// Where redirects led, without queries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<String>,
    /// The answer, as far as it came to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HttpResponse>,
    /// The expected status codes, if they are one range.
    #[serde(skip)]
    pub expected_status: Option<RangeInclusive<u16>>,
}

/// An answer that was read to its end.
#[derive(Debug, Serialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// `HTTP/1.1`, `HTTP/2` ...
    pub version: &'static str,
    /// The headers; those that identify somebody are not shown.
    #[serde(serialize_with = "shown")]
    pub headers: HeaderMap,
    /// Bytes of the body after decompression.
    pub body_size: u64,
    /// The body, if a check wants it. Never shown: it belongs to the service.
    #[serde(skip)]
    pub body: Option<Bytes>,
}

/// What a check can ask an `http` probe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpFactRequest {
    /// The body of the answer.
    Body,
    /// The certificates of the server.
    Certificates,
}

/// Bytes that text, expressions and JSON paths are looked for between the runs of other probes.
const MAX_LIGHT_BODY: usize = 64 << 10;

impl Facts for HttpFacts {
    type Request = HttpFactRequest;
    const ANSWER: &'static [MeasureInfo] = &[STATUS];

    fn answer(&self) -> Vec<Measure> {
        let Some(response) = &self.response else { return Vec::new() };
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
            body_size: answer.body.size,
            body: answer.body.kept,
        }
    }
}

/// Headers whose values are not for everybody's eyes.
pub(super) const SENSITIVE_HEADERS: [HeaderName; 5] =
    [header::SET_COOKIE, header::COOKIE, header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::LOCATION];

fn shown<S: Serializer>(headers: &HeaderMap, to: S) -> Result<S::Ok, S::Error> {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let value = match value.to_str() {
            _ if SENSITIVE_HEADERS.contains(name) => "<hidden>".to_owned(),
            Ok(text) => text.to_owned(),
            Err(_) => "<not text>".to_owned(),
        };
        all.entry(name.as_str()).or_default().push(value);
    }
    all.serialize(to)
}
