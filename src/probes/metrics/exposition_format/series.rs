//! One series of a page, and what is kept of a page.

use std::fmt::Write as _;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::selector::Selector;
use crate::model::{
    observation::{Facts, Observation},
    verdict::Verdict,
    words::{Outcome, Reason},
};

/// A sample as it stands on a page, with the identity of its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name and labels in the text format, labels sorted: equal for equal series.
    pub id: Box<str>,
    /// The metric name.
    pub name: Box<str>,
    /// Labels with their values, sorted by name; none is empty, for an empty label is no label.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The value, which may be NaN or infinite.
    pub value: f64,
}

impl Series {
    /// A series; sorts the labels and leaves out the empty ones. None if a label is there twice.
    #[must_use]
    pub fn new(name: &str, labels: Vec<(Box<str>, Box<str>)>, value: f64) -> Option<Self> {
        let mut labels = labels;
        labels.sort();
        if labels.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b)) {
            return None;
        }
        labels.retain(|(_, value)| !value.is_empty());
        Some(Self { id: id(name, &labels).into(), name: name.into(), labels: labels.into(), value })
    }

    /// Bytes that it takes up in memory, together with its entry in a set of identities.
    pub(crate) fn bytes(&self) -> usize {
        let labels = self.labels.iter().map(|(label, value)| 32 + label.len() + value.len());
        size_of::<Self>() + 2 * self.id.len() + self.name.len() + labels.sum::<usize>() + 32
    }

    /// The value of a label, empty where there is none.
    #[must_use]
    pub fn label(&self, wanted: &str) -> &str {
        self.labels.iter().find(|(label, _)| **label == *wanted).map_or("", |(_, value)| value)
    }
}

fn id(name: &str, labels: &[(Box<str>, Box<str>)]) -> String {
    let mut id = name.to_owned();
    for (at, (label, value)) in labels.iter().enumerate() {
        id.push(if at == 0 { '{' } else { ',' });
        // Writing to a string can't fail.
        let _ = write!(id, "{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    }
    if !labels.is_empty() {
        id.push('}');
    }
    id
}

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

impl Observation<Page> {
    /// The page, or the verdict where there is none.
    ///
    /// # Errors
    /// `unknown` for the reason for which the scrape failed.
    pub fn page(&self) -> Result<&Page, Verdict> {
        match (&self.failure, &self.facts) {
            (None, Some(page)) => Ok(page),
            (Some(failure), _) => Err(Verdict::not_measured(failure)),
            (None, None) => Err(Verdict::new(Outcome::Unknown(Reason::Internal), "a scrape that worked has no page")),
        }
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
