//! Windows of checks: values of the latest runs with their times.
//!
//! A window ends at the judged run and excludes its start, like a range selector of Prometheus. Its only clock is the
//! time of the runs. After the clock was set back, entries in the future are dropped, because their times will occur
//! again. After the clock was set forward, old entries leave the window.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::model::{
    failure::Invalid,
    metric::{CHECK_WINDOW, Sample},
    observation::Timing,
    units::Period,
    verdict::Verdict,
    words::Outcome,
};

/// Maximum number of runs in a window. A latency takes 8 bytes, so that a window takes less than a megabyte.
pub const MAX_RUNS: usize = 100_000;

/// Maximum length of a window. Times are stored modulo 2^32 ms, which is 49 days. Longer windows are a task of
/// Prometheus.
const MAX_WINDOW: Duration = Duration::from_secs(31 * 86_400);

/// Values of the runs in a window.
#[derive(Debug, Deserialize)]
#[serde(try_from = "SavedWindow<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Window<T> {
    /// Time of the last run in milliseconds since the epoch.
    newest: i64,
    /// Times in milliseconds since the epoch modulo 2^32, and values; oldest first. No run is older than
    /// [`MAX_WINDOW`].
    entries: VecDeque<(u32, T)>,
}

/// Serialized window: the times of the first and last run, and each value with the milliseconds since the previous run.
#[derive(Serialize, Deserialize)]
struct SavedWindow<T> {
    newest: i64,
    first: i64,
    runs: Vec<(u32, T)>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { newest: 0, entries: VecDeque::new() }
    }
}

impl<T> Window<T> {
    /// Moves the end of the window to `at` and drops all entries outside.
    pub fn advance(&mut self, at: Timestamp, span: Period) {
        let now = at.as_millisecond();
        let start = now.saturating_sub(i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX));
        while self.entries.back().is_some_and(|(at, _)| self.full_millis(*at) > now) {
            self.entries.pop_back();
        }
        while self.entries.front().is_some_and(|(at, _)| self.full_millis(*at) <= start) {
            self.entries.pop_front();
        }
        self.newest = now;
    }

    /// Moves the end of the window to a run and adds its value.
    pub fn push(&mut self, at: Timestamp, span: Period, value: T) {
        self.advance(at, span);
        // The settings prevent so many runs, but a clock that stands still does not.
        if self.entries.len() == MAX_RUNS {
            self.entries.pop_front();
        }
        self.entries.push_back((truncate_millis(self.newest), value));
    }

    /// Values, oldest first.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The runs, oldest first, each with the milliseconds since the epoch at which it started.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (i64, &T)> {
        self.entries.iter().map(|(at, value)| (self.full_millis(*at), value))
    }

    /// The runs, oldest first, each with the seconds that it represents: the time until the next run, at most one
    /// interval and one timeout. The last run represents the time until the next run is planned: `retry_interval` if it
    /// failed, otherwise `interval`.
    ///
    /// So the frequent runs of an outage weigh no more than the outage lasted, and a time without runs (the daemon was
    /// stopped, or a dependency failed) is not attributed to the run before it.
    pub fn weighted_runs(&self, timing: &Timing, last_failed: bool) -> impl Iterator<Item = (f64, &T)> {
        let longest = (timing.interval + timing.timeout).as_millis();
        let longest = i64::try_from(longest).unwrap_or(i64::MAX);
        let planned = if last_failed { timing.retry_interval } else { timing.interval };
        let next = self.runs().skip(1).map(|(at, _)| Some(at)).chain([None]);
        self.runs().zip(next).map(move |((at, value), next)| {
            let seconds = match next {
                Some(next) => next.saturating_sub(at).min(longest) as f64 / 1e3,
                None => planned.as_secs_f64(),
            };
            (seconds, value)
        })
    }

    /// How many runs the window holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the window contains no run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Time from the oldest run to the end of the window; zero for fewer than two runs.
    #[must_use]
    pub fn span(&self) -> Duration {
        let oldest = self.entries.front().map_or(self.newest, |(at, _)| self.full_millis(*at));
        Duration::from_millis(self.newest.abs_diff(oldest))
    }

    /// Whether the window contains a run later than `at`, which means that the clock was set back.
    #[must_use]
    pub fn is_ahead_of(&self, at: Timestamp) -> bool {
        !self.is_empty() && self.newest > at.as_millisecond()
    }

    fn full_millis(&self, at: u32) -> i64 {
        self.newest - i64::from(truncate_millis(self.newest).wrapping_sub(at))
    }
}

