//! Increases of counters over a window, with resets.
//!
//! As in Prometheus, a counter whose value decreases was reset to 0. There are two differences. Increases are not
//! extrapolated to the ends of the window: only the increases between the first and the last scrape count. A series
//! that appears between two scrapes started at 0: the first error of a kind counts, although no scrape saw its counter
//! increase.
//!
//! | situation | increase |
//! |---|---|
//! | the value increases | the difference |
//! | the value decreases | the new value, because the counter was reset to 0 |
//! | the series appears, and the window contains an earlier scrape | its value |
//! | the series appears at the first scrape in the window | none: counting starts |
//! | the series disappears and appears again within the window | as if it had been present |
//! | NaN or infinite | none: counting continues with the next finite value |
//! | the clock was set back | counting starts again |
//! | scrapes failed, or the daemon was stopped, for less than the window | the difference, once |
//! | the same for longer | counting starts again |
//! | more than [`MAX_SERIES`] series in the window | none: the verdict is unknown for the length of a window |
//!
//! A series is identified by a hash, so that its memory does not depend on the length of its labels, and a saved window
//! contains no text of the target.

use std::{collections::HashMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{
    checks::window::Window,
    model::{
        units::Period,
        verdict::Verdict,
        words::{Outcome, Reason},
    },
    probes::metrics::exposition_format::series::Series,
};

/// Maximum number of series in the window of a check. They take about 4 MiB.
pub const MAX_SERIES: usize = 100_000;

/// The first 128 bits of the SHA-256 hash of the identity of a series. A target can't find a collision.
type SeriesHash = u128;

/// Increases of counters over a window. `T` is the type of the result of one scrape. The counters form several sets,
/// because a series may belong to the errors and to the total.
#[derive(Debug, Deserialize)]
#[serde(try_from = "SavedCounters<Window<T>>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Increases<T> {
    sets: Vec<HashMap<SeriesHash, CounterReading>>,
    scrapes: Window<T>,
    /// Whether the window contains an earlier scrape.
    earlier: bool,
    at: Timestamp,
    /// Whether this scrape exceeds a limit.
    exceeded: bool,
    /// The last scrape that exceeded a limit.
    exceeded_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct CounterReading {
    value: f64,
    /// Time in milliseconds since the epoch.
    at: i64,
}

/// Serialized form.
#[derive(Serialize, Deserialize)]
struct SavedCounters<W> {
    /// Time of the newest reading, in milliseconds since the epoch.
    newest: i64,
    /// Last readings of each set in base64: identity, bits of the value, milliseconds before the newest reading. A
    /// rounded value would look like a reset.
    readings: Vec<String>,
    scrapes: W,
}

impl<T> Default for Increases<T> {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            scrapes: Window::default(),
            earlier: false,
            at: Timestamp::UNIX_EPOCH,
            exceeded: false,
            exceeded_at: None,
        }
    }
}

impl<T> Increases<T> {
    /// Begins a scrape.
    pub fn begin_scrape(&mut self, at: Timestamp, window: Period) {
        if self.scrapes.is_ahead_of(at) {
            *self = Self::default();
        }
        self.scrapes.advance(at, window);
        self.earlier = !self.scrapes.is_empty();
        self.at = at;
        self.exceeded = false;
        if !self.earlier {
            self.sets.clear();
        }
    }

    /// Computes the increase of every series of a set since the previous scrape.
    pub fn add_series<'a>(
        &mut self,
        set: usize,
        page: impl Iterator<Item = &'a Series>,
        mut gain: impl FnMut(&'a Series, f64),
    ) {
        if self.sets.len() <= set {
            self.sets.resize_with(set + 1, HashMap::new);
        }
        let others: usize = self.sets.iter().enumerate().filter(|(at, _)| *at != set).map(|(_, set)| set.len()).sum();
        let (at, earlier) = (self.at.as_millisecond(), self.earlier);
        let Some(readings) = self.sets.get_mut(set) else { return };
        for series in page {
            let value = if series.value.is_finite() { series.value } else { f64::NAN };
            let identity = identity(&series.id);
            let is_full = others + readings.len() >= MAX_SERIES;
            match readings.get_mut(&identity) {
                Some(reading) => {
                    gain(series, reading.advance(value));
                    reading.at = at;
                }
                None if is_full => {
                    self.exceeded = true;
                    return;
                }
                None => {
                    gain(series, if earlier && !value.is_nan() { value.max(0.0) } else { 0.0 });
                    readings.insert(identity, CounterReading { value, at });
                }
            }
        }
    }

