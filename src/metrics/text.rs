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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static COUNTER: Family =
        Family { name: "a_total", kind: Type::Counter, help: "Back\\slash.", labels: &["x"], lasting: false };
    static GAUGE: Family = Family { name: "b", kind: Type::Gauge, help: "Help.", labels: &[], lasting: false };

    #[test]
    fn a_family_longer_than_a_chunk_has_one_header_and_an_empty_one_none() {
        let mut text = Text::default();
        text.family(&GAUGE, &[]);
        text.family(&COUNTER, &[]);
        let labels: Vec<String> = (0..3 * CHUNK + 5).map(|n| n.to_string()).collect();
        labels.iter().enumerate().for_each(|(n, label)| text.sample(&[label], n as f64));
        text.family(&GAUGE, &["y"]);
        text.sample(&["z"], f64::NAN);
        let mut expected = "# HELP a_total Back\\\\slash.\n# TYPE a_total counter\n".to_owned();
        expected.extend(labels.iter().map(|n| format!("a_total{{x=\"{n}\"}} {n}\n")));
        expected.push_str("# HELP b Help.\n# TYPE b gauge\nb{y=\"z\"} NaN\n");
        assert_eq!(text.finish(), expected);
    }

    /// Label values of a line, read as the format's description says.
    fn read(line: &str) -> Vec<String> {
        let mut values = Vec::new();
        let mut letters = line.chars();
        while letters.by_ref().any(|letter| letter == '"') {
            let mut value = String::new();
            while let Some(letter) = letters.next() {
                match letter {
                    '"' => break,
                    '\\' => value.push(match letters.next() {
                        Some('n') => '\n',
                        Some(letter) => letter,
                        None => '\\',
                    }),
                    letter => value.push(letter),
                }
            }
            values.push(value);
        }
        values
    }

    proptest! {
        #[test]
        fn any_label_value_comes_back_out_of_both_formats(one in any::<String>(), two in "[\"\\\\\n{}=,a]{0,12}") {
            let mut text = Text::default();
            let mut open = crate::metrics::openmetrics::OpenMetrics::default();
            for sink in [&mut text as &mut dyn Sink, &mut open] {
                sink.family(&COUNTER, &["y"]);
                sink.sample(&[&one, &two], 1.5);
            }
            for page in [text.finish(), open.finish()] {
                let lines: Vec<_> = page.split_terminator('\n').filter(|line| !line.starts_with('#')).collect();
                prop_assert_eq!(lines.len(), 1, "{}", page);
                prop_assert_eq!(read(lines[0]), vec![one.clone(), two.clone()]);
                prop_assert!(page.ends_with(" 1.5\n"));
            }
        }
    }
}
