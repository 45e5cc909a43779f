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

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{checks::window::Window, model::units::Period, probes::metrics::exposition_format::series::Series};

/// The gains of counters over a window. `T` is what is kept of one scrape; counters are told apart by the set that
/// they belong to, as one series may be among the errors and in the total.
#[derive(Debug)]
pub struct Increases<T> {
    sets: Vec<HashMap<Box<str>, Reading>>,
    scrapes: Window<T>,
    /// Whether an earlier scrape lies in the window.
    earlier: bool,
    at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    value: f64,
    /// Milliseconds since the epoch.
    at: i64,
}

/// On disk: the last readings by set, as series, bits of the value (for a number that is one rounding off would look
/// like a reset) and time.
#[derive(Serialize, Deserialize)]
struct Saved {
    readings: Vec<Vec<(Box<str>, u64, i64)>>,
    scrapes: serde_json::Value,
}

impl<T> Default for Increases<T> {
    fn default() -> Self {
        Self { sets: Vec::new(), scrapes: Window::default(), earlier: false, at: Timestamp::UNIX_EPOCH }
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
        let (at, earlier) = (self.at.as_millisecond(), self.earlier);
        let Some(readings) = self.sets.get_mut(set) else { return };
        for series in page {
            let value = if series.value.is_finite() { series.value } else { f64::NAN };
            match readings.get_mut(&series.id) {
                Some(reading) => {
                    gain(series, reading.advance(value));
                    reading.at = at;
                }
                None => {
                    gain(series, if earlier && !value.is_nan() { value.max(0.0) } else { 0.0 });
                    readings.insert(series.id.clone(), Reading { value, at });
                }
            }
        }
    }

    /// Ends with what is to be kept of this scrape, and forgets series that were not seen for a whole window.
    pub fn end(&mut self, window: Period, kept: T) {
        self.scrapes.push(self.at, window, kept);
        let oldest = self.at.as_millisecond().saturating_sub(i64::try_from(window.0.as_millis()).unwrap_or(i64::MAX));
        for readings in &mut self.sets {
            readings.retain(|_, reading| reading.at > oldest);
        }
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

impl<T: Clone + Serialize + DeserializeOwned> Increases<T> {
    /// For [`crate::model::check::Check::save`].
    #[must_use]
    pub fn save(&self) -> Option<serde_json::Value> {
        let of_set = |set: &HashMap<Box<str>, Reading>| {
            set.iter().map(|(id, reading)| (id.clone(), reading.value.to_bits(), reading.at)).collect()
        };
        serde_json::to_value(Saved { readings: self.sets.iter().map(of_set).collect(), scrapes: self.scrapes.save()? })
            .ok()
    }

    /// What was saved, or nothing if it can't be read.
    #[must_use]
    pub fn restored(saved: serde_json::Value) -> Self {
        let Ok(Saved { readings, scrapes }) = serde_json::from_value::<Saved>(saved) else { return Self::default() };
        let reading = |(id, bits, at)| (id, Reading { value: f64::from_bits(bits), at });
        let sets = readings.into_iter().map(|set| set.into_iter().map(reading).collect()).collect();
        Self { sets, scrapes: Window::restored(scrapes), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        let text = before.save().unwrap().to_string();
        let mut after = Increases::restored(serde_json::from_str(&text).unwrap());
        scrape(&mut after, 30, &[("a", 1.1 + 2.2), ("b", 7.0)]);
        assert!((total(&after).unwrap() - 3.0).abs() < 1e-9);
        for bad in ["null", "{}", r#"{"readings":[[["a",-1,0]]],"scrapes":null}"#] {
            assert!(total(&Increases::<f64>::restored(serde_json::from_str(bad).unwrap())).is_none());
        }
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