impl<T: Serialize> Serialize for Window<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first = self.entries.front().map_or(self.newest, |(at, _)| self.full_millis(*at));
        let mut before = truncate_millis(first);
        let mut since = |at: u32| at.wrapping_sub(std::mem::replace(&mut before, at));
        let runs = self.entries.iter().map(|(at, value)| (since(*at), value)).collect();
        SavedWindow { newest: self.newest, first, runs }.serialize(serializer)
    }
}

/// Runs that are too old are dropped when the next run is added.
impl<T> TryFrom<SavedWindow<T>> for Window<T> {
    type Error = &'static str;

    fn try_from(saved: SavedWindow<T>) -> Result<Self, Self::Error> {
        let SavedWindow { newest, first, runs } = saved;
        let mut at = first;
        let mut entries = VecDeque::with_capacity(runs.len().min(MAX_RUNS));
        for (since, value) in runs {
            at = at.checked_add(i64::from(since)).ok_or("a time is out of range")?;
            entries.push_back((truncate_millis(at), value));
        }
        let is_recent = newest.checked_sub(first).is_some_and(|span| span <= i64::from(u32::MAX));
        let fits = at <= newest && is_recent && entries.len() <= MAX_RUNS;
        fits.then_some(Self { newest, entries }).ok_or("the runs don't fit in a window")
    }
}

/// Time modulo 2^32 ms, as stored in a window.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "modulo 2^32 is what is wanted")]
fn truncate_millis(millis: i64) -> u32 {
    millis as u32
}

/// Default length of a window.
pub(crate) fn five_minutes() -> Period {
    Period(Duration::from_secs(300))
}

/// Default of `min_samples`.
pub(crate) fn default_min_samples() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// The length of a window as a sample, for a check that looks back: after an outage of its probe has ended, the check still
/// counts its failed runs for so long.
pub(crate) fn window_sample(window: Period) -> Sample {
    Sample::new(&CHECK_WINDOW, [], window.as_seconds())
}

/// Verdict on a window with too few runs.
pub(crate) fn too_few_runs(runs: usize, needed: NonZeroU32) -> Verdict {
    Verdict::new(Outcome::Pending, format!("runs in the window: {runs}, needed: {needed} (`min_samples`)"))
}

