//! Increases of counters over a window, with resets.
//!
//! As in Prometheus, a counter whose value decreases was reset to 0. There are three differences. Increases are not
//! extrapolated to the ends of the window: only the increases between the first and the last scrape count. A series
//! that appears between two scrapes counts from 0 if it probably began since the previous scrape, so that the first
//! error of a kind counts. A series with a past, and counters of several processes, are recognized.
//!
//! | situation | increase |
//! |---|---|
//! | the value increases | the difference |
//! | the value decreases to less than a half, or to a plausible value | the new value, because the counter was reset to 0 |
//! | the value decreases by less | none: a part of the counted objects has disappeared |
//! | the series appears at the first scrape in the window | none: counting starts |
//! | the series appears later, and `_created` or `process_start_time_seconds` states that it began since | its value |
//! | the series appears later, with a plausible value | its value |
//! | the series appears later, with a larger value or with an older `_created` | none: it has a past |
//! | only series with a past | counting starts again |
//! | the series disappears and appears again within the window | as if it had been present |
//! | NaN or infinite | none: counting continues with the next finite value |
//! | the clock was set back | counting starts again |
//! | scrapes failed, or the daemon was stopped, for less than the window | the difference, once |
//! | the same for longer | counting starts again |
//! | the page is that of another process, by the start time of the process | counting starts again |
//! | more than [`MAX_SERIES`] series in the window | none: the verdict is unknown for the length of a window |
//! | a series decreases again and again | none: see [`Increases::problem`] |
//!
//! A value is plausible up to [`MAX_YOUNG_EVENTS`], or up to twice the events of the known series between two scrapes
//! of the window. If the values that appear in one scrape exceed this in one set, none of them counts: a proxy that
//! shows one more server shows its requests and its errors.
//!
//! A series is identified by a hash, so that its memory does not depend on the length of its labels, and a saved window
//! contains no text of the target.

mod processes;
mod reading;
mod saved;

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;

use self::{
    processes::ProcessChanges,
    reading::{CounterChange, CounterReading, SeriesHash, identity},
    saved::SavedCounters,
};
use crate::{
    checks::window::Window,
    model::{
        observation::Observation,
        units::Period,
        verdict::Verdict,
        words::{Outcome, Reason},
    },
    probes::metrics::exposition_format::{page::Page, series::Series},
};

/// Maximum number of series in the window of a check. They take about 4 MiB.
pub const MAX_SERIES: usize = 100_000;

/// Value up to which a series that appears counts from 0 in any case.
pub const MAX_YOUNG_EVENTS: f64 = 10.0;

/// Increases of counters over a window. `T` is the type of the result of one scrape. The counters form several sets,
/// because a series may belong to the errors and to the total.
#[derive(Debug, Deserialize)]
#[serde(try_from = "SavedCounters<Window<T>>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Increases<T> {
    sets: Vec<HashMap<SeriesHash, CounterReading>>,
    scrapes: Window<T>,
    /// Events of the known series between two scrapes.
    loads: Window<f64>,
    processes: ProcessChanges,
    at: Timestamp,
    /// Whether this scrape exceeds a limit.
    exceeded: bool,
    /// The last scrape that exceeded a limit.
    exceeded_at: Option<Timestamp>,
}

/// Increases of the selected series since the previous scrape.
#[derive(Debug, Default)]
pub struct ScrapeGains<'a> {
    /// The series of each set with their increases.
    pub sets: Vec<Vec<(&'a Series, f64)>>,
    /// A series whose value does not count, because it has a past.
    pub with_past: Option<&'a Series>,
    /// A series whose value is not finite.
    pub not_finite: Option<&'a Series>,
}

impl ScrapeGains<'_> {
    /// Sum of the increases of a set.
    #[must_use]
    pub fn sum(&self, set: usize) -> f64 {
        self.sets.get(set).map_or(0.0, |set| set.iter().fold(0.0, |sum, (_, gain)| sum + gain))
    }

    /// Whether a set has no series.
    #[must_use]
    pub fn is_empty(&self, set: usize) -> bool {
        self.sets.get(set).is_none_or(Vec::is_empty)
    }
}

/// A value that counts only if the series began since the previous scrape.
struct YoungValue<'a> {
    set: usize,
    /// Place in the set.
    place: usize,
    series: &'a Series,
    value: f64,
    /// Whether the series began since, if known.
    is_young: Option<bool>,
}

impl<T> Default for Increases<T> {
    fn default() -> Self {
        Self {
            sets: Vec::new(),
            scrapes: Window::default(),
            loads: Window::default(),
            processes: ProcessChanges::default(),
            at: Timestamp::UNIX_EPOCH,
            exceeded: false,
            exceeded_at: None,
        }
    }
}

