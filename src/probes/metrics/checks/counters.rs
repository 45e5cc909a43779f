//! What counters have gained over a window, resets included, from scrape to scrape.
//!
//! As in Prometheus, a counter that drops began again at 0. Unlike there, nothing is extrapolated to the ends of the
//! window: what counts is what was seen between the first and the last scrape in it. And a series that appears between
//! two scrapes began at 0, too: the first error of a kind is an error, although its counter never was seen to rise.
//!
//! | situation | what counts |
//! |---|---|
//! | the value rises | the difference |
//! | the value drops | the new value: the counter began again at 0 |
//! | the series appears, and an earlier scrape lies in the window | its value |
//! | the series appears at the first scrape in the window | nothing; it is where counting starts |
//! | the series vanishes and comes back within the window | as if it had been there |
//! | NaN or infinite | nothing; counting goes on from the next number |
//! | the clock went back | counting starts anew |
//! | scrapes failed, or the daemon was away, for less than the window | the difference, once |
//! | the same for longer | counting starts anew |
//! | more than [`MAX_SERIES`] series in the window | nothing for a window: the verdict is unknown |
//!
//! A series is known by a hash of its identity. So every series takes the same memory however long its labels are, and
//! a saved window contains no text of the target.

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

/// Maximum number of series of one check in its window: about 4 MiB.
pub const MAX_SERIES: usize = 100_000;

/// The first 128 bits of the SHA-256 of a series' identity: nobody can find two series with the same.
type SeriesHash = u128;

/// The gains of counters over a window. `T` is what is kept of one scrape; counters are told apart by the set that
/// they belong to, as one series may be among the errors and in the total.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Saved<Window<T>>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Increases<T> {
    sets: Vec<HashMap<SeriesHash, Reading>>,
    scrapes: Window<T>,
    /// Whether an earlier scrape lies in the window.
    earlier: bool,
    at: Timestamp,
    /// Whether this scrape exceeds a limit.
    exceeded: bool,
    /// The last scrape that exceeded a limit.
    exceeded_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    value: f64,
    /// Milliseconds since the epoch.
    at: i64,
}

/// The serialized form.
#[derive(Serialize, Deserialize)]
struct Saved<W> {
    /// Time of the newest reading, in milliseconds since the epoch.
    newest: i64,
    /// The last readings of each set, in base64: identity, bits of the value, milliseconds before the newest reading. A
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
    /// Begins with a scrape.
    pub fn begin(&mut self, at: Timestamp, window: Period) {
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

    /// Tells for every series of a set what it has gained since the scrape before.
    pub fn of<'a>(
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
                    readings.insert(identity, Reading { value, at });
                }
            }
        }
    }

    /// Ends with what is to be kept of this scrape, and forgets series that were not seen for a whole window.
    pub fn end(&mut self, window: Period, kept: T) {
        if self.exceeded {
            self.give_up();
            return;
        }
        self.scrapes.push(self.at, window, kept);
        let oldest = self.at.as_millisecond().saturating_sub(i64::try_from(window.0.as_millis()).unwrap_or(i64::MAX));
        for readings in &mut self.sets {
            readings.retain(|_, reading| reading.at > oldest);
        }
    }

    /// Forgets everything, because this scrape exceeds a limit. Counting starts anew, but a part of the window is not
    /// judged: see [`Increases::exceeded`].
    pub fn give_up(&mut self) {
        *self = Self { exceeded_at: Some(self.at), at: self.at, ..Self::default() };
    }

    /// The verdict for a window after a scrape that exceeded a limit: until then the gains are incomplete.
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

    /// What was kept of each scrape but the first, where counting starts; None until there are two.
    pub fn kept(&self) -> Option<impl Iterator<Item = &T>> {
        (self.scrapes.len() > 1).then(|| self.scrapes.values().skip(1))
    }

    /// From the first scrape in the window to the last.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.scrapes.span()
    }
}

impl Reading {
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

impl Reading {
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
        let of_set = |set: &HashMap<SeriesHash, Reading>| {
            let mut bytes = Vec::with_capacity(set.len() * Reading::SAVED_BYTES);
            set.iter().for_each(|(identity, reading)| reading.write(*identity, newest, &mut bytes));
            BASE64_STANDARD_NO_PAD.encode(bytes)
        };
        Saved { newest, readings: self.sets.iter().map(of_set).collect(), scrapes: &self.scrapes }.serialize(serializer)
    }
}

impl<T> TryFrom<Saved<Window<T>>> for Increases<T> {
    type Error = &'static str;

    fn try_from(saved: Saved<Window<T>>) -> Result<Self, Self::Error> {
        let Saved { newest, readings, scrapes } = saved;
        let of_set = |text: &String| {
            let bytes = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
            bytes.chunks(Reading::SAVED_BYTES).map(|reading| Reading::read(reading, newest)).collect()
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
        gains.begin(Timestamp::from_second(at).unwrap(), WINDOW);
        let mut sum = 0.0;
        gains.of(0, page.iter(), |_, gain| sum += gain);
        gains.end(WINDOW, sum);
    }

    fn total(gains: &Increases<f64>) -> Option<f64> {
        gains.kept().map(|kept| kept.sum())
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
        gains.begin(Timestamp::from_second(at).unwrap(), WINDOW);
        gains.of(0, page.iter(), |_, _| {});
        gains.end(WINDOW, 0.0);
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
