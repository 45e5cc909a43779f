//! The checks of `postgres` probes.

pub mod encryption;
pub mod pool;
pub mod privileges;
pub mod query;
pub mod replication_lag;
pub mod role;
pub mod version;

use self::{
    encryption::PostgresEncryption, pool::PostgresPool, privileges::PostgresPrivileges, query::PostgresQuery,
    replication_lag::ReplicationLag, role::PostgresRole, version::PostgresVersionCheck,
};
use super::facts::PostgresFacts;
use crate::{
    checks::{certificate::CertificateCheck, error_rate::ErrorRate, health::Health, latency::Latency},
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
    CheckEntry::new::<PostgresEncryption>(),
    CheckEntry::new::<CertificateCheck>(),
    CheckEntry::new::<PostgresPrivileges>(),
    CheckEntry::new::<PostgresVersionCheck>(),
    CheckEntry::new::<PostgresQuery>(),
];
