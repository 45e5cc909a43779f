//! The receiver of samples: an encoder of a page, or the metric families of the `prometheus` crate.

use crate::model::metric::Family;

/// Receives families and their samples.
pub(super) trait SampleSink {
    /// Starts a family. `more` are label names in addition to the family's own. A family without samples is omitted.
    fn family(&mut self, family: &Family, more: &[&str]);
    /// Adds a sample with a value for each label name.
    fn sample(&mut self, labels: &[&str], value: f64);
}
