//! Text format 0.0.4, through the encoder of the `prometheus` crate.
//!
//! The crate wants a tree of owned strings for a whole family. It is given a few samples at a time in a tree that is
//! used again and again: for ten thousand probes the tree of one family would be tens of megabytes.

use prometheus::{
    TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::series::Sink;
use crate::{
    check::Status,
    family::{Family, Type},
    probe::Reason,
};

/// So many samples are handed to the encoder at once: whole rounds of every reason and every status, so that most
/// labels of a sample are those that its place in the tree had before.
const CHUNK: usize = 2 * Status::ALL.len() * Reason::ALL.len();

#[derive(Default)]
pub(super) struct Text {
    page: String,
    family: MetricFamily,
    kind: Option<Type>,
    names: Vec<String>,
    /// Samples of the tree that are filled; those after it are old ones, to be used again.
    filled: usize,
    /// Bytes of `# HELP` and `# TYPE` of this family, once they are on the page.
    header: Option<usize>,
}

impl Sink for Text {
    fn family(&mut self, family: &Family, more: &[&str]) {
        self.flush();
        self.kind = Some(family.kind);
        self.header = None;
        self.names.clear();
        self.names.extend(family.labels.iter().chain(more).map(|name| (*name).to_owned()));
        self.family.mut_metric().clear();
        self.family.set_name(family.name.to_owned());
        self.family.set_help(family.help.to_owned());
        self.family.set_field_type(match family.kind {
            Type::Gauge => MetricType::GAUGE,
            Type::Counter => MetricType::COUNTER,
        });
    }

    fn sample(&mut self, labels: &[&str], value: f64) {
        if self.filled == self.family.get_metric().len() {
            self.family.mut_metric().push(blank(&self.names));
        }
        let Some(metric) = self.family.mut_metric().get_mut(self.filled) else { return };
        for (pair, label) in metric.mut_label().iter_mut().zip(labels).filter(|(pair, label)| pair.value() != **label) {
            pair.set_value((*label).to_owned());
        }
        match self.kind {
            Some(Type::Counter) => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            _ => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.filled += 1;
        if self.filled == CHUNK {
            self.flush();
        }
    }
}

impl Text {
    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.page
    }

    fn flush(&mut self) {
        if self.filled == 0 {
            // The encoder refuses a family without samples, and a header without samples says nothing.
            return;
        }
        self.family.mut_metric().truncate(self.filled);
        self.filled = 0;
        let start = self.page.len();
        let encoded = TextEncoder::new().encode_utf8(std::slice::from_ref(&self.family), &mut self.page);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        match self.header {
            // The encoder begins each call with the header; it belongs on the page once.
            Some(header) => drop(self.page.drain(start..start + header)),
            None => self.header = self.page.get(start..).map(header_length),
        }
    }
}

fn blank(names: &[String]) -> Metric {
    let pair = |name: &String| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair
    };
    Metric::from_label(names.iter().map(pair).collect())
}

/// Two lines: help never is empty, and line ends in it are escaped.
fn header_length(encoded: &str) -> usize {
    encoded.split_inclusive('\n').take(2).map(str::len).sum()
}
