//! Section `roles`: the roles that can log in, with their attributes and memberships.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::{Section, SectionSpec, Statement, column, first_row, json_list};
use crate::model::failure::Failure;

/// The roles that can log in.
#[derive(Debug, Clone, Serialize)]
pub struct LoginRoles {
    /// The role of the session.
    pub own: String,
    /// The roles, at most [`MAX_ROLES`].
    pub roles: Vec<LoginRole>,
    /// Whether the server has more roles.
    pub is_cut: bool,
}

/// A role that can log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginRole {
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
    /// Predefined roles and superusers that the role is a member of, directly or not. Empty for a superuser, which is
    /// implicitly a member of all.
    pub member_of: Vec<String>,
    /// Whether the role can create objects in the schema `public` of the database.
    pub creates_in_public: bool,
    /// Whether the role owns the database of the session.
    pub owns_database: bool,
}

/// Maximum number of roles of one result.
pub const MAX_ROLES: usize = 1_000;

impl Section for LoginRoles {
    const SPEC: SectionSpec = SectionSpec {
        name: "roles",
        statements: &[Statement { since: 100_000, sql: SQL }],
        privilege: None,
        every: Some(Duration::from_secs(60)),
    };

    fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let row = first_row(rows)?;
        let mut roles: Vec<LoginRole> = json_list(row, "roles")?;
        let is_cut = roles.len() > MAX_ROLES;
        roles.truncate(MAX_ROLES);
        Ok(Self { own: column(row, "own")?, roles, is_cut })
    }
}

/// The predefined roles are those with access beyond the data of the database. Before PostgreSQL 11 some of them do not
/// exist, so they are looked up by name.
const SQL: &str = "
SELECT current_user::text AS own, all_roles.list AS roles FROM (
  SELECT coalesce(pg_catalog.json_agg(pg_catalog.row_to_json(r))::text, '[]') AS list FROM (
    SELECT
      me.rolname::text AS name, me.rolsuper AS superuser, me.rolcreaterole AS create_role,
      me.rolcreatedb AS create_db, me.rolreplication AS replication, me.rolbypassrls AS bypass_rls,
      ARRAY(
        SELECT p.rolname::text FROM pg_catalog.pg_roles p
        WHERE p.oid <> me.oid AND NOT me.rolsuper AND pg_catalog.pg_has_role(me.oid, p.oid, 'MEMBER')
          AND (p.rolsuper OR p.rolname IN ('pg_execute_server_program', 'pg_read_server_files',
            'pg_write_server_files', 'pg_write_all_data', 'pg_maintain', 'pg_create_subscription',
            'pg_signal_backend'))
        ORDER BY 1
      ) AS member_of,
      coalesce((SELECT pg_catalog.has_schema_privilege(me.oid, n.oid, 'CREATE') FROM pg_catalog.pg_namespace n
        WHERE n.nspname = 'public'), false) AS creates_in_public,
      d.datdba = me.oid AS owns_database
    FROM pg_catalog.pg_roles me CROSS JOIN pg_catalog.pg_database d
    WHERE me.rolcanlogin AND d.datname = pg_catalog.current_database()
    ORDER BY me.rolname LIMIT 1001
  ) r
) all_roles";
