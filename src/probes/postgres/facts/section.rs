//! The descriptor of a section: its statements by server version, its decoding, its privilege and its cadence.

use std::{any::Any, borrow::Cow, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio_postgres::{Error, Row};

use super::query::{ConfiguredQuery, QueryRows};
use crate::model::{failure::Failure, privilege::Privilege, words::Reason};

/// A group of facts that one statement brings.
pub trait Section: fmt::Debug + Serialize + Send + Sync + Sized + 'static {
    /// The section's statement and its requirements.
    const SPEC: SectionSpec;
    /// The request that a check returns from `requested_facts`.
    const REQUEST: PostgresRequest = PostgresRequest::Section(Self::ENTRY);
    /// The section without its type.
    const ENTRY: SectionEntry = SectionEntry::BuiltIn {
        spec: &Self::SPEC,
        decode: |rows| Ok(Arc::new(Self::decode(rows)?) as Arc<dyn SectionData>),
    };

    /// Decodes the result of the statement.
    ///
    /// # Errors
    /// `parse` for rows that do not match the statement, `permission` for values that the server hides from the role.
    fn decode(rows: &[Row]) -> Result<Self, Failure>;
}

/// The statement of a section and its requirements.
#[derive(Debug)]
pub struct SectionSpec {
    /// The key of the section in the output of `explain`.
    pub name: &'static str,
    /// The statements, oldest server version first; the newest that the server supports is executed. Every column must
    /// have a built-in type, because the session refuses all others.
    pub statements: &'static [Statement],
    /// The privilege that the statement needs beyond a login.
    pub privilege: Option<Privilege>,
    /// The shortest time between two executions. `None`: the statement is cheap and is executed in each run.
    pub every: Option<Duration>,
}

/// An SQL text for servers from a version on.
#[derive(Debug)]
pub struct Statement {
    /// The oldest server version that supports the text, in the form of `server_version_num`: 100000 is 10.
    pub since: i32,
    /// The text. Names are qualified, so that the search path of the role has no influence.
    pub sql: &'static str,
}

/// A requested section without its type.
#[derive(Debug, Clone)]
pub enum SectionEntry {
    /// A section of the program, which has its own file.
    BuiltIn {
        /// The section's statement and its requirements.
        spec: &'static SectionSpec,
        /// The decoding of the result.
        decode: Decode,
    },
    /// A query of the configuration.
    Query(Arc<ConfiguredQuery>),
}

/// Facts that a check can request from a `postgres` probe.
#[derive(Debug, Clone)]
pub enum PostgresRequest {
    /// A section.
    Section(SectionEntry),
    /// The certificates of the connection. Every run has them, but the request renews the connection more often.
    Certificates,
}

impl PostgresRequest {
    /// The requested section, if it is one.
    #[must_use]
    pub fn section(&self) -> Option<&SectionEntry> {
        match self {
            Self::Section(section) => Some(section),
            Self::Certificates => None,
        }
    }
}

/// The decoding of a section of any type.
pub(super) type Decode = fn(&[Row]) -> Result<Arc<dyn SectionData>, Failure>;

/// A decoded section of any type.
pub trait SectionData: Any + fmt::Debug + Send + Sync {
    /// The section as JSON, for `explain`.
    ///
    /// # Errors
    /// A value without a form in JSON.
    fn to_json(&self) -> serde_json::Result<serde_json::Value>;
}

impl<T: Any + fmt::Debug + Serialize + Send + Sync> SectionData for T {
    fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self)
    }
}

impl SectionEntry {
    /// The name of the section.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::BuiltIn { spec, .. } => spec.name.into(),
            Self::Query(query) => query.name().to_owned().into(),
        }
    }

    /// The shortest time between two executions; `None` for a statement that is executed in each run.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        match self {
            Self::BuiltIn { spec, .. } => spec.every,
            Self::Query(query) => query.every,
        }
    }

    /// The privilege that the statement needs beyond a login, if `grants` can grant it.
    #[must_use]
    pub fn privilege(&self) -> Option<Privilege> {
        match self {
            Self::BuiltIn { spec, .. } => spec.privilege,
            Self::Query(_) => None,
        }
    }

    /// The SQL text for a server version.
    ///
    /// # Errors
    /// `query`: the server is older than the section supports.
    pub fn sql(&self, version: i32) -> Result<&str, Failure> {
        match self {
            Self::BuiltIn { spec, .. } => spec.sql(version),
            Self::Query(query) => Ok(query.statement()),
        }
    }

    /// Decodes the result of the statement.
    pub(in crate::probes::postgres) fn decode(&self, rows: &[Row]) -> Result<Arc<dyn SectionData>, Failure> {
        match self {
            Self::BuiltIn { decode, .. } => decode(rows),
            Self::Query(_) => Ok(Arc::new(QueryRows::decode(rows)?)),
        }
    }
}

impl SectionSpec {
    /// The SQL text for a server version.
    ///
    /// # Errors
    /// `query`: the server is older than the section supports.
    pub fn sql(&self, version: i32) -> Result<&'static str, Failure> {
        let supported = self.statements.iter().rev().find(|statement| statement.since <= version);
        supported.map(|statement| statement.sql).ok_or_else(|| {
            let oldest = self.statements.first().map_or(0, |statement| statement.since);
            let (name, needed, found) = (self.name, major_version(oldest), major_version(version));
            let text = format!("`{name}` needs PostgreSQL {needed} or newer, and the server has version {found}");
            Failure::new(Reason::Query, text)
        })
    }
}

/// The major version in `server_version_num`.
fn major_version(version: i32) -> i32 {
    version / 10_000
}

/// The row of a section whose statement returns one.
///
/// # Errors
/// `parse`: the server returned no row.
pub(in crate::probes::postgres) fn first_row(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first().ok_or_else(|| Failure::new(Reason::Parse, "the server returned no row"))
}

/// A column of a section's row.
pub(in crate::probes::postgres) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    name: &str,
) -> Result<T, Failure> {
    row.try_get(name).map_err(|error: Error| Failure::from_error(Reason::Parse, "the result", &error))
}

/// A list that a statement writes as JSON text.
///
/// # Errors
/// `parse`: an empty list instead would make a check pass.
pub(in crate::probes::postgres) fn json_list<T: for<'de> Deserialize<'de>>(
    row: &Row,
    name: &str,
) -> Result<Vec<T>, Failure> {
    serde_json::from_str(column(row, name)?)
        .map_err(|error| Failure::from_error(Reason::Parse, &format!("the column `{name}` of the result"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_version_selects_the_statement() {
        const SPEC: SectionSpec = SectionSpec {
            name: "wal",
            statements: &[Statement { since: 100_000, sql: "ten" }, Statement { since: 140_000, sql: "fourteen" }],
            privilege: None,
            every: None,
        };
        assert_eq!(SPEC.sql(130_012).unwrap(), "ten");
        assert_eq!(SPEC.sql(140_000).unwrap(), "fourteen");
        assert_eq!(SPEC.sql(190_001).unwrap(), "fourteen");
        let failure = SPEC.sql(90_624).unwrap_err();
        assert_eq!(
            (failure.reason, &*failure.detail),
            (Reason::Query, "`wal` needs PostgreSQL 10 or newer, and the server has version 9")
        );
    }
}
