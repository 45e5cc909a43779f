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
    /// Whether the page declares the metric as a gauge.
    pub is_gauge: bool,
}

impl Series {
    /// Creates a series: sorts the labels and leaves out labels with an empty value. `None` if a label occurs twice.
    #[must_use]
    pub fn new(name: &str, labels: Vec<(Box<str>, Box<str>)>, value: f64) -> Option<Self> {
        let mut labels = labels;
        labels.sort();
        if labels.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b)) {
            return None;
        }
        labels.retain(|(_, value)| !value.is_empty());
        Some(Self { id: id(name, &labels).into(), name: name.into(), labels: labels.into(), value, is_gauge: false })
    }

    /// Size in memory in bytes, including the entry in a set of identities.
    pub(crate) fn bytes(&self) -> usize {
        let labels = self.labels.iter().map(|(label, value)| 32 + label.len() + value.len());
        size_of::<Self>() + 2 * self.id.len() + self.name.len() + labels.sum::<usize>() + 32
    }

    /// Value of a label; empty for an absent label.
    #[must_use]
    pub fn label(&self, wanted: &str) -> &str {
        self.labels.iter().find(|(label, _)| **label == *wanted).map_or("", |(_, value)| value)
    }
}

fn id(name: &str, labels: &[(Box<str>, Box<str>)]) -> String {
    let mut id = name.to_owned();
    for (at, (label, value)) in labels.iter().enumerate() {
        id.push(if at == 0 { '{' } else { ',' });
        let _ = write!(id, "{label}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    }
    if !labels.is_empty() {
        id.push('}');
    }
    id
}
