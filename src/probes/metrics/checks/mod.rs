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

use super::exposition_format::page::Page;
use crate::{checks::health::Health, kind::CheckEntry};

/// Every check that a `metrics` probe can feed.
pub(super) const CHECKS: &[CheckEntry<Page>] = &[
    CheckEntry::of::<Health>(),
    CheckEntry::of::<latency::Latency>(),
    CheckEntry::of::<error_rate::ErrorRate>(),
    CheckEntry::of::<throughput::Throughput>(),
    CheckEntry::of::<pool::Pool>(),
    CheckEntry::of::<present::Present>(),
    CheckEntry::of::<value::Value>(),
];
