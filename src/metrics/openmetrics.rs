//! OpenMetrics 1.0.0, which the `prometheus` crate doesn't write.
//!
//! Against the text format: a counter's family has no `_total`, an info family no `_info`, the unit is metadata, and
//! numbers are spelt `+Inf`, `-Inf` and `NaN`. The `# EOF` at the end is not written here: it comes after all parts.

use std::fmt::Write;

use super::series::Sink;
use crate::family::{Family, Type};

#[derive(Default)]
pub(super) struct OpenMetrics {
    page: String,
    name: &'static str,
    /// Family header and label names, written with the first sample.
    header: String,
    names: Vec<String>,
}

/// Units that names may end with.
const UNITS: [&str; 4] = ["seconds", "bytes", "ratio", "connections"];

impl Sink for OpenMetrics {
    fn family(&mut self, family: &Family, more: &[&str]) {
        self.name = family.name;
        self.names.clear();
        self.names.extend(family.labels.iter().chain(more).map(|name| (*name).to_owned()));
        let (name, kind) = match (family.kind, family.name.strip_suffix("_info")) {
            (Type::Gauge, Some(name)) => (name, "info"),
            (Type::Gauge, None) => (family.name, "gauge"),
            (Type::Counter, _) => (family.name.strip_suffix("_total").unwrap_or(family.name), "counter"),
        };
        self.header.clear();
        let header = &mut self.header;
        // Writing to a string can't fail.
        let _ = writeln!(header, "# TYPE {name} {kind}");
        let unit = UNITS.iter().find(|unit| name.strip_suffix(*unit).is_some_and(|stem| stem.ends_with('_')));
        if let Some(unit) = unit {
            let _ = writeln!(header, "# UNIT {name} {unit}");
        }
        let _ = write!(header, "# HELP {name} ");
        escape(family.help, header);
        header.push('\n');
    }

    fn sample(&mut self, labels: &[&str], value: f64) {
        self.page.push_str(&self.header);
        self.header.clear();
        self.page.push_str(self.name);
        let mut before = '{';
        for (name, label) in self.names.iter().zip(labels) {
            self.page.push(before);
            self.page.push_str(name);
            self.page.push_str("=\"");
            escape(label, &mut self.page);
            self.page.push('"');
            before = ',';
        }
        if before == ',' {
            self.page.push('}');
        }
        self.page.push(' ');
        number(value, &mut self.page);
        self.page.push('\n');
    }
}

impl OpenMetrics {
    pub(super) fn finish(self) -> String {
        self.page
    }
}

fn escape(text: &str, page: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
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

fn number(value: f64, page: &mut String) {
    // Most values are small whole numbers, and those are written three times faster as such.
    let whole = value as i32;
    let _ = match value {
        v if f64::from(whole) == v => write!(page, "{whole}"),
        v if v.is_infinite() => write!(page, "{}Inf", if v > 0.0 { '+' } else { '-' }),
        v => write!(page, "{v}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelt_as_the_format_wants_them() {
        for (value, spelt) in [
            (1.0, "1"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (1_763_712_000.5, "1763712000.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut page = String::new();
            number(value, &mut page);
            assert_eq!(page, spelt);
        }
    }
}