/// Rejects a window that can't contain the `least` runs that a verdict needs, or that would contain too many runs.
///
/// # Errors
/// An error at the key `window` or `min_samples`.
pub fn validate(window: Period, least: u32, timing: &Timing) -> Result<(), Invalid> {
    let interval = Period(timing.interval);
    if window < interval {
        let message = format!("a window of {window} is shorter than the probe's interval of {interval}");
        return Err(Invalid::at("window", format!("{message}: most of the time it would hold no run at all")));
    }
    if window.0 > MAX_WINDOW {
        return Err(Invalid::at("window", format!("a window of {window} is longer than the most, 31d")));
    }
    if window.0 < timing.interval.saturating_mul(least) {
        let (least_window, key) =
            (Period(timing.interval.saturating_mul(least)), if least == 2 { "window" } else { "min_samples" });
        let message =
            format!("{least} runs are needed, but a window of {window} holds fewer at an interval of {interval}");
        return Err(Invalid::at(key, format!("{message}: widen the window to {least_window} or run more often")));
    }
    if window.0.as_secs_f64() > timing.retry_interval.as_secs_f64() * MAX_RUNS as f64 {
        let often = Period(timing.retry_interval);
        let message = format!("a window of {window} at a run each {often} would hold more than {MAX_RUNS} runs");
        return Err(Invalid::at("window", format!("{message}: shorten it or run less often")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::check::{from_saved, to_saved};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    const SPAN: Period = Period(Duration::from_secs(10));

    fn filled(times: &[i64]) -> Window<u32> {
        let mut window = Window::default();
        for (n, time) in (0..).zip(times) {
            window.push(at(*time), SPAN, n);
        }
        window
    }

    fn left(window: &Window<u32>) -> Vec<u32> {
        window.values().copied().collect()
    }

    #[test]
    fn a_window_contains_only_runs_younger_than_its_span() {
        assert_eq!(left(&filled(&[0, 5_000, 9_999])), [0, 1, 2]);
        assert_eq!(left(&filled(&[0, 5_000, 10_000])), [1, 2], "the start is open");
        assert_eq!(filled(&[0, 5_000, 10_000]).span(), Duration::from_secs(5));
    }

    #[test]
    fn a_clock_that_goes_back_drops_the_future_and_one_that_jumps_ahead_drops_the_past() {
        assert_eq!(left(&filled(&[1_000, 8_000, 9_000, 2_000])), [0, 3]);
        assert_eq!(left(&filled(&[1_000, 2_000, 400_000_000_000])), [2]);
        assert_eq!(left(&filled(&[400_000_000_000, 1_000, 2_000])), [1, 2]);
        assert_eq!(left(&filled(&[-3_000, 1_000])), [0, 1], "before the epoch");
    }

    #[test]
    fn times_modulo_2_to_the_32_stay_apart() {
        let wrap = i64::from(u32::MAX);
        assert_eq!(left(&filled(&[wrap - 4_000, wrap + 3_000])), [0, 1]);
        assert_eq!(left(&filled(&[wrap - 4_000, wrap + 7_000])), [1]);
        assert_eq!(left(&filled(&[3_000, 3_000 + wrap + 1])), [1]);
    }

    #[test]
    fn what_is_damaged_or_from_another_time_is_dropped() {
        use serde_json::json;
        for bad in [
            json!(null),
            json!({"newest": 5, "first": 0}),
            json!({"newest": 5, "first": 0, "runs": [[0, "x"]]}),
            json!({"newest": 5, "first": 0, "runs": [[0, 1], [6, 1]]}),
            json!({"newest": i64::MAX, "first": i64::MIN, "runs": []}),
            json!({"newest": 9_000_000_000_000_i64, "first": 0, "runs": [[0, 1]]}),
            json!({"newest": 5, "first": i64::MAX, "runs": [[1, 1]]}),
        ] {
            assert!(serde_json::from_value::<Window<u32>>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows_that_hold_too_little_or_too_much_are_refused() {
        let seconds = Duration::from_secs;
        let timing = Timing { interval: seconds(10), retry_interval: seconds(2), timeout: seconds(2) };
        let key =
            |window, least| validate(Period(seconds(window)), least, &timing).err().map(|error| error.key.unwrap());
        assert_eq!(key(10, 1), None);
        assert_eq!(key(9, 1), Some("window"));
        assert_eq!(key(19, 2), Some("window"));
        assert_eq!(key(300, 30), None);
        assert_eq!(key(300, 31), Some("min_samples"));
        assert_eq!(key(200_000, 1), None);
        assert_eq!(key(200_001, 1), Some("window"));
        assert_eq!(key(32 * 86_400, 1), Some("window"));
    }

    #[test]
    fn a_run_represents_the_time_until_the_next_run_but_no_gap() {
        let seconds = Duration::from_secs;
        let timing = Timing { interval: seconds(10), retry_interval: seconds(2), timeout: seconds(1) };
        let mut window = Window::default();
        // A regular run, a failed run, its retry, a gap, two runs at one moment.
        for (n, time) in [0, 10_000, 12_000, 14_500, 90_000, 90_000].into_iter().enumerate() {
            window.push(at(time), Period(seconds(100)), n);
        }
        let weights =
            |last_failed| window.weighted_runs(&timing, last_failed).map(|(seconds, _)| seconds).collect::<Vec<_>>();
        assert_eq!(weights(false), [10.0, 2.0, 2.5, 11.0, 0.0, 10.0]);
        assert_eq!(weights(true), [10.0, 2.0, 2.5, 11.0, 0.0, 2.0]);
        assert!(Window::<u8>::default().weighted_runs(&timing, false).next().is_none());
    }

    proptest! {
        #[test]
        fn a_window_survives_a_restart(start in -1_000_000_000_000_i64..4_000_000_000_000, steps in prop::collection::vec(0_i64..3_000, 0..50)) {
            let times: Vec<_> = steps.iter().scan(start, |at, step| { *at += step; Some(*at) }).collect();
            let window = filled(&times);
            let back: Window<u32> = from_saved(&to_saved(&window).unwrap());
            prop_assert_eq!(left(&back), left(&window));
            prop_assert_eq!(back.span(), window.span());
        }

        #[test]
        fn whatever_the_clock_does_all_that_is_left_lies_within_the_span(times in prop::collection::vec(-50_000_i64..50_000, 1..50)) {
            let window = filled(&times);
            let now = *times.last().unwrap();
            let left: Vec<_> = left(&window).iter().map(|n| times[*n as usize]).collect();
            prop_assert!(left.iter().all(|at| *at <= now && *at > now - 10_000));
            prop_assert!(left.is_sorted());
        }
    }
}
