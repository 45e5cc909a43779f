//! The checks of `postgres` probes.

pub mod pool;
pub mod replication_lag;
pub mod role;

use self::{pool::PostgresPool, replication_lag::ReplicationLag, role::PostgresRole};
use super::facts::PostgresFacts;
use crate::{
    checks::{error_rate::ErrorRate, health::Health, latency::Latency},
    kind::CheckEntry,
};

/// All checks of `postgres` probes.
pub(super) const CHECKS: &[CheckEntry<PostgresFacts>] = &[
    CheckEntry::new::<Health>(),
    CheckEntry::new::<Latency>(),
    CheckEntry::new::<ErrorRate>(),
    CheckEntry::new::<PostgresPool>(),
    CheckEntry::new::<ReplicationLag>(),
    CheckEntry::new::<PostgresRole>(),
];
