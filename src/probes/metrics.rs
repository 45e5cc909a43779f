//! metrics

pub mod counters;
pub mod error_rate;
pub mod histogram;
pub mod idle;
pub mod latency;
mod line;
pub mod parser;
pub mod pool;
pub mod present;
pub mod rate;
pub mod selector;
pub mod series;
pub mod throughput;
pub mod value;

#[cfg(test)]
pub(crate) mod fixture;
