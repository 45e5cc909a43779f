//! One series of a page, and what is kept of a page.

use std::fmt::Write as _;

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
