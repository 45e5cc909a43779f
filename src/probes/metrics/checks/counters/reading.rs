//! Readings of counters: the last value of each series, and its serialized form.

use sha2::{Digest, Sha256};

use crate::probes::metrics::exposition_format::series::Series;

/// The first 128 bits of the SHA-256 hash of the identity of a series. A target can't find a collision.
pub(super) type SeriesHash = u128;

/// The last value of a counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct CounterReading {
    /// Value; NaN stands for every value that is not finite.
    pub(super) value: f64,
    /// Time in milliseconds since the epoch.
    pub(super) at: i64,
}

/// The change of a counter since its previous reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum CounterChange {
    /// The counter has increased by an amount, which may be 0.
    Gained(f64),
    /// The counter has decreased from a value to another one.
    Fell {
        /// Previous value.
        from: f64,
        /// New value.
        to: f64,
    },
}

impl CounterReading {
    pub(super) fn new(series: &Series, at: i64) -> Self {
        Self { value: finite(series.value), at }
    }

    pub(super) fn advance(&mut self, series: &Series, at: i64) -> CounterChange {
        self.at = at;
        let value = finite(series.value);
        if value.is_nan() {
            return CounterChange::Gained(0.0);
        }
        let before = std::mem::replace(&mut self.value, value);
        match () {
            () if before.is_nan() => CounterChange::Gained(0.0),
            () if value >= before => CounterChange::Gained(value - before),
            () => CounterChange::Fell { from: before, to: value },
        }
    }
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

pub(super) fn identity(id: &str) -> SeriesHash {
    Sha256::digest(id).first_chunk().copied().map_or(0, u128::from_le_bytes)
}

impl CounterReading {
    /// Length of a saved reading.
    pub(super) const SAVED_BYTES: usize = 28;

    pub(super) fn write(self, identity: SeriesHash, newest: i64, bytes: &mut Vec<u8>) {
        let age = u32::try_from(newest.saturating_sub(self.at)).unwrap_or(u32::MAX);
        bytes.extend(identity.to_le_bytes());
        bytes.extend(self.value.to_bits().to_le_bytes());
        bytes.extend(age.to_le_bytes());
    }

    pub(super) fn read(bytes: &[u8], newest: i64) -> Option<(SeriesHash, Self)> {
        let (identity, bytes) = bytes.split_first_chunk()?;
        let (value, bytes) = bytes.split_first_chunk()?;
        let age = u32::from_le_bytes(*bytes.first_chunk()?);
        let value = f64::from_bits(u64::from_le_bytes(*value));
        Some((u128::from_le_bytes(*identity), Self { value, at: newest.saturating_sub(i64::from(age)) }))
    }
}
