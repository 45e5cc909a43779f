//! The checks that only a `postgres` probe can feed.

pub mod pool;
