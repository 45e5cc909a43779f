//! What one query tells about a server.

use serde::{Deserialize, Serialize};
use tokio_postgres::{Error, Row};

use crate::model::observation::Facts;

/// Everything in one round trip and one row. Names are qualified, so that no search path can bend them.
///
/// A role without `pg_read_all_stats` sees that other sessions are there, but neither what kind they are nor their
/// state: the counts are only right where `sees_all` is true. Limits of 0 and below are none. Everything in it is as
/// old as PostgreSQL 10, or asked for in a way that may come back empty.
pub(super) const SQL: &str = "
WITH client AS (
  SELECT datid, usesysid, datname::text AS database, usename::text AS role, coalesce(state, '') AS state
  FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'
)
SELECT
  pg_catalog.current_setting('server_version') AS version,
  pg_catalog.current_setting('server_version_num')::int4 AS version_number,
  pg_catalog.pg_is_in_recovery() AS in_recovery,
  pg_catalog.current_setting('max_connections')::int8 AS max_connections,
  pg_catalog.current_setting('superuser_reserved_connections')::int8 AS superuser_reserved,
  coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int8 AS reserved,
  me.rolname::text AS role,
  me.rolsuper AS superuser,
  me.rolcreaterole AS create_role,
  me.rolcreatedb AS create_db,
  me.rolreplication AS replication,
  me.rolbypassrls AS bypass_rls,
  me.rolconnlimit::int8 AS connection_limit,
  pg_catalog.pg_has_role('pg_read_all_stats', 'usage') AS sees_all,
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
    FROM pg_catalog.pg_roles r WHERE r.rolconnlimit > 0 AND r.oid <> me.oid ORDER BY 1 LIMIT 100
  ) l) AS roles
FROM pg_catalog.pg_roles me WHERE me.rolname = current_user";

/// What was seen of a server.
#[derive(Debug, Clone, Serialize)]
pub struct PostgresFacts {
    /// As the server writes it: `15.20 (Debian 15.20-0+deb12u1)`.
    pub version: String,
    /// The same as a number: 150020.
    pub version_number: i32,
    /// A standby, or a server that recovers from a crash or a backup.
    pub in_recovery: bool,
    /// Whether this connection is encrypted.
    pub encrypted: bool,
    /// The role that is logged in.
    pub role: Role,
    /// The room for connections.
    pub room: Room,
    /// Connections of clients.
    pub used: i64,
    /// Those of them that wait for something to do; not known unless the role sees all.
    pub idle: Option<i64>,
    /// By database, role and state, the fifty largest groups.
    pub groups: Vec<Group>,
    /// Databases with a limit of their own.
    pub databases: Vec<ConnectionLimit>,
    /// Roles with a limit of their own, the one that is logged in aside.
    pub roles: Vec<ConnectionLimit>,
}

/// The role that is logged in, and what it may.
#[derive(Debug, Clone, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// May everything.
    pub superuser: bool,
    /// May make roles.
    pub create_role: bool,
    /// May make databases.
    pub create_db: bool,
    /// May replicate.
    pub replication: bool,
    /// Sees every row.
    pub bypass_rls: bool,
    /// How many connections it may have.
    pub connection_limit: Option<i64>,
    /// Sees the state of other roles' sessions (`pg_read_all_stats`, part of `pg_monitor`).
    pub sees_all: bool,
}

/// How many connections a server takes.
#[derive(Debug, Clone, Serialize)]
pub struct Room {
    /// `max_connections`.
    pub max_connections: i64,
    /// Kept for superusers.
    pub superuser_reserved: i64,
    /// Kept for roles with `pg_use_reserved_connections`, from PostgreSQL 16 on.
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
    /// How many.
    pub connections: i64,
}

/// Something with a limit on its connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionLimit {
    /// The database or role.
    pub name: String,
    /// How many connections it may have.
    pub limit: i64,
    /// How many it has.
    pub used: i64,
}

impl Facts for PostgresFacts {
    type Want = ();
}

impl Room {
    /// What is there for everybody.
    #[must_use]
    pub fn usable(&self) -> i64 {
        self.max_connections - self.superuser_reserved - self.reserved
    }
}

impl PostgresFacts {
    pub(super) fn read(row: &Row, encrypted: bool) -> Result<Self, Unread> {
        let sees_all: bool = row.try_get("sees_all")?;
        let limit: i64 = row.try_get("connection_limit")?;
        let idle: i64 = row.try_get("idle")?;
        Ok(Self {
            version: row.try_get("version")?,
            version_number: row.try_get("version_number")?,
            in_recovery: row.try_get("in_recovery")?,
            encrypted,
            role: Role {
                name: row.try_get("role")?,
                superuser: row.try_get("superuser")?,
                create_role: row.try_get("create_role")?,
                create_db: row.try_get("create_db")?,
                replication: row.try_get("replication")?,
                bypass_rls: row.try_get("bypass_rls")?,
                connection_limit: (limit >= 0).then_some(limit),
                sees_all,
            },
            room: Room {
                max_connections: row.try_get("max_connections")?,
                superuser_reserved: row.try_get("superuser_reserved")?,
                reserved: row.try_get("reserved")?,
            },
            used: row.try_get("used")?,
            idle: sees_all.then_some(idle),
            groups: list(row, "groups")?,
            databases: list(row, "databases")?,
            roles: list(row, "roles")?,
        })
    }
}

/// Why an answer can't be read.
pub(super) enum Unread {
    Column(Error),
    List(&'static str, serde_json::Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Column(error)
    }
}

/// A list that the query writes as JSON. A list that can't be read is an error, not an empty one, which would pass.
fn list<T: for<'de> Deserialize<'de>>(row: &Row, column: &'static str) -> Result<Vec<T>, Unread> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| Unread::List(column, error))
}
