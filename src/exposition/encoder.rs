//! Encodes families as lines in both formats: the hot path of a scrape.
//!
//! The text format is byte for byte the output of the `prometheus` crate's encoder for [`super::BoardCollector`], which
//! a test verifies. The crate needs a tree of owned strings and three times the time.
//!
//! OpenMetrics 1.0.0, which the crate doesn't support, differs: counter families have no `_total`, info families no
//! `_info`, the unit is metadata, and infinity is `+Inf`. The final `# EOF` is not written here, because it follows all
//! parts of the page.

use std::fmt::Write;

use super::{ExpositionFormat, page_buffer::PageBuffer, sink::SampleSink};
use crate::model::metric::{Family, Type};

/// Writes lines in one format; see the module documentation.
pub(super) struct LineEncoder {
    format: ExpositionFormat,
    buffer: PageBuffer,
    /// Header of the family, written with its first sample.
    header: String,
    /// Text before each label value, beginning with the family name.
    before: Vec<String>,
    /// Text before the value.
    after: &'static str,
}

/// Units that may end a family name.
const UNITS: [&str; 4] = ["seconds", "bytes", "ratio", "connections"];

impl LineEncoder {
    pub(super) fn new(format: ExpositionFormat, buffer: PageBuffer) -> Self {
        Self { format, buffer, header: String::new(), before: Vec::new(), after: " " }
    }

    pub(super) fn finish(self) -> PageBuffer {
        self.buffer
    }
}

impl SampleSink for LineEncoder {
    fn family(&mut self, family: &Family, more: &[&str]) {
        self.header.clear();
        match self.format {
            ExpositionFormat::Text => text_header(family, &mut self.header),
            ExpositionFormat::OpenMetrics => open_metrics_header(family, &mut self.header),
        }
        self.before.clear();
        let mut before = format!("{}{{", family.name);
        for name in family.labels.iter().chain(more) {
            before.push_str(name);
            before.push_str("=\"");
            self.before.push(before);
            before = "\",".to_owned();
        }
        self.after = "\"} ";
        if self.before.is_empty() {
            self.before.push(family.name.to_owned());
            self.after = " ";
        }
    }

    fn sample(&mut self, labels: &[&str], value: f64) {
        let page = self.buffer.text_mut();
        page.push_str(&self.header);
        self.header.clear();
        // A family without labels still needs its name.
        let labels = if labels.is_empty() { &[""] } else { labels };
        for (before, label) in self.before.iter().zip(labels) {
            page.push_str(before);
            write_escaped(label, true, page);
        }
        page.push_str(self.after);
        write_number(self.format, value, page);
        page.push('\n');
        self.buffer.end_line();
    }
}

fn text_header(family: &Family, header: &mut String) {
    let name = family.name;
    let _ = write!(header, "# HELP {name} ");
    write_escaped(family.help, false, header);
    let kind = match family.kind {
        Type::Gauge => "gauge",
        Type::Counter => "counter",
    };
    let _ = writeln!(header, "\n# TYPE {name} {kind}");
}

fn open_metrics_header(family: &Family, header: &mut String) {
    let (name, kind) = match (family.kind, family.name.strip_suffix("_info")) {
        (Type::Gauge, Some(name)) => (name, "info"),
        (Type::Gauge, None) => (family.name, "gauge"),
        (Type::Counter, _) => (family.name.strip_suffix("_total").unwrap_or(family.name), "counter"),
    };
    let _ = writeln!(header, "# TYPE {name} {kind}");
    let unit = UNITS.iter().find(|unit| name.strip_suffix(*unit).is_some_and(|stem| stem.ends_with('_')));
    if let Some(unit) = unit {
        let _ = writeln!(header, "# UNIT {name} {unit}");
    }
    let _ = write!(header, "# HELP {name} ");
    write_escaped(family.help, true, header);
    header.push('\n');
}

