//! The checks that any probe can feed, one a file. Those that need one kind's facts live under that kind.

pub mod certificate;
pub mod error_rate;
pub mod health;
pub mod latency;
pub mod pool;
pub mod window;

#[cfg(test)]
pub(crate) mod fixture;
