//! The checks that only a `postgres` probe can feed.

pub mod pool;
pub mod replication_lag;

use self::{pool::PostgresPool, replication_lag::ReplicationLag};
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
    CheckEntry::of::<ReplicationLag>(),
];