fn write_escaped(text: &str, quotes: bool, page: &mut String) {
    let quote = if quotes { b'"' } else { b'\n' };
    let mut rest = text;
    // Most labels are short, so a loop is faster than a prepared search.
    while let Some(at) = rest.bytes().position(|byte| byte == b'\\' || byte == b'\n' || byte == quote) {
        let (plain, from) = rest.split_at(at);
        page.push_str(plain);
        let mut special = from.chars();
        page.push_str(match special.next() {
            Some('\\') => "\\\\",
            Some('"') => "\\\"",
            _ => "\\n",
        });
        rest = special.as_str();
    }
    page.push_str(rest);
}

fn write_number(format: ExpositionFormat, value: f64, page: &mut String) {
    // Most values are small integers, and formatting those as integers is many times faster. Negative zero keeps its
    // sign.
    let whole = value as i32;
    if f64::from(whole).to_bits() == value.to_bits() {
        page.push_str(itoa::Buffer::new().format(whole));
    } else if value.is_infinite() && format == ExpositionFormat::OpenMetrics {
        page.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let _ = write!(page, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::collector::ProtoSink;

    static COUNTER: Family = Family {
        name: "a_total",
        kind: Type::Counter,
        help: "Back\\slash, \"quotes\".",
        labels: &["x"],
        retained: false,
    };
    static GAUGE: Family = Family { name: "b_ratio", kind: Type::Gauge, help: "Help.", labels: &[], retained: false };

    fn page(format: ExpositionFormat, write: impl Fn(&mut dyn SampleSink)) -> String {
        let mut lines = LineEncoder::new(format, PageBuffer::plain());
        write(&mut lines);
        lines.finish().into_text()
    }

    fn by_the_crate(write: impl Fn(&mut dyn SampleSink)) -> String {
        let mut tree = ProtoSink::default();
        write(&mut tree);
        TextEncoder::new().encode_to_string(&tree.finish()).unwrap()
    }

    #[test]
    fn a_family_has_one_header_and_an_empty_one_none() {
        let write = |sink: &mut dyn SampleSink| {
            sink.family(&GAUGE, &[]);
            sink.family(&COUNTER, &[]);
            sink.sample(&["y"], 1.0);
            sink.sample(&["z"], 2.5);
            sink.family(&GAUGE, &[]);
            sink.sample(&[], f64::INFINITY);
        };
        let text = "# HELP a_total Back\\\\slash, \"quotes\".\n# TYPE a_total counter\na_total{x=\"y\"} 1\na_total{x=\"z\"} 2.5\n\
                    # HELP b_ratio Help.\n# TYPE b_ratio gauge\nb_ratio inf\n";
        assert_eq!(page(ExpositionFormat::Text, write), text);
        assert_eq!(by_the_crate(write), text);
        let open = "# TYPE a counter\n# HELP a Back\\\\slash, \\\"quotes\\\".\na_total{x=\"y\"} 1\na_total{x=\"z\"} 2.5\n\
                    # TYPE b_ratio gauge\n# UNIT b_ratio ratio\n# HELP b_ratio Help.\nb_ratio +Inf\n";
        assert_eq!(page(ExpositionFormat::OpenMetrics, write), open);
    }

    /// Parses the label values of a line as specified by the format.
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
            for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics] {
                let page = page(format, |sink| {
                    sink.family(&COUNTER, &["y"]);
                    sink.sample(&[&one, &two], 1.5);
                });
                let lines: Vec<_> = page.split_terminator('\n').filter(|line| !line.starts_with('#')).collect();
                prop_assert_eq!(lines.len(), 1, "{}", page);
                prop_assert_eq!(read(lines[0]), vec![one.clone(), two.clone()]);
                prop_assert!(page.ends_with(" 1.5\n"));
            }
        }

        #[test]
        fn the_text_is_what_the_prometheus_crate_writes(
            label in any::<String>(),
            value in prop_oneof![any::<f64>(), any::<i32>().prop_map(f64::from), Just(-0.0), Just(f64::NAN)],
        ) {
            let write = |sink: &mut dyn SampleSink| {
                sink.family(&COUNTER, &["y"]);
                sink.sample(&["", &label], value);
                sink.family(&GAUGE, &[]);
                sink.sample(&[], value);
            };
            prop_assert_eq!(page(ExpositionFormat::Text, write), by_the_crate(write));
        }
    }
}
