//! The checks that only a `metrics` probe can feed, and what they share: increases of counters, histograms, idle series.

pub mod counters;
pub mod error_rate;
pub mod histogram;
pub mod latency;
pub mod no_data;
pub mod pool;
pub mod present;
pub mod rate;
pub mod throughput;
pub mod value;
