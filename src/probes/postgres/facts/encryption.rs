//! Section `encryption`: encryption of the sessions of the server (`pg_stat_ssl`).

use serde::Serialize;
use tokio_postgres::Row;

use super::{Section, SectionSpec, Statement, column, first_row};
use crate::model::{failure::Failure, privilege::Privilege};

/// Encryption of the session, and of the sessions of remote clients.
#[derive(Debug, Clone, Serialize)]
pub struct EncryptionFacts {
    /// Whether the session of the probe is encrypted, as seen by the server. Through a pooler, this is the connection
    /// between the pooler and the server.
    pub encrypted: bool,
    /// Protocol version of the session: `TLSv1.3`.
    pub protocol: Option<String>,
    /// Cipher of the session.
    pub cipher: Option<String>,
    /// Number of clients of other hosts without encryption.
    pub unencrypted_clients: i64,
    /// A role of such a client.
    pub unencrypted_role: Option<String>,
    /// Whether the role of the probe sees the encryption of all sessions.
    pub sees_all: bool,
    /// Name of the role of the probe.
    pub role: String,
}

impl Section for EncryptionFacts {
    const SPEC: SectionSpec = SectionSpec {
        name: "encryption",
        statements: &[Statement { since: 100_000, sql: SQL }],
        privilege: Some(Privilege { name: "pg_read_all_stats", purpose: "see the encryption of all sessions" }),
        every: None,
    };

    fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let row = first_row(rows)?;
        Ok(Self {
            encrypted: column(row, "encrypted")?,
            protocol: column(row, "protocol")?,
            cipher: column(row, "cipher")?,
            unencrypted_clients: column(row, "unencrypted_clients")?,
            unencrypted_role: column(row, "unencrypted_role")?,
            sees_all: column(row, "sees_all")?,
            role: column(row, "role")?,
        })
    }
}

/// Sessions over a Unix socket have no address. Loopback addresses never leave the host.
const SQL: &str = "
WITH remote AS (
  SELECT a.usename
  FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_stat_ssl s ON s.pid = a.pid
  WHERE a.backend_type = 'client backend' AND NOT s.ssl AND a.client_addr IS NOT NULL
    AND NOT a.client_addr <<= '127.0.0.0/8'::inet AND NOT a.client_addr = '::1'::inet
    AND a.pid <> pg_catalog.pg_backend_pid()
)
SELECT
  own.ssl AS encrypted, own.version::text AS protocol, own.cipher::text AS cipher,
  (SELECT pg_catalog.count(*) FROM remote)::int8 AS unencrypted_clients,
  (SELECT pg_catalog.min(remote.usename::text) FROM remote) AS unencrypted_role,
  pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
  current_user::text AS role
FROM pg_catalog.pg_stat_ssl own WHERE own.pid = pg_catalog.pg_backend_pid()";
