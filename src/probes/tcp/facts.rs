//! Facts of a `tcp` probe.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{
    checks::certificate::Certified,
    io::{dial::AddressFamily, tls::Certificates},
    model::{metric::Sample, observation::Facts},
};

/// Facts of a `tcp` probe. A run that failed or timed out has the facts from the time before.
#[derive(Debug, Default, Serialize)]
pub struct TcpFacts {
    /// Remote address of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// Address family of the connection: `ip4` or `ip6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_family: Option<AddressFamily>,
    /// Negotiated version of TLS, such as `1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<&'static str>,
    /// Certificates of an encrypted connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// Number of bytes that were received until the last expectation was met.
    pub received: usize,
    /// Beginning of the bytes that the server sent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
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
