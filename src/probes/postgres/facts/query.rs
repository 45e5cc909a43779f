//! A query of the configuration and its rows.
//!
//! The server converts each row to JSON, so that columns of every type can be read: numbers of any precision, times,
//! arrays, and types that extensions and users define.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::Row;

use super::column;
use crate::model::{failure::Failure, words::Reason};

/// Maximum number of rows that are read. A query with more rows is judged on the number of rows only.
pub const MAX_ROWS: usize = 1_000;
/// Maximum number of rows in the output of `explain`.
const MAX_SHOWN_ROWS: usize = 20;

/// A query of the configuration, which is executed as a section.
#[derive(Debug)]
pub struct ConfiguredQuery {
    name: String,
    statement: String,
    /// The shortest time between two executions; `None` executes the query in each run.
    pub(super) every: Option<Duration>,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryRows {
    /// The number of rows, at most one more than [`MAX_ROWS`].
    pub count: usize,
    /// The rows, each with its columns in the order of the query.
    #[serde(serialize_with = "first_rows")]
    pub rows: Vec<Map<String, Value>>,
}

impl ConfiguredQuery {
    /// Creates a query. The SQL text becomes a subquery, so that it can only read.
    #[must_use]
    pub fn new(sql: &str, every: Option<Duration>) -> Self {
        let sql = trimmed_statement(sql);
        Self {
            name: Self::section_name(sql),
            // The line break ends a comment at the end of the text.
            statement: format!(
                "SELECT pg_catalog.row_to_json(readiness_row)::text AS row FROM (\n{sql}\n) AS readiness_row LIMIT {}",
                MAX_ROWS + 1
            ),
            every,
        }
    }

    /// The name of the section with the rows of an SQL text.
    #[must_use]
    pub fn section_name(sql: &str) -> String {
        format!("query: {}", trimmed_statement(sql))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn statement(&self) -> &str {
        &self.statement
    }
}

/// An SQL text without surrounding space and without its final semicolon.
fn trimmed_statement(sql: &str) -> &str {
    sql.trim_matches(|c: char| c.is_whitespace() || c == ';')
}

impl QueryRows {
    pub(super) fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let texts = rows.iter().map(|row| column::<&str>(row, "row"));
        Self::from_json(texts)
    }

    fn from_json<'a>(texts: impl Iterator<Item = Result<&'a str, Failure>>) -> Result<Self, Failure> {
        let mut read = Self { count: 0, rows: Vec::new() };
        for text in texts {
            read.count += 1;
            let row = serde_json::from_str(text?)
                .map_err(|error| Failure::from_error(Reason::Parse, "a row of the result", &error))?;
            if read.rows.len() < MAX_ROWS {
                read.rows.push(row);
            }
        }
        Ok(read)
    }

    /// Whether rows are missing, because the query has more than [`MAX_ROWS`].
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.count > self.rows.len()
    }
}

fn first_rows<S: serde::Serializer>(rows: &[Map<String, Value>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(rows.iter().take(MAX_SHOWN_ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_becomes_a_subquery() {
        let query = ConfiguredQuery::new(" select 1 -- one ;\n;", None);
        assert_eq!(query.name(), "query: select 1 -- one");
        assert_eq!(
            query.statement(),
            "SELECT pg_catalog.row_to_json(readiness_row)::text AS row FROM (\nselect 1 -- one\n) AS readiness_row \
             LIMIT 1001"
        );
        assert_eq!(ConfiguredQuery::section_name("select 1 -- one"), query.name());
    }

    #[test]
    fn rows_beyond_the_maximum_are_counted() {
        let rows = |count| QueryRows::from_json((0..count).map(|_| Ok(r#"{"b": 1.50, "a": null}"#))).unwrap();
        assert!(!rows(MAX_ROWS).is_cut());
        let cut = rows(MAX_ROWS + 1);
        assert!(cut.is_cut() && cut.rows.len() == MAX_ROWS);
        let shown = serde_json::to_value(&cut).unwrap();
        assert_eq!(shown["rows"].as_array().unwrap().len(), MAX_SHOWN_ROWS);
        assert_eq!(cut.rows[0].keys().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(QueryRows::from_json(std::iter::once(Ok("[]"))).unwrap_err().reason, Reason::Parse);
    }
}
