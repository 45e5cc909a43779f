//! The board as a collector of the `prometheus` crate: what defines the text page, and how a program that embeds this
//! library puts the verdicts into a registry of its own.

use std::sync::Arc;

use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::families::{self, SampleSink};
use crate::{
    board::Board,
    model::metric::{Family, Type},
};

/// Every family of the board, for a `prometheus::Registry`. It collects all of them at once as owned strings: for the
/// daemon's own pages that would be too dear.
#[derive(Debug)]
pub struct BoardCollector {
    board: Arc<Board>,
    descriptions: Vec<Desc>,
}

impl BoardCollector {
    /// Those of a board.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        let names = |family: &Family| family.labels.iter().map(|label| (*label).to_owned()).collect();
        let describe = |family: &&&Family| {
            Desc::new(family.name.to_owned(), family.help.to_owned(), names(family), Default::default()).ok()
        };
        Self { board, descriptions: crate::model::metric::ALL.iter().filter_map(|family| describe(&family)).collect() }
    }
}

impl Collector for BoardCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut tree = ProtoSink::default();
        families::write_families(&self.board.snapshot(), Some(0.0), &mut tree);
        tree.finish()
    }
}

/// Families as the crate wants them.
#[derive(Default)]
pub(super) struct ProtoSink {
    families: Vec<MetricFamily>,
    kind: Option<Type>,
    names: Vec<String>,
}

impl ProtoSink {
    pub(super) fn finish(mut self) -> Vec<MetricFamily> {
        // The encoder refuses a family without samples, and a header without samples says nothing.
        self.families.retain(|family| !family.get_metric().is_empty());
        self.families
    }
}

impl SampleSink for ProtoSink {
    fn family(&mut self, family: &Family, more: &[&str]) {
        self.kind = Some(family.kind);
        self.names.clear();
        self.names.extend(family.labels.iter().chain(more).map(|name| (*name).to_owned()));
        let mut tree = MetricFamily::default();
        tree.set_name(family.name.to_owned());
        tree.set_help(family.help.to_owned());
        tree.set_field_type(match family.kind {
            Type::Gauge => MetricType::GAUGE,
            Type::Counter => MetricType::COUNTER,
        });
        self.families.push(tree);
    }

    fn sample(&mut self, labels: &[&str], value: f64) {
        let pair = |(name, label): (&String, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value((*label).to_owned());
            pair
        };
        let mut metric = Metric::from_label(self.names.iter().zip(labels).map(pair).collect());
        if self.kind == Some(Type::Counter) {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        if let Some(family) = self.families.last_mut() {
            family.mut_metric().push(metric);
        }
    }
}