impl<T> Increases<T> {
    /// Computes the increases of the series of all sets since the previous scrape. The caller ends the scrape with
    /// [`Increases::end_scrape`].
    pub fn scrape<'a>(
        &mut self,
        seen: &Observation<Page>,
        page: &Page,
        window: Period,
        sets: Vec<Vec<&'a Series>>,
    ) -> ScrapeGains<'a> {
        if self.scrapes.is_ahead_of(seen.at) {
            *self = Self::default();
        }
        self.scrapes.advance(seen.at, window);
        self.loads.advance(seen.at, window);
        let previous = self.scrapes.runs().last().map(|(at, _)| at);
        self.at = seen.at;
        self.exceeded = false;
        let has_restarted = self.processes.next_scrape(seen.at, previous, page.process_start, window);
        let is_other_process = has_restarted.is_none();
        if previous.is_none() || is_other_process {
            self.start_again();
        }
        self.sets.resize_with(sets.len().max(self.sets.len()), HashMap::new);
        let previous = self.scrapes.runs().last().map(|(at, _)| at);
        self.add_series(sets, previous, has_restarted == Some(true))
    }

    /// Forgets the readings and the scrapes.
    fn start_again(&mut self) {
        self.sets.clear();
        self.scrapes = Window::default();
    }

    fn add_series<'a>(
        &mut self,
        sets: Vec<Vec<&'a Series>>,
        previous: Option<i64>,
        has_restarted: bool,
    ) -> ScrapeGains<'a> {
        let at = self.at.as_millisecond();
        let mut gains = ScrapeGains::default();
        let (mut young, mut load, mut has_known) = (Vec::new(), 0.0, false);
        let mut count: usize = self.sets.iter().map(HashMap::len).sum();
        for (set, selected) in sets.into_iter().enumerate() {
            let Some(readings) = self.sets.get_mut(set) else { continue };
            let mut of_set = Vec::with_capacity(selected.len());
            let mut known_events = 0.0;
            for series in selected {
                if !series.value.is_finite() {
                    gains.not_finite.get_or_insert(series);
                }
                let hash = identity(&series.id);
                let is_young = began_since(series, previous, has_restarted);
                let value = |value| YoungValue { set, place: of_set.len(), series, value, is_young };
                let gain = match readings.get_mut(&hash) {
                    Some(reading) => {
                        has_known = true;
                        match reading.advance(series, at) {
                            CounterChange::Gained(gain) => gain,
                            CounterChange::Fell { from, to } => {
                                if !has_restarted {
                                    self.processes.fell(hash, series, at);
                                }
                                if to * 2.0 >= from && to > 0.0 {
                                    young.push(value(to));
                                    0.0
                                } else {
                                    to.max(0.0)
                                }
                            }
                        }
                    }
                    None if count >= MAX_SERIES => {
                        self.exceeded = true;
                        return gains;
                    }
                    None => {
                        let reading = CounterReading::new(series, at);
                        if previous.is_some() && reading.value > 0.0 {
                            young.push(value(reading.value));
                        }
                        readings.insert(hash, reading);
                        count += 1;
                        0.0
                    }
                };
                known_events += if is_event_count(series) { gain } else { 0.0 };
                of_set.push((series, gain));
            }
            load = f64::max(load, known_events);
            gains.sets.push(of_set);
        }
        let peak = self.loads.values().copied().fold(load, f64::max);
        count_young_values(&mut gains, &young, f64::max(MAX_YOUNG_EVENTS, 2.0 * peak));
        self.loads.push(self.at, Period(MAX_LOAD_AGE), load);
        // Without a known series, nothing is known about the time since the previous scrape.
        if gains.with_past.is_some() && !has_known {
            self.scrapes = Window::default();
        }
        gains
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
        self.processes.end_scrape(oldest);
    }

    /// Drops everything, because this scrape exceeds a limit. Counting starts again, and the window is incomplete for a
    /// while: see [`Increases::problem`].
    pub fn discard(&mut self) {
        *self = Self { exceeded_at: Some(self.at), at: self.at, ..Self::default() };
    }

    /// Verdict if the increases of the window are not usable: for the length of a window after a scrape that exceeded a
    /// limit, and while the window contains counters of several processes.
    #[must_use]
    pub fn problem(&self, window: Period) -> Option<Verdict> {
        self.exceeded(window).or_else(|| self.processes.problem(self.scrapes.len(), window))
    }

    fn exceeded(&self, window: Period) -> Option<Verdict> {
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

/// Maximum age of a load; a window may be shorter.
const MAX_LOAD_AGE: Duration = Duration::from_secs(86_400);

/// Whether a series began since the previous scrape; `None` if the page does not state it. Times of the target are
/// compared with times of the daemon.
fn began_since(series: &Series, previous: Option<i64>, has_restarted: bool) -> Option<bool> {
    let previous = previous?;
    match series.created {
        Some(created) if created.is_finite() => Some(created * 1e3 >= previous as f64),
        _ => has_restarted.then_some(true),
    }
}

/// Whether the value of a series is a number of events. Of the buckets of a histogram, only the last one is.
fn is_event_count(series: &Series) -> bool {
    matches!(series.label("le"), "" | "+Inf" | "+inf" | "Inf" | "inf")
}

/// Adds the values of series that probably began since the previous scrape.
fn count_young_values<'a>(gains: &mut ScrapeGains<'a>, young: &[YoungValue<'a>], most: f64) {
    let mut events = vec![0.0; gains.sets.len()];
    for value in young.iter().filter(|value| value.is_young.is_none() && is_event_count(value.series)) {
        if let Some(sum) = events.get_mut(value.set) {
            *sum += value.value;
        }
    }
    let is_plausible = events.iter().all(|sum| *sum <= most);
    for value in young {
        if value.is_young.unwrap_or(is_plausible) {
            if let Some((_, gain)) = gains.sets.get_mut(value.set).and_then(|set| set.get_mut(value.place)) {
                *gain += value.value;
            }
        } else {
            gains.with_past.get_or_insert(value.series);
        }
    }
}

#[cfg(test)]
mod tests;
