//! Section `replication`: physical replication, seen from a primary and from a standby.

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::{Section, SectionSpec, Statement, column, first_row, json_list};
use crate::model::{failure::Failure, privilege::Privilege, text, words::Reason};

/// Physical replication from and to a server. WAL positions are in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Replication {
    /// The current position of a primary, or the position that the sender of a standby has announced.
    pub position: Option<i64>,
    /// The server's own replay, where the server is a standby.
    pub standby: Option<Standby>,
    /// The standbys that are connected to the server: the first hundred by name.
    pub downstream: Vec<Downstream>,
}

/// A standby that is connected to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Downstream {
    /// The slot of the standby, or its `application_name` where it uses none.
    pub name: String,
    /// `startup`, `catchup`, `streaming` or `stopping`.
    pub state: String,
    /// The position up to which the standby has replayed.
    pub replayed: i64,
    /// `replay_lag` in seconds. The server keeps the last value while the standby does not reply; `None` on an idle
    /// server.
    pub replay_lag: Option<f64>,
}

/// The replay of a standby.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standby {
    /// The position up to which the server has replayed.
    pub replayed: i64,
    /// Whether replay is paused.
    pub is_paused: bool,
    /// Seconds since the commit of the last replayed transaction.
    pub last_commit_age: Option<f64>,
    /// The WAL receiver, where it runs.
    pub receiver: Option<Receiver>,
}

/// The WAL receiver of a standby.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Receiver {
    /// `starting`, `streaming`, `waiting`, `restarting` or `stopping`.
    pub status: String,
    /// Seconds since the last message of the sender.
    pub message_age: Option<f64>,
    /// `wal_receiver_timeout` in seconds, or its default where it is switched off.
    pub timeout: f64,
}

impl Receiver {
    /// Whether the link to the sender works. A frozen receiver keeps the status `streaming`, so the age of the last
    /// message counts too: on an idle link, the receiver asks for a message after half of the timeout.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.status == "streaming" && self.message_age.is_none_or(|age| age <= self.timeout)
    }
}

impl Section for Replication {
    const SPEC: SectionSpec = SectionSpec {
        name: "replication",
        statements: &[Statement { since: 100_000, sql: SQL }],
        privilege: Some(Privilege { name: "pg_read_all_stats", purpose: "see the state of replication" }),
        every: None,
    };

    fn decode(rows: &[Row]) -> Result<Self, Failure> {
        let row = first_row(rows)?;
        if !column::<bool>(row, "sees_all")? {
            let role = text::bounded_name(column::<String>(row, "role")?);
            let text = format!(
                "role {role} can't see the state of replication: GRANT pg_read_all_stats TO {role}, or pg_monitor"
            );
            let failure = Failure::new(Reason::Permission, text);
            return Err(failure.of_exporter("the role of this exporter lacks a privilege"));
        }
        let standby = match column(row, "replayed")? {
            Some(replayed) => {
                let (message_age, timeout) = (column(row, "message_age")?, column(row, "timeout")?);
                let status: Option<String> = column(row, "status")?;
                Some(Standby {
                    replayed,
                    is_paused: column(row, "paused")?,
                    last_commit_age: column(row, "last_commit_age")?,
                    receiver: status.map(|status| Receiver { status, message_age, timeout }),
                })
            }
            None => None,
        };
        Ok(Self { position: column(row, "position")?, standby, downstream: json_list(row, "downstream")? })
    }
}

/// Without `pg_read_all_stats` the columns of both views are NULL. Logical subscribers are left out, and so are clients
/// that do not replay: `pg_basebackup` and `pg_receivewal`. A timeout of 0 is switched off; the default is a minute.
const SQL: &str = "
SELECT
  current_user::text AS role,
  pg_catalog.pg_has_role('pg_read_all_stats', 'usage') AS sees_all,
  pg_catalog.pg_wal_lsn_diff(own.position, '0/0')::int8 AS position,
  pg_catalog.pg_wal_lsn_diff(own.replayed, '0/0')::int8 AS replayed,
  own.paused,
  extract(epoch FROM clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 AS last_commit_age,
  own.status,
  extract(epoch FROM clock_timestamp() - own.last_msg_receipt_time)::float8 AS message_age,
  coalesce(nullif(extract(epoch FROM pg_catalog.current_setting('wal_receiver_timeout')::interval), 0), 60)::float8
    AS timeout,
  (SELECT coalesce(pg_catalog.json_agg(d), '[]')::text FROM (
    SELECT coalesce(s.slot_name::text, r.application_name, '') AS name, r.state,
      pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::int8 AS replayed,
      extract(epoch FROM r.replay_lag)::float8 AS replay_lag
    FROM pg_catalog.pg_stat_replication r
    LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid
    WHERE r.replay_lsn IS NOT NULL AND s.slot_type IS DISTINCT FROM 'logical'
    ORDER BY 1, 3 LIMIT 100
  ) d) AS downstream
FROM (
  SELECT w.status, w.last_msg_receipt_time,
    CASE WHEN me.in_recovery THEN greatest(w.latest_end_lsn, pg_catalog.pg_last_wal_receive_lsn())
      ELSE pg_catalog.pg_current_wal_lsn() END AS position,
    CASE WHEN me.in_recovery THEN coalesce(pg_catalog.pg_last_wal_replay_lsn(), '0/0') END AS replayed,
    CASE WHEN me.in_recovery THEN pg_catalog.pg_is_wal_replay_paused() END AS paused
  FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery) me
  LEFT JOIN pg_catalog.pg_stat_wal_receiver w ON true
) own";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_hears_nothing_does_not_stream() {
        let receiver = |status: &str, message_age| Receiver { status: status.into(), message_age, timeout: 60.0 };
        assert!(receiver("streaming", Some(60.0)).is_streaming());
        assert!(receiver("streaming", None).is_streaming());
        assert!(!receiver("streaming", Some(61.0)).is_streaming());
        assert!(!receiver("waiting", Some(0.0)).is_streaming());
    }
}
