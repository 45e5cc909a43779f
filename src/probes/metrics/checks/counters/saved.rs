//! Serialized form of [`Increases`].

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Increases, MAX_SERIES,
    reading::{CounterReading, SeriesHash},
};
use crate::checks::window::Window;

/// Serialized form.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedCounters<W> {
    /// Time of the newest reading, in milliseconds since the epoch.
    newest: i64,
    /// Last readings of each set in base64: identity, bits of the value, milliseconds before the newest reading. A
    /// rounded value would look like a reset.
    readings: Vec<String>,
    scrapes: W,
}

impl<T: Serialize> Serialize for Increases<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let newest = self.sets.iter().flat_map(HashMap::values).map(|reading| reading.at).max().unwrap_or_default();
        let of_set = |set: &HashMap<SeriesHash, CounterReading>| {
            let mut bytes = Vec::with_capacity(set.len() * CounterReading::SAVED_BYTES);
            set.iter().for_each(|(identity, reading)| reading.write(*identity, newest, &mut bytes));
            BASE64_STANDARD_NO_PAD.encode(bytes)
        };
        SavedCounters { newest, readings: self.sets.iter().map(of_set).collect(), scrapes: &self.scrapes }
            .serialize(serializer)
    }
}

impl<T> TryFrom<SavedCounters<Window<T>>> for Increases<T> {
    type Error = &'static str;

    fn try_from(saved: SavedCounters<Window<T>>) -> Result<Self, Self::Error> {
        let SavedCounters { newest, readings, scrapes } = saved;
        let of_set = |text: &String| {
            let bytes = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
            bytes.chunks(CounterReading::SAVED_BYTES).map(|reading| CounterReading::read(reading, newest)).collect()
        };
        let sets: Vec<HashMap<_, _>> =
            readings.iter().map(of_set).collect::<Option<_>>().ok_or("the readings are damaged")?;
        let fits = sets.iter().map(HashMap::len).sum::<usize>() <= MAX_SERIES;
        fits.then(|| Self { sets, scrapes, ..Self::default() }).ok_or("the readings are too many")
    }
}
