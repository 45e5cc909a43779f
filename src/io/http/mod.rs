//! Parts of an HTTP client that several probe kinds share: URLs, authentication, and a kept client.

/// The `User-Agent` of probes, unless the configuration sets another.
pub(crate) const USER_AGENT: &str = concat!("readiness-exporter/", env!("CARGO_PKG_VERSION"));

pub mod auth;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod form;
pub(crate) mod inflow;
pub mod url;
pub mod version;
pub(crate) mod wire;
