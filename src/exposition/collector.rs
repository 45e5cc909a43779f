//! The board as a collector of the `prometheus` crate. The crate's encoder defines the text format, and a program that
//! embeds this library can register the collector.

use std::sync::Arc;

use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{families, sink::SampleSink};
use crate::{
    board::{Board, Snapshot},
    model::metric::{self, Family, Type},
};

/// Every family of the board, for a `prometheus::Registry`. It allocates a string for each label of each sample: see
/// [`super`] for the cost. The daemon's metrics about itself are not among them, because they are metrics of their own.
pub struct BoardCollector {
    snapshot: Box<dyn Fn() -> Snapshot + Send + Sync>,
    descriptions: Vec<Desc>,
}

impl BoardCollector {
    /// A collector of a board, which takes a snapshot each time it is asked.
    #[must_use]
    pub fn new(board: Arc<Board>) -> Self {
        Self::with(move || board.snapshot())
    }

    /// A collector of whatever snapshot the function returns.
    pub(super) fn with(snapshot: impl Fn() -> Snapshot + Send + Sync + 'static) -> Self {
        let describe = |family: &&Family| {
            let names = family.labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(family.name.to_owned(), family.help.to_owned(), names, Default::default()).ok()
        };
        let families = metric::ALL.iter().filter(|family| !families::is_daemon_family(family));
        Self { snapshot: Box::new(snapshot), descriptions: families.filter_map(describe).collect() }
    }
}

impl Collector for BoardCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut sink = ProtoSink::default();
        families::write_families(&(self.snapshot)(), &[], &mut sink);
        sink.finish()
    }
}

/// Builds the crate's metric families.
#[derive(Default)]
pub(super) struct ProtoSink {
    families: Vec<MetricFamily>,
    kind: Option<Type>,
    names: Vec<String>,
}

impl ProtoSink {
    pub(super) fn finish(mut self) -> Vec<MetricFamily> {
        // The encoder rejects a family without samples.
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
