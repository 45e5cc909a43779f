//! The checks that only a `backups` probe can feed.

pub mod freshness;
pub mod integrity;
pub mod retention;
pub mod schedule;
pub mod size;

use self::{freshness::Freshness, integrity::Integrity, retention::Retention, schedule::Schedule, size::BackupSize};
use super::facts::BackupFacts;
use crate::{checks::health::Health, kind::CheckEntry};

/// Every check that a `backups` probe can feed.
pub(super) const CHECKS: &[CheckEntry<BackupFacts>] = &[
    CheckEntry::new::<Health>(),
    CheckEntry::new::<Freshness>(),
    CheckEntry::new::<BackupSize>(),
    CheckEntry::new::<Schedule>(),
    CheckEntry::new::<Retention>(),
    CheckEntry::new::<Integrity>(),
];
