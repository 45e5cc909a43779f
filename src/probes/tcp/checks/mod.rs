//! The checks of `tcp` probes.

use super::TcpFacts;
use crate::{
    checks::{certificate::CertificateCheck, error_rate::ErrorRate, health::Health, latency::Latency},
    kind::CheckEntry,
};

/// All checks of `tcp` probes.
pub(super) const CHECKS: &[CheckEntry<TcpFacts>] = &[
    CheckEntry::new::<Health>(),
    CheckEntry::new::<CertificateCheck>(),
    CheckEntry::new::<Latency>(),
    CheckEntry::new::<ErrorRate>(),
];
