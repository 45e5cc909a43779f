//! Section `connections`: connections of clients, and the limits on them.

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::{Section, SectionSpec, Statement, column, first_row, json_list};
use crate::model::{failure::Failure, privilege::Privilege};

/// The connections of clients to a server, and the limits on them.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionFacts {
    /// The role that is logged in.
    #[serde(skip)]
    pub role: String,
    /// Whether the role sees the state of other roles' sessions (`pg_read_all_stats`, part of `pg_monitor`).
    pub sees_all: bool,
    /// The server's own limits.
    pub room: ConnectionCapacity,
    /// Connections of clients.
    pub used: i64,
    /// Idle connections of clients; unknown unless the role sees all sessions.
    pub idle: Option<i64>,
    /// Connections by database, role and state: the fifty largest groups.
    pub groups: Vec<Group>,
    /// Databases with a connection limit.
    pub databases: Vec<ConnectionLimit>,
    /// Roles with a connection limit, except the role that is logged in.
    pub roles: Vec<ConnectionLimit>,
}

/// The server's own limits on connections.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionCapacity {
    /// `max_connections`.
    pub max_connections: i64,
    /// Connections reserved for superusers.
    pub superuser_reserved: i64,
    /// Connections reserved for roles with `pg_use_reserved_connections`, since PostgreSQL 16.
    pub reserved: i64,
}

/// Connections with the same database, role and state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// The database.
    pub database: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// `active`, `idle`, `idle in transaction` ...
    pub state: String,
    /// The number of connections.
    pub connections: i64,
}

/// A database or a role with a connection limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionLimit {
    /// The name of the database or role.
    pub name: String,
    /// The maximum number of its connections.
    pub limit: i64,
    /// The number of its connections.
    pub used: i64,
}

impl ConnectionCapacity {
    /// The connections that are not reserved; 0 where the server reports limits that no server has.
    #[must_use]
    pub fn usable_connections(&self) -> i64 {
        let parts = [self.max_connections, self.superuser_reserved, self.reserved];
        if !parts.into_iter().all(is_limit) {
            return 0;
        }
        self.max_connections.saturating_sub(self.superuser_reserved).saturating_sub(self.reserved)
    }
}

impl ConnectionLimit {
    /// The limit; 0 where the server reports a limit that no server has.
    #[must_use]
    pub fn usable_connections(&self) -> i64 {
        if is_limit(self.limit) { self.limit } else { 0 }
    }
}

/// Whether a number can be a limit on connections: settings and columns of a server are 32 bits wide. A pool of the
/// size `i64::MAX` would never be full.
fn is_limit(number: i64) -> bool {
    (0..=i64::from(i32::MAX)).contains(&number)
}

impl Section for ConnectionFacts {
    const SPEC: SectionSpec = SectionSpec {
        name: "connections",
        statements: &[Statement { since: 100_000, sql: SQL }],
        privilege: Some(Privilege { name: "pg_read_all_stats", purpose: "see the sessions of other roles" }),
        every: None,
    };

    fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let row = first_row(rows)?;
        let sees_all: bool = column(row, "sees_all")?;
        let idle: i64 = column(row, "idle")?;
        Ok(Self {
            role: column(row, "role")?,
            sees_all,
            room: ConnectionCapacity {
                max_connections: column(row, "max_connections")?,
                superuser_reserved: column(row, "superuser_reserved")?,
                reserved: column(row, "reserved")?,
            },
            used: column(row, "used")?,
            idle: sees_all.then_some(idle),
            groups: json_list(row, "groups")?,
            databases: json_list(row, "databases")?,
            roles: json_list(row, "roles")?,
        })
    }
}

/// A role without `pg_read_all_stats` sees that other sessions exist, but neither their type nor their state: the
/// counts are correct only where `sees_all` is true. A limit of 0 or less is no limit.
const SQL: &str = "
WITH client AS (
  SELECT datid, usesysid, datname::text AS database, usename::text AS role, coalesce(state, '') AS state
  FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'
)
SELECT
  current_user::text AS role,
  pg_catalog.pg_has_role('pg_read_all_stats', 'usage') AS sees_all,
  pg_catalog.current_setting('max_connections')::int8 AS max_connections,
  pg_catalog.current_setting('superuser_reserved_connections')::int8 AS superuser_reserved,
  coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int8 AS reserved,
  (SELECT count(*) FROM client)::int8 AS used,
  (SELECT count(*) FROM client WHERE state = 'idle')::int8 AS idle,
  (SELECT coalesce(pg_catalog.json_agg(g), '[]')::text FROM (
    SELECT database, role, state, count(*) AS connections FROM client GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 50
  ) g) AS groups,
  (SELECT coalesce(pg_catalog.json_agg(l), '[]')::text FROM (
    SELECT d.datname::text AS name, d.datconnlimit AS limit,
      (SELECT count(*) FROM client WHERE client.datid = d.oid) AS used
    FROM pg_catalog.pg_database d WHERE d.datconnlimit > 0 ORDER BY 1 LIMIT 100
  ) l) AS databases,
  (SELECT coalesce(pg_catalog.json_agg(l), '[]')::text FROM (
    SELECT r.rolname::text AS name, r.rolconnlimit AS limit,
      (SELECT count(*) FROM client WHERE client.usesysid = r.oid) AS used
    FROM pg_catalog.pg_roles r WHERE r.rolconnlimit > 0 AND r.rolname <> current_user ORDER BY 1 LIMIT 100
  ) l) AS roles";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_server_has_are_no_limits() {
        let usable = |max_connections, superuser_reserved, reserved| {
            ConnectionCapacity { max_connections, superuser_reserved, reserved }.usable_connections()
        };
        assert_eq!(usable(100, 3, 2), 95);
        assert_eq!(usable(1, 3, 0), -2);
        for (max, superuser, reserved) in
            [(i64::MIN, 1, 1), (i64::MAX, i64::MIN, i64::MIN), (i64::MAX, 0, 0), (100, i64::MIN, 0), (100, 3, i64::MAX)]
        {
            assert_eq!(usable(max, superuser, reserved), 0, "{max} {superuser} {reserved}");
        }
        let limit = |limit| ConnectionLimit { name: "a".into(), limit, used: 1 }.usable_connections();
        assert_eq!([5, -1, i64::MIN, i64::MAX].map(limit), [5, 0, 0, 0]);
    }
}
