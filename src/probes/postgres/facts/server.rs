//! Section `server`: version, recovery state and the role of the session.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::Row;

use super::{Section, SectionSpec, Statement, column, first_row};
use crate::model::failure::Failure;

/// The server and the role of the session. The probe reads it at each login, because the version selects the
/// statements of the other sections, and whenever a run has no other section to read.
#[derive(Debug, Clone, Serialize)]
pub struct ServerFacts {
    /// The version in the server's own form: `15.20 (Debian 15.20-0+deb12u1)`.
    pub version: String,
    /// The version as a number: 150020.
    pub version_number: i32,
    /// Whether the server is a standby, or recovers from a crash or a backup.
    pub in_recovery: bool,
    /// The role that is logged in.
    pub role: Role,
    /// The settings of the session as the server applies them. They are no fact about the server.
    #[serde(skip)]
    pub session: SessionSettings,
}

/// The settings of the session that bound its statements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionSettings {
    /// `statement_timeout` in milliseconds; 0 is no limit.
    pub statement_timeout_ms: i64,
    /// `default_transaction_read_only`.
    pub read_only: bool,
}

/// A role and its attributes.
#[derive(Debug, Clone, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `CREATEROLE`.
    pub create_role: bool,
    /// `CREATEDB`.
    pub create_db: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// `BYPASSRLS`.
    pub bypass_rls: bool,
    /// The maximum number of its connections.
    pub connection_limit: Option<i64>,
}

impl Section for ServerFacts {
    const SPEC: SectionSpec = SectionSpec {
        name: "server",
        statements: &[Statement { since: 0, sql: SQL }],
        privilege: None,
        every: Some(Duration::from_secs(60)),
    };

    fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let row = first_row(rows)?;
        let limit: i64 = column(row, "connection_limit")?;
        Ok(Self {
            version: column(row, "version")?,
            version_number: column(row, "version_number")?,
            in_recovery: column(row, "in_recovery")?,
            role: Role {
                name: column(row, "role")?,
                superuser: column(row, "superuser")?,
                create_role: column(row, "create_role")?,
                create_db: column(row, "create_db")?,
                replication: column(row, "replication")?,
                bypass_rls: column(row, "bypass_rls")?,
                connection_limit: (limit >= 0).then_some(limit),
            },
            session: SessionSettings {
                statement_timeout_ms: column(row, "statement_timeout_ms")?,
                read_only: column(row, "read_only")?,
            },
        })
    }
}

const SQL: &str = "
SELECT
  pg_catalog.current_setting('server_version') AS version,
  pg_catalog.current_setting('server_version_num')::int4 AS version_number,
  pg_catalog.pg_is_in_recovery() AS in_recovery,
  me.rolname::text AS role,
  me.rolsuper AS superuser,
  me.rolcreaterole AS create_role,
  me.rolcreatedb AS create_db,
  me.rolreplication AS replication,
  me.rolbypassrls AS bypass_rls,
  me.rolconnlimit::int8 AS connection_limit,
  (1000 * pg_catalog.date_part('epoch', pg_catalog.current_setting('statement_timeout')::interval))::int8
    AS statement_timeout_ms,
  pg_catalog.current_setting('default_transaction_read_only')::bool AS read_only
FROM pg_catalog.pg_roles me WHERE me.rolname = current_user";
