//! The checks of `metrics` probes, and their common parts: increases of counters, histograms, verdicts without data.

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

use super::exposition_format::page::Page;
use crate::{checks::health::Health, kind::CheckEntry};

/// All checks of `metrics` probes.
pub(super) const CHECKS: &[CheckEntry<Page>] = &[
    CheckEntry::new::<Health>(),
    CheckEntry::new::<latency::Latency>(),
    CheckEntry::new::<error_rate::ErrorRate>(),
    CheckEntry::new::<throughput::Throughput>(),
    CheckEntry::new::<pool::Pool>(),
    CheckEntry::new::<present::Present>(),
    CheckEntry::new::<value::Value>(),
];
