//! Limits on a page, and the rules for the labels of a line.

use std::collections::HashSet;

use super::super::sample_line::{ErrorKind, ParseError};
use crate::model::units::Size;

/// Limits on a page.
#[derive(Debug, Clone, Copy)]
pub struct ParserLimits {
    /// Maximum size in bytes after decompression.
    pub bytes: u64,
    /// Maximum number of samples.
    pub samples: u64,
    /// Maximum length of a line in bytes.
    pub line_bytes: u64,
    /// Maximum number of labels of a sample.
    pub labels: u32,
    /// Maximum length of the name of a label in bytes.
    pub label_name_bytes: Option<u32>,
    /// Maximum length of the value of a label in bytes.
    pub label_value_bytes: Option<u32>,
}

/// Default for the maximum size of a page.
pub const DEFAULT_BODY_LIMIT: Size = Size(10 << 20);
/// Default for the maximum number of samples.
pub const DEFAULT_SAMPLE_LIMIT: u32 = 50_000;
/// Default for the maximum length of a line.
pub const DEFAULT_LINE_LIMIT: Size = Size(1 << 20);
/// Default for the maximum number of labels of a sample. Prometheus has no limit by default.
pub const DEFAULT_LABEL_LIMIT: u32 = 512;

impl Default for ParserLimits {
    fn default() -> Self {
        Self {
            bytes: DEFAULT_BODY_LIMIT.0,
            samples: DEFAULT_SAMPLE_LIMIT.into(),
            line_bytes: DEFAULT_LINE_LIMIT.0,
            labels: DEFAULT_LABEL_LIMIT,
            label_name_bytes: None,
            label_value_bytes: None,
        }
    }
}

/// Number of labels whose names are compared one by one. Further names are hashed.
const MAX_COMPARED: usize = 16;

/// Checks the labels of one line: their number, their lengths, and names that occur twice.
pub(super) struct LabelRules<'a> {
    limits: ParserLimits,
    first: [&'a str; MAX_COMPARED],
    more: HashSet<&'a str>,
    /// Number of labels.
    count: usize,
    /// Number of labels with a value.
    distinct: usize,
}

impl<'a> LabelRules<'a> {
    pub(super) fn new(limits: ParserLimits) -> Self {
        Self { limits, first: [""; MAX_COMPARED], more: HashSet::new(), count: 0, distinct: 0 }
    }

    pub(super) fn add(&mut self, at: usize, name: &'a str, value: &str) -> Result<(), ParseError> {
        let ParserLimits { labels, label_name_bytes, label_value_bytes, .. } = self.limits;
        let exceeded = |what: String| Err(ParseError { kind: ErrorKind::Limit, ..ParseError::new(at, what) });
        self.count += 1;
        if self.count > labels as usize {
            return exceeded(format!("more than {labels} labels; raise `label_limit` if the sample should have them"));
        }
        if let Some(most) = label_name_bytes.filter(|most| name.len() > *most as usize) {
            return exceeded(format!("a label with a name of more than {most} bytes, the `label_name_length_limit`"));
        }
        if let Some(most) = label_value_bytes.filter(|most| value.len() > *most as usize) {
            return exceeded(format!("a label with a value of more than {most} bytes, the `label_value_length_limit`"));
        }
        if name == "__name__" {
            return Err(ParseError::new(at, "the label `__name__` is reserved for the name of the metric: remove it"));
        }
        // A label without a value is equal to an absent label.
        if value.is_empty() {
            return Ok(());
        }
        let known = self.first.get(..self.distinct.min(MAX_COMPARED)).unwrap_or_default();
        if known.contains(&name) || self.more.contains(name) {
            return Err(ParseError::new(at, "a label is there twice"));
        }
        match self.first.get_mut(self.distinct) {
            Some(free) => *free = name,
            None => drop(self.more.insert(name)),
        }
        self.distinct += 1;
        Ok(())
    }
}