    /// Ends a scrape: stores its result, and drops series that were absent for a whole window.
    pub fn end_scrape(&mut self, window: Period, kept: T) {
        if self.exceeded {
            self.discard();
            return;
        }
        self.scrapes.push(self.at, window, kept);
        let oldest = self.at.as_millisecond().saturating_sub(i64::try_from(window.0.as_millis()).unwrap_or(i64::MAX));
        for readings in &mut self.sets {
            readings.retain(|_, reading| reading.at > oldest);
        }
    }

    /// Drops everything, because this scrape exceeds a limit. Counting starts again, and the window is incomplete for a
    /// while: see [`Increases::exceeded`].
    pub fn discard(&mut self) {
        *self = Self { exceeded_at: Some(self.at), at: self.at, ..Self::default() };
    }

    /// Verdict for the length of a window after a scrape that exceeded a limit, because the increases are incomplete.
    #[must_use]
    pub fn exceeded(&self, window: Period) -> Option<Verdict> {
        let since = self.at.duration_since(self.exceeded_at?);
        if since.is_negative() || since.unsigned_abs() >= window.0 {
            return None;
        }
        let text = format!(
            "the series selected within {window} exceed the limit of {MAX_SERIES}, as they do when label values keep \
             changing: select fewer with label matchers, or shorten `window`"
        );
        Some(Verdict::new(Outcome::Unknown(Reason::Limit), text))
    }

    /// Results of all scrapes except the first, at which counting starts; `None` for fewer than two scrapes.
    pub fn scrape_results(&self) -> Option<impl Iterator<Item = &T>> {
        (self.scrapes.len() > 1).then(|| self.scrapes.values().skip(1))
    }

    /// Time from the first to the last scrape in the window.
    #[must_use]
    pub fn covered_time(&self) -> Duration {
        self.scrapes.span()
    }
}

impl CounterReading {
    fn advance(&mut self, value: f64) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        let before = std::mem::replace(&mut self.value, value);
        match () {
            () if before.is_nan() => 0.0,
            () if value >= before => value - before,
            () => value.max(0.0),
        }
    }
}

fn identity(id: &str) -> SeriesHash {
    Sha256::digest(id).first_chunk().copied().map_or(0, u128::from_le_bytes)
}

impl CounterReading {
    /// Length of a saved reading.
    const SAVED_BYTES: usize = 28;

    fn write(self, identity: SeriesHash, newest: i64, bytes: &mut Vec<u8>) {
        let age = u32::try_from(newest.saturating_sub(self.at)).unwrap_or(u32::MAX);
        bytes.extend(identity.to_le_bytes());
        bytes.extend(self.value.to_bits().to_le_bytes());
        bytes.extend(age.to_le_bytes());
    }

