//! The checks of an `http` probe.

pub mod response;
pub mod status;

use self::response::Response;
use super::facts::HttpFacts;
use crate::{
    checks::{certificate::CertificateCheck, error_rate::ErrorRate, health::Health, latency::Latency},
    kind::CheckEntry,
};

/// All checks of an `http` probe.
pub(super) const CHECKS: &[CheckEntry<HttpFacts>] = &[
    CheckEntry::new::<Health>(),
    CheckEntry::new::<Response>(),
    CheckEntry::new::<CertificateCheck>(),
    CheckEntry::new::<Latency>(),
    CheckEntry::new::<ErrorRate>(),
];
