//! Section `write_defaults`: the settings of the server that make new transactions read-only.

use serde::Serialize;
use tokio_postgres::Row;

use super::{Section, SectionSpec, Statement, column, first_row};
use crate::model::{failure::Failure, privilege::Privilege};

/// The values of `default_transaction_read_only` on the server, by place; `None` where a place does not set it.
///
/// The session of the probe is always read-only, by its own options and by the printed grants, and the options replace
/// the server's value in `pg_settings` and in `SHOW`. So the section reads the places that the value comes from.
/// Settings for single roles are left out: they include the one for the role of the probe.
#[derive(Debug, Clone, Serialize)]
pub struct WriteDefaults {
    /// The database of the session.
    pub database: String,
    /// `ALTER DATABASE .. SET`, for the database of the session.
    pub in_database: Option<bool>,
    /// `ALTER ROLE ALL SET`.
    pub for_all_roles: Option<bool>,
    /// The configuration files, which include the values of `ALTER SYSTEM`.
    pub in_files: Option<bool>,
}

/// The place that decides whether new transactions are read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSetting {
    /// The database.
    Database,
    /// All roles.
    AllRoles,
    /// The configuration files.
    Files,
    /// No place: the default of PostgreSQL, which is writable.
    Default,
}

impl WriteDefaults {
    /// Whether new transactions of a role without a setting of its own are read-only, and the place that decides it.
    #[must_use]
    pub fn read_only(&self) -> (bool, WriteSetting) {
        let places = [
            (self.in_database, WriteSetting::Database),
            (self.for_all_roles, WriteSetting::AllRoles),
            (self.in_files, WriteSetting::Files),
        ];
        let deciding = places.into_iter().find_map(|(value, place)| Some((value?, place)));
        deciding.unwrap_or((false, WriteSetting::Default))
    }
}

impl Section for WriteDefaults {
    const SPEC: SectionSpec = SectionSpec {
        name: "write_defaults",
        statements: &[Statement { since: 100_000, sql: SQL }],
        privilege: Some(Privilege {
            name: "EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings()",
            purpose: "see whether the configuration files make transactions read-only",
        }),
        every: None,
    };

    fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let row = first_row(rows)?;
        Ok(Self {
            database: column(row, "database")?,
            in_database: column(row, "in_database")?,
            for_all_roles: column(row, "for_all_roles")?,
            in_files: column(row, "in_files")?,
        })
    }
}

/// Without the privilege on the function, the server rejects the statement. The files are read at each execution, so a
/// value counts from the moment at which it is written. Of several lines in the files, the last one counts.
const SQL: &str = "
WITH own AS (
  SELECT s.setdatabase, pg_catalog.split_part(entry, '=', 2)::bool AS value
  FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) entry
  WHERE s.setrole = 0 AND pg_catalog.lower(pg_catalog.split_part(entry, '=', 1)) = 'default_transaction_read_only'
)
SELECT
  me.datname::text AS database,
  (SELECT own.value FROM own WHERE own.setdatabase = me.oid) AS in_database,
  (SELECT own.value FROM own WHERE own.setdatabase = 0) AS for_all_roles,
  (SELECT f.setting::bool FROM pg_catalog.pg_show_all_file_settings() f
    WHERE pg_catalog.lower(f.name) = 'default_transaction_read_only' AND f.applied
    ORDER BY f.seqno DESC LIMIT 1) AS in_files
FROM pg_catalog.pg_database me
WHERE me.datname = pg_catalog.current_database()";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_place_decides_about_a_role() {
        for (in_database, for_all_roles, in_files, expected) in [
            (None, None, None, (false, WriteSetting::Default)),
            (None, None, Some(true), (true, WriteSetting::Files)),
            (None, Some(false), Some(true), (false, WriteSetting::AllRoles)),
            (Some(true), Some(false), Some(false), (true, WriteSetting::Database)),
            (Some(false), None, Some(true), (false, WriteSetting::Database)),
        ] {
            let defaults = WriteDefaults { database: "orders".into(), in_database, for_all_roles, in_files };
            assert_eq!(defaults.read_only(), expected, "{defaults:?}");
        }
    }
}
