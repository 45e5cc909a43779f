//! A page of metrics, as far as checks have asked for it: the facts of a `metrics` probe.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{selector::Selector, series::Series};
use crate::model::observation::Facts;

/// What was seen on a page: how much there was, and the series that checks have asked for.
#[derive(Debug, Default, Serialize)]
pub struct Page {
    /// The format in which it came.
    pub format: Format,
    /// Bytes, decompressed.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// Samples, asked for or not.
    pub samples: u64,
    /// Samples of a series that had one already on this page; the first counts, as in Prometheus.
    pub duplicates: u64,
    /// The samples that were asked for, in the order of the page.
    #[serde(serialize_with = "as_map")]
    pub series: Vec<Series>,
}

/// The formats that a page can come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Prometheus' text format 0.0.4, and 1.0.0 with its quoted names.
    #[default]
    Text,
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
}

/// Series that are looked through between the runs of other probes.
const MAX_LIGHT_SERIES: usize = 2_000;

impl Facts for Page {
    type Want = Selector;

    fn is_heavy(&self) -> bool {
        self.series.len() > MAX_LIGHT_SERIES
    }
}

fn as_map<S: Serializer>(series: &[Series], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(series.len()))?;
    for series in series {
        // JSON has no NaN and no infinity.
        if series.value.is_finite() {
            map.serialize_entry(&series.id, &series.value)?;
        } else {
            map.serialize_entry(&series.id, &series.value.to_string())?;
        }
    }
    map.end()
}
