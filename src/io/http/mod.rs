//! HTTP client of the probes: URLs, authentication, connections, bodies.

use crate::model::{measure::MeasureInfo, units::Unit};

/// The measure of the HTTP status.
pub(crate) const STATUS: MeasureInfo = MeasureInfo::new("status", Unit::Code, "HTTP status code of the answer.");

/// Default `User-Agent` of probes.
pub(crate) const USER_AGENT: &str = concat!("readiness-exporter/", env!("CARGO_PKG_VERSION"));

pub mod auth;
pub(crate) mod body;
pub(crate) mod body_decoder;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod framing;
pub mod oauth2;
pub mod url;
pub mod version;
pub(crate) mod wire;
