//! Facts of a response that an expectation can compare, beside its headers and its body.

use hyper::header::CONTENT_ENCODING;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::probes::http::{HttpFacts, HttpResponse};

/// A fact of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseFact {
    /// Size of the body in bytes, after decompression.
    BodySize,
    /// Size of the body in bytes as it was received, before decompression.
    ReceivedSize,
    /// Content encoding: `gzip`, `deflate`, or `identity` for a body that is not compressed. A server compresses only if
    /// `headers` has `Accept-Encoding`.
    ContentEncoding,
    /// HTTP version: `1.0`, `1.1` or `2`.
    HttpVersion,
    /// TLS version: `1.2` or `1.3`. It is missing if the connection is not encrypted.
    TlsVersion,
    /// Number of redirects that were followed.
    Redirects,
    /// Address family of the connection: `ip4` or `ip6`.
    AddressFamily,
}

impl ResponseFact {
    /// The word of the fact in settings and findings.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BodySize => "body_size",
            Self::ReceivedSize => "received_size",
            Self::ContentEncoding => "content_encoding",
            Self::HttpVersion => "http_version",
            Self::TlsVersion => "tls_version",
            Self::Redirects => "redirects",
            Self::AddressFamily => "address_family",
        }
    }

    /// The value of the fact; `None` if the response has no such fact.
    pub(super) fn value(self, facts: &HttpFacts, response: &HttpResponse) -> Option<Value> {
        Some(match self {
            Self::BodySize => response.body_size.into(),
            Self::ReceivedSize => response.received_size.into(),
            Self::ContentEncoding => {
                let encodings: Vec<_> = response.header_values(CONTENT_ENCODING.as_str()).collect();
                let encodings = encodings.join(", ").trim().to_ascii_lowercase();
                if encodings.is_empty() { "identity".into() } else { encodings.into() }
            }
            Self::HttpVersion => response.version.trim_start_matches("HTTP/").into(),
            Self::TlsVersion => facts.tls_version?.into(),
            Self::Redirects => facts.redirects.len().into(),
            Self::AddressFamily => serde_json::to_value(facts.address_family?).ok()?,
        })
    }
}
