//! The requested series of a metrics page: the facts of a `metrics` probe.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{selector::Selector, series::Series};
use crate::{
    io::http::STATUS,
    model::{
        measure::{Measure, MeasureInfo},
        observation::Facts,
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
    /// Size in bytes after decompression.
    pub bytes: u64,
    /// Number of lines.
    pub lines: u64,
    /// Number of samples, requested or not.
    pub samples: u64,
    /// Number of further samples of series that are on the page several times. The first sample counts, as in
    /// Prometheus.
    pub duplicates: u64,
    /// Requested series in the order of the page.
    #[serde(serialize_with = "as_map")]
    pub series: Vec<Series>,
}

/// Formats of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text format of Prometheus, version 0.0.4, or 1.0.0 with quoted names.
    #[default]
    Text,
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
}

/// The status of an answer with a page.
pub const EXPECTED_STATUS: u16 = 200;

/// Maximum number of series that checks judge on the thread of the probes.
const MAX_LIGHT_SERIES: usize = 2_000;

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
