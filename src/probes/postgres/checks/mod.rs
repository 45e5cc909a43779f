//! The checks that only a `postgres` probe can feed.

pub mod pool;

use self::pool::PostgresPool;
use super::facts::PostgresFacts;
use crate::{
    checks::{error_rate::ErrorRate, health::Health, latency::Latency},
    kind::CheckEntry,
};

/// Every check that a `postgres` probe can feed.
pub(super) const CHECKS: &[CheckEntry<PostgresFacts>] = &[
    CheckEntry::of::<Health>(),
    CheckEntry::of::<Latency>(),
    CheckEntry::of::<ErrorRate>(),
    CheckEntry::of::<PostgresPool>(),
];