    fn read(bytes: &[u8], newest: i64) -> Option<(SeriesHash, Self)> {
        let (identity, bytes) = bytes.split_first_chunk()?;
        let (value, bytes) = bytes.split_first_chunk()?;
        let age = u32::from_le_bytes(*bytes.first_chunk()?);
        let value = f64::from_bits(u64::from_le_bytes(*value));
        Some((u128::from_le_bytes(*identity), Self { value, at: newest.saturating_sub(i64::from(age)) }))
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::check::{from_saved, to_saved};

    const WINDOW: Period = Period(Duration::from_secs(60));

    fn series(id: &str, value: f64) -> Series {
        Series::new(id, Vec::new(), value).unwrap()
    }

    fn scrape(gains: &mut Increases<f64>, at: i64, page: &[(&str, f64)]) {
        let page: Vec<_> = page.iter().map(|(id, value)| series(id, *value)).collect();
        gains.begin_scrape(Timestamp::from_second(at).unwrap(), WINDOW);
        let mut sum = 0.0;
        gains.add_series(0, page.iter(), |_, gain| sum += gain);
        gains.end_scrape(WINDOW, sum);
    }

    fn total(gains: &Increases<f64>) -> Option<f64> {
        gains.scrape_results().map(|kept| kept.sum())
    }

    /// Scrapes ten seconds apart of one series `a`; NaN stands for itself, a negative number for no series at all.
    fn increase(values: &[f64]) -> Option<f64> {
        let mut gains = Increases::default();
        for (at, value) in (0..).step_by(10).zip(values) {
            let page = [("a", *value)];
            scrape(&mut gains, at, if *value < 0.0 { &[] } else { &page });
        }
        total(&gains)
    }

    #[test]
    fn the_table_of_the_module() {
        for (case, values, expected) in [
            ("one scrape", &[5.0][..], None),
            ("no series", &[-1.0, -1.0], Some(0.0)),
            ("rises", &[5.0, 7.0, 7.0, 10.0], Some(5.0)),
            ("drops", &[5.0, 7.0, 2.0, 3.0], Some(5.0)),
            ("appears", &[-1.0, 3.0, 4.0], Some(4.0)),
            ("vanishes and comes back", &[5.0, -1.0, 8.0], Some(3.0)),
            ("vanishes and comes back lower", &[5.0, -1.0, 2.0], Some(2.0)),
            ("NaN between", &[5.0, f64::NAN, 8.0], Some(3.0)),
            ("NaN at first", &[f64::NAN, 8.0, 9.0], Some(1.0)),
            ("infinite", &[5.0, f64::INFINITY, 8.0], Some(3.0)),
            ("the window moves on", &[0.0, 100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0], Some(5.0)),
        ] {
            assert_eq!(increase(values), expected, "{case}");
        }
        let mut gains = Increases::default();
        scrape(&mut gains, 100, &[("a", 5.0)]);
        scrape(&mut gains, 110, &[("a", 6.0)]);
        scrape(&mut gains, 105, &[("a", 7.0)]);
        assert_eq!(total(&gains), None, "the clock went back");
        scrape(&mut gains, 115, &[("a", 9.0)]);
        assert_eq!(total(&gains), Some(2.0));
        scrape(&mut gains, 160, &[("a", 12.0), ("b", 4.0)]);
        assert_eq!(total(&gains), Some(9.0), "a gap shorter than the window");
        scrape(&mut gains, 220, &[("a", 50.0), ("c", 4.0)]);
        assert_eq!(total(&gains), None, "a gap as long as the window");
    }

    #[test]
    fn counting_goes_on_after_a_restart() {
        let mut before = Increases::default();
        scrape(&mut before, 0, &[("a", 0.1 + 0.2)]);
        scrape(&mut before, 10, &[("a", 1.1 + 2.2), ("b", f64::NAN)]);
        let mut after = from_saved(&to_saved(&before).unwrap());
        scrape(&mut after, 30, &[("a", 1.1 + 2.2), ("b", 7.0)]);
        assert!((total(&after).unwrap() - 3.0).abs() < 1e-9);
        for bad in ["null", "{}", r#"{"newest":0,"readings":["AA"],"scrapes":null}"#] {
            assert!(serde_json::from_str::<Increases<f64>>(bad).is_err());
        }
    }

    fn churn(gains: &mut Increases<f64>, at: i64, series: usize) -> Option<Verdict> {
        let page: Vec<_> = (0..series).map(|n| self::series(&format!("a{at}_{n}"), 1.0)).collect();
        gains.begin_scrape(Timestamp::from_second(at).unwrap(), WINDOW);
        gains.add_series(0, page.iter(), |_, _| {});
        gains.end_scrape(WINDOW, 0.0);
        gains.exceeded(WINDOW)
    }

    #[test]
    fn series_beyond_the_limit_make_the_verdict_unknown_until_a_window_is_without() {
        let mut gains = Increases::default();
        assert!(churn(&mut gains, 0, 60_000).is_none());
        for at in [10, 20, 30, 40] {
            let verdict = churn(&mut gains, at, 60_000);
            assert!(gains.sets.iter().map(HashMap::len).sum::<usize>() <= MAX_SERIES);
            if let Some(verdict) = verdict {
                assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Limit));
                assert!(verdict.summary.contains("shorten `window`"), "{}", verdict.summary);
            } else {
                panic!("not noticed at {at}");
            }
        }
        for at in [50, 60, 70] {
            assert!(churn(&mut gains, at, 1).is_some(), "{at}");
        }
        assert!(churn(&mut gains, 101, 1).is_none());
    }

    #[test]
    fn what_is_saved_contains_no_text_of_the_target() {
        let mut gains = Increases::default();
        scrape(&mut gains, 0, &[("correct-horse-battery", 1.0)]);
        let saved = to_saved(&gains).unwrap().to_string();
        assert!(!saved.contains("horse"), "{saved}");
    }

    proptest! {
        #[test]
        fn gains_are_never_negative(
            pages in prop::collection::vec((-100_i64..100, prop::collection::vec(("[ab]", any::<f64>()), 0..3)), 0..30),
        ) {
            let mut gains = Increases::default();
            for (at, page) in &pages {
                let page: Vec<_> = page.iter().map(|(id, value)| (id.as_str(), *value)).collect();
                scrape(&mut gains, *at, &page);
                prop_assert!(total(&gains).is_none_or(|total| total >= 0.0));
            }
        }
    }
}
