//! The checks that only an `http` probe can feed.

pub mod response;
pub mod status;

use self::response::Response;
use super::facts::HttpFacts;
use crate::{
    checks::{certificate::CertificateCheck, error_rate::ErrorRate, health::Health, latency::Latency},
    kind::CheckEntry,
};

/// Every check that a `http` probe can feed.
pub(super) const CHECKS: &[CheckEntry<HttpFacts>] = &[
    CheckEntry::new::<Health>(),
    CheckEntry::new::<Response>(),
    CheckEntry::new::<CertificateCheck>(),
    CheckEntry::new::<Latency>(),
    CheckEntry::new::<ErrorRate>(),
];
