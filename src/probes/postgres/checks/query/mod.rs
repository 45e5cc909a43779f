#![doc = include_str!("query.md")]

mod settings;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use self::settings::{PostgresQuery, RowLimits};
use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        measure::{Bound, Measure, MeasureInfo},
        observation::{Observation, Timing},
        text::{bounded_name, excerpt},
        units::Unit,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{
        PostgresFacts, PostgresRequest, SectionEntry,
        query::{ConfiguredQuery, MAX_ROWS, QueryRows},
    },
};

/// Maximum number of characters of a quoted value or row.
const MAX_SHOWN_CHARS: usize = 60;

impl CheckKind<PostgresFacts> for PostgresQuery {
    const NAME: &'static str = "query";
    const CATEGORY: Category = Category::Performance;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("value", Unit::Number, "The value of the query, in the unit of the setting `unit`."),
        MeasureInfo::new("rows", Unit::Number, "With `rows`: the number of rows."),
    ];
    const DOC: &'static str = include_str!("query.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        self.validate_settings()
    }
}

impl Check<PostgresFacts> for PostgresQuery {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        let name = ConfiguredQuery::section_name(&self.sql);
        PostgresFacts::judge_named(seen, &name, |rows: &QueryRows| self.verdict(rows))
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        let every = self.every.map(|every| every.0);
        vec![PostgresRequest::Section(SectionEntry::Query(Arc::new(ConfiguredQuery::new(&self.sql, every))))]
    }

    fn limits(&self) -> Vec<Measure> {
        match &self.rows {
            Some(rows) => rows.range().measures("rows", f64::NAN),
            None => self.value_measures(f64::NAN),
        }
    }
}

impl PostgresQuery {
    fn verdict(&self, rows: &QueryRows) -> Verdict {
        if let Some(limits) = &self.rows {
            return count_verdict(limits, rows);
        }
        if rows.is_cut() {
            let text = format!("the query returned more than {MAX_ROWS} rows: aggregate them, or judge them by `rows`");
            return Verdict::new(Outcome::Unknown(Reason::TooLarge), text);
        }
        match &self.row_name {
            Some(column) => self.judge_each(column, rows),
            None => self.judge_one(rows),
        }
    }

    /// Judges the value of the only row.
    fn judge_one(&self, rows: &QueryRows) -> Verdict {
        match &*rows.rows {
            [] => self.empty_verdict("the query returned no row"),
            [row] => self.judge_row(row, None),
            several => Verdict::new(
                Outcome::Unknown(Reason::Query),
                format!(
                    "the query returned {} rows, and one is expected: aggregate them, or set `row_name` or `rows`",
                    several.len()
                ),
            ),
        }
    }

    /// Judges each row by itself; the worst one determines the verdict.
    fn judge_each(&self, column: &str, rows: &QueryRows) -> Verdict {
        let mut verdicts = Vec::with_capacity(rows.rows.len());
        let mut found = Vec::with_capacity(rows.rows.len());
        for row in &rows.rows {
            let name = match row.get(column) {
                Some(Value::String(name)) => bounded_name(&**name),
                Some(Value::Null) => "NULL".to_owned(),
                Some(other) => other.to_string(),
                None => return missing_column(column, row),
            };
            verdicts.push(self.judge_row(row, Some(&name)));
            found.push(name);
        }
        let missing = self.required_rows.iter().filter(|required| !found.contains(required));
        verdicts.extend(missing.map(|name| self.empty_verdict(&format!("the query returned no row for {name}"))));
        let count = verdicts.len();
        let measures: Vec<_> = verdicts.iter().flat_map(|verdict| verdict.measures.clone()).collect();
        match Verdict::worst(verdicts) {
            Some(worst) if count > 1 => {
                Verdict { measures, summary: format!("{} ({count} rows)", worst.summary), ..worst }
            }
            Some(worst) => worst,
            None => self.empty_verdict("the query returned no row"),
        }
    }

    fn judge_row(&self, row: &Map<String, Value>, name: Option<&str>) -> Verdict {
        let value = match &self.value {
            Some(column) => match row.get(column) {
                Some(value) => value,
                None => return missing_column(column, row),
            },
            None => {
                let mut values = row.iter().filter(|(column, _)| Some(*column) != self.row_name.as_ref());
                match (values.next(), values.next()) {
                    (Some((_, value)), None) => value,
                    _ => {
                        let text =
                            format!("the query has the columns {}: name the judged one with `value`", columns(row));
                        return Verdict::new(Outcome::Unknown(Reason::Query), text);
                    }
                }
            }
        };
        let of_row = name.map(|name| format!(" of {name}")).unwrap_or_default();
        if value.is_null() {
            return self.empty_verdict(&format!("the value{of_row} is NULL"));
        }
        if let Some(expected) = &self.expect {
            return match value == expected {
                true => Verdict::new(Outcome::Pass, format!("the value{of_row} is {}, as expected", quoted(value))),
                false => Verdict::new(
                    Outcome::Fail(Reason::Body),
                    format!("the value{of_row} is {}, expected {}", quoted(value), quoted(expected)),
                ),
            };
        }
        let number = match value {
            Value::Number(number) => number.as_f64(),
            // JSON has no form for these numbers, so the server writes them as texts.
            Value::String(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => text.parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            let text = format!(
                "the value{of_row} is {}, which is not a number: convert it in the query (`extract(epoch from ..)`, \
                 `count(*)`, `::numeric`), or compare it with `expect`",
                quoted(value)
            );
            return Verdict::new(Outcome::Unknown(Reason::Parse), text);
        };
        let measures = self.value_measures(number).into_iter();
        Verdict::from_measures(match name {
            Some(name) => measures.map(|measure| measure.with_subject(name)).collect(),
            None => measures.collect(),
        })
    }

    fn value_measures(&self, number: f64) -> Vec<Measure> {
        if self.expect.is_some() {
            return Vec::new();
        }
        let unit = self.unit();
        let mut measures = self.range().measures_as("value", number, unit);
        measures.extend(self.equals.map(|limit| Measure {
            name: "value",
            subject: None,
            value: number,
            unit,
            bound: Bound::Equals,
            warn: None,
            fail: Some(limit.value()),
        }));
        measures
    }
}

/// Judges the number of rows, and quotes the first of too many.
fn count_verdict(limits: &RowLimits, rows: &QueryRows) -> Verdict {
    let measures = limits.range().measures("rows", rows.count as f64);
    let mut verdict = Verdict::from_measures(measures);
    if rows.is_cut() {
        verdict.summary.push_str(" (at least)");
    }
    if let (true, Some(first)) = (verdict.outcome != Outcome::Pass, rows.rows.first()) {
        verdict.summary.push_str(&format!("; the first row: {}", row_text(first)));
    }
    verdict
}

fn missing_column(column: &str, row: &Map<String, Value>) -> Verdict {
    let text = format!("the query has no column `{column}`; its columns are {}", columns(row));
    Verdict::new(Outcome::Unknown(Reason::Query), text)
}

fn columns(row: &Map<String, Value>) -> String {
    let names: Vec<_> = row.keys().take(10).map(|name| bounded_name(&**name)).collect();
    names.join(", ")
}

fn row_text(row: &Map<String, Value>) -> String {
    let values: Vec<_> =
        row.iter().take(10).map(|(column, value)| format!("{}={}", bounded_name(&**column), quoted(value))).collect();
    values.join(", ")
}

fn quoted(value: &Value) -> String {
    excerpt(&value.to_string(), MAX_SHOWN_CHARS)
}

#[cfg(test)]
mod tests;
