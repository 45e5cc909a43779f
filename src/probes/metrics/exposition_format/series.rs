//! One series of a page.

use std::fmt::Write as _;

/// A series with its sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Identity: the name and the sorted labels in the text format.
    pub id: Box<str>,
    /// Metric name.
    pub name: Box<str>,
    /// Labels with their values, sorted by name. Labels with an empty value are left out, because they are equal to
    /// absent labels.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Value; it may be NaN or infinite.
    pub value: f64,
    /// Timestamp of the sample on the page, in milliseconds since the epoch.
    pub at: Option<i64>,
    /// Time at which the counter started at 0, from the series `_created`, in seconds since the epoch.
    pub created: Option<f64>,
    /// Whether the page declares the metric as a gauge.
    pub is_gauge: bool,
}

impl Series {
    /// Creates a series: sorts the labels and leaves out labels with an empty value. `None` if a label occurs twice.
    #[must_use]
    pub fn new(name: &str, labels: Vec<(Box<str>, Box<str>)>, value: f64) -> Option<Self> {
        let mut labels = labels;
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort();
        if labels.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b)) {
            return None;
        }
        let id = id(name, labels.iter()).into();
        Some(Self { id, name: name.into(), labels: labels.into(), value, at: None, created: None, is_gauge: false })
    }

    /// Size in memory in bytes, including the entry in a set of identities.
    pub(crate) fn bytes(&self) -> usize {
        let labels = self.labels.iter().map(|(label, value)| 32 + label.len() + value.len());
        size_of::<Self>() + 2 * self.id.len() + self.name.len() + labels.sum::<usize>() + 40
    }

    /// Value of a label; empty for an absent label.
    #[must_use]
    pub fn label(&self, wanted: &str) -> &str {
        self.labels.iter().find(|(label, _)| **label == *wanted).map_or("", |(_, value)| value)
    }

    /// Identity of the series that states when this counter started at 0. It has no bound of a bucket.
    pub(super) fn created_id(&self) -> String {
        id(&created_name(&self.name), self.labels.iter().filter(|(label, _)| !matches!(&**label, "le" | "quantile")))
    }
}

/// Name of the metric with the start times of a counter, a histogram or a summary.
pub(super) fn created_name(name: &str) -> String {
    let suffixes = ["_total", "_bucket", "_count", "_sum"];
    let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    format!("{base}_created")
}

fn id<'a>(name: &str, labels: impl Iterator<Item = &'a (Box<str>, Box<str>)>) -> String {
    let mut id = name.to_owned();
    let mut is_first = true;
    for (label, value) in labels {
        id.push(if is_first { '{' } else { ',' });
        is_first = false;
        let _ = write!(id, "{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    }
    if !is_first {
        id.push('}');
    }
    id
}
