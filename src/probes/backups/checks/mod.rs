//! The checks that only a `backups` probe can feed.

pub mod freshness;
pub mod integrity;
pub mod retention;
pub mod schedule;
pub mod size;
