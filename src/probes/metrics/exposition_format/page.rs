//! The requested series of a metrics page: the facts of a `metrics` probe.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};

pub use super::format::Format;
use super::{mismatch::SelectorMismatch, selector::Selector, series::Series};
use crate::{
    io::http::STATUS,
    model::{
        measure::{Measure, MeasureInfo},
        observation::Facts,
        text,
        units::Period,
    },
};

/// Facts about a page: its size, and the series that checks have requested.
#[derive(Debug, Default, Serialize)]
pub struct Page {
    /// HTTP status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Format of the page.
    pub format: Format,
    /// Note on a `Content-Type` that Prometheus 3 refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Size in bytes after decompression.
    pub bytes: u64,
    /// Number of lines.
    pub lines: u64,
    /// Number of samples, requested or not.
    pub samples: u64,
    /// Number of samples whose own timestamps are too old or in the future, requested or not.
    pub untimely_samples: u64,
    /// Number of further samples of series that are on the page several times. The first sample counts, as in
    /// Prometheus.
    pub duplicates: u64,
    /// Start time of the process in seconds since the epoch, if the page states exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_start: Option<f64>,
    /// Requested series in the order of the page.
    #[serde(serialize_with = "as_map")]
    pub series: Vec<Series>,
    /// Requested series that are left out, because their own timestamps are too old or in the future.
    #[serde(serialize_with = "as_ages", skip_serializing_if = "Vec::is_empty")]
    pub untimely: Vec<UntimelySeries>,
    /// Selectors without a series, each with the reason.
    #[serde(serialize_with = "as_reasons", skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<(Selector, SelectorMismatch)>,
}

/// A series with a timestamp that is too old or in the future.
#[derive(Debug, Clone, PartialEq)]
pub struct UntimelySeries {
    /// The series.
    pub series: Series,
    /// Time of the scrape in milliseconds since the epoch.
    pub scraped_at: i64,
    /// Format of the page, which determines the unit of the timestamp.
    pub format: Format,
}

/// The status of an answer with a page.
pub const EXPECTED_STATUS: u16 = 200;

/// Maximum number of series that checks judge on the thread of the probes.
const MAX_LIGHT_SERIES: usize = 2_000;

/// Age from which a sample counts as absent, as the lookback of Prometheus.
pub const MAX_SAMPLE_AGE: Duration = Duration::from_secs(300);
/// Maximum time by which the timestamp of a sample may be ahead of the clock, as in Prometheus.
pub const MAX_SAMPLE_AHEAD: Duration = Duration::from_secs(600);

/// Whether a timestamp is neither too old nor in the future. Both times are in milliseconds since the epoch.
#[must_use]
pub fn is_timely(at: i64, now: i64) -> bool {
    let difference = u128::from(at.abs_diff(now));
    if at <= now { difference < MAX_SAMPLE_AGE.as_millis() } else { difference <= MAX_SAMPLE_AHEAD.as_millis() }
}

impl Page {
    /// Reason for which the page has no series for a selector; `None` if it has one.
    #[must_use]
    pub fn mismatch(&self, selector: &Selector) -> Option<&SelectorMismatch> {
        self.unmatched.iter().find(|(unmatched, _)| unmatched == selector).map(|(_, mismatch)| mismatch)
    }

    /// Series of a selector that are left out because of their timestamps.
    pub fn untimely_series<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = &'a UntimelySeries> {
        self.untimely.iter().filter(|untimely| {
            let series = &untimely.series;
            selector.matches(&series.name, |label| series.label(label))
        })
    }
}

impl UntimelySeries {
    /// Describes the timestamp: "its own time is 2d ago".
    #[must_use]
    pub fn time_text(&self) -> String {
        let Some(at) = self.series.at else { return "it has no time".to_owned() };
        let period = |millis: u64| Period(Duration::from_secs(millis / 1_000));
        let distance = at.abs_diff(self.scraped_at);
        let side = if at <= self.scraped_at { "ago" } else { "ahead" };
        // A time of the last or the next year in the other unit is no accident.
        let is_near = |at: i64| at.abs_diff(self.scraped_at) < 366 * 86_400_000;
        match self.format {
            Format::Text if is_near(at.saturating_mul(1_000)) => {
                "its own time is in seconds, and the text format requires milliseconds".to_owned()
            }
            Format::OpenMetrics if is_near(at / 1_000) => {
                "its own time is in milliseconds, and OpenMetrics requires seconds".to_owned()
            }
            _ => match Timestamp::from_millisecond(at) {
                Ok(_) => format!("its own time is {} {side}", period(distance)),
                Err(_) => "its own time is beyond the year 9999".to_owned(),
            },
        }
    }
}

impl Facts for Page {
    type Request = Selector;
    const ANSWER: &'static [MeasureInfo] = &[STATUS];

    fn answer(&self) -> Vec<Measure> {
        self.status
            .map(|status| Measure::of_code(STATUS.name, status, EXPECTED_STATUS..=EXPECTED_STATUS))
            .unwrap_or_default()
    }

    fn is_heavy(&self) -> bool {
        self.series.len() > MAX_LIGHT_SERIES
    }
}

fn as_map<S: Serializer>(series: &[Series], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(series.len()))?;
    for series in series {
        // JSON has neither NaN nor infinity.
        if series.value.is_finite() {
            map.serialize_entry(&series.id, &series.value)?;
        } else {
            map.serialize_entry(&series.id, &series.value.to_string())?;
        }
    }
    map.end()
}

fn as_ages<S: Serializer>(all: &[UntimelySeries], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(all.iter().map(|untimely| (&untimely.series.id, untimely.time_text())))
}

fn as_reasons<S: Serializer>(all: &[(Selector, SelectorMismatch)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(all.iter().map(|(selector, mismatch)| (text::bounded_name(selector.to_string()), mismatch)))
}
