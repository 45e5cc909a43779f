//! The checks that a `tcp` probe can feed.

use super::TcpFacts;
use crate::{
    checks::{certificate::CertificateCheck, error_rate::ErrorRate, health::Health, latency::Latency},
    kind::CheckEntry,
};

/// Every check that a `tcp` probe can feed.
pub(super) const CHECKS: &[CheckEntry<TcpFacts>] = &[
    CheckEntry::of::<Health>(),
    CheckEntry::of::<CertificateCheck>(),
    CheckEntry::of::<Latency>(),
    CheckEntry::of::<ErrorRate>(),
];
