//! Settings that bound the statements of a session: read-only transactions, and time limits of the server, so that a
//! statement of an abandoned run ends soon.
//!
//! A direct session receives the settings at its login. A pooler refuses or ignores settings at the login, and shares
//! the connections to the server, so each transaction sets them for itself.

use std::time::Duration;

use crate::probes::postgres::facts::server::SessionSettings;

/// The scope in which the settings are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingsScope {
    /// At the login, for the session.
    Session,
    /// At the start of each transaction.
    Transaction,
}

/// Time limits in milliseconds.
struct TimeLimits {
    statement: u128,
    lock: u128,
}

impl TimeLimits {
    fn new(limit: Duration) -> Self {
        let statement = limit.as_millis().max(1);
        Self { statement, lock: (statement / 2).max(1) }
    }
}

/// The startup parameter `options`. The settings follow the configured options and override them.
pub(super) fn session_options(own: Option<&str>, limit: Duration) -> String {
    let TimeLimits { statement, lock } = TimeLimits::new(limit);
    let own = own.map(|own| format!("{own} ")).unwrap_or_default();
    format!(
        "{own}-c default_transaction_read_only=on -c statement_timeout={statement} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={statement}"
    )
}

/// The statements that begin a transaction with the settings. `SET LOCAL` ends with the transaction.
pub(super) fn transaction_start(limit: Duration) -> String {
    let TimeLimits { statement, lock } = TimeLimits::new(limit);
    format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}; \
         SET LOCAL idle_in_transaction_session_timeout = {statement}"
    )
}

/// Whether the server applies the settings of [`session_options`].
pub(super) fn are_applied(applied: SessionSettings, limit: Duration) -> bool {
    applied.read_only && u128::try_from(applied.statement_timeout_ms).ok() == Some(TimeLimits::new(limit).statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scopes_set_the_same_limits() {
        let limit = Duration::from_millis(5_001);
        assert_eq!(
            session_options(Some("-c search_path=x"), limit),
            "-c search_path=x -c default_transaction_read_only=on -c statement_timeout=5001 -c lock_timeout=2500 -c \
             idle_in_transaction_session_timeout=5001"
        );
        let start = transaction_start(limit);
        for setting in ["READ ONLY", "statement_timeout = 5001", "lock_timeout = 2500"] {
            assert!(start.contains(setting), "{start}");
        }
        assert!(start.matches("SET LOCAL").count() == start.matches("SET").count(), "{start}");
    }

    #[test]
    fn ignored_settings_are_noticed() {
        let limit = Duration::from_secs(5);
        let applied = SessionSettings { statement_timeout_ms: 5_000, read_only: true };
        assert!(are_applied(applied, limit));
        assert!(!are_applied(SessionSettings { read_only: false, ..applied }, limit));
        for statement_timeout_ms in [0, 4_999, -1] {
            assert!(!are_applied(SessionSettings { statement_timeout_ms, ..applied }, limit));
        }
    }
}
