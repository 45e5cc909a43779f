//! The checks that only an `http` probe can feed.

pub mod response;
pub mod status;
