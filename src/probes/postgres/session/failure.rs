//! Converts errors of the server and of the driver into failures with advice.

use std::{error::Error as _, io};

use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

use super::allowance::ByteBudget;
use crate::{
    io::dial,
    model::{failure::Failure, words::Reason},
};

/// Converts an error. If the server exceeded its budget, the failure comes from the budget, because the driver may only
/// report the end of the connection.
pub(super) fn statement_failure(what: &str, error: &Error, allowance: &ByteBudget) -> Failure {
    if let Some(refusal) = allowance.recorded_refusal() {
        let detail = format!("{what}: {refusal}");
        return refusal.with_detail(detail);
    }
    if let Some(error) = error.as_db_error() {
        return server_failure(what, error);
    }
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failure::new(
                Reason::Protocol,
                format!("{what}: the other end closed the connection; is it PostgreSQL, and does its log say why?"),
            ),
            _ => dial::io_failure(what, error),
        };
    }
    // The driver does not export the kind of its errors, but their texts are constant.
    let text = error.to_string();
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    if cause == "password missing" {
        let failure = Failure::new(Reason::Auth, format!("{what}: the server wants a password: set `password_file`"));
        return failure.of_exporter("the server requires a password, and this exporter has none");
    }
    let reason = match text.as_str() {
        "authentication error" => Reason::Auth,
        text if text.starts_with("error deserializing") => Reason::Parse,
        _ => Reason::Protocol,
    };
    let failure = Failure::from_error(reason, what, error);
    if reason == Reason::Auth { failure.of_exporter(REFUSED_LOGIN) } else { failure }
}

/// Meaning of a refused login in alerts.
const REFUSED_LOGIN: &str = "the server refuses the credentials of this exporter";

/// Explains an error of the server in alerts, and states whether the cause lies in this exporter.
fn with_meaning(failure: Failure, code: &SqlState) -> Failure {
    match code {
        &SqlState::INVALID_PASSWORD => failure.of_exporter(REFUSED_LOGIN),
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            failure.of_exporter("the server does not allow this exporter to log in (role, host or encryption)")
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => failure.of_exporter("the role of this exporter lacks a privilege"),
        &SqlState::INVALID_CATALOG_NAME => failure.with_meaning("the database does not exist"),
        &SqlState::TOO_MANY_CONNECTIONS => failure.with_meaning("the server has no free connection"),
        &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => {
            failure.with_meaning("the server cancelled a query at its time limit")
        }
        &SqlState::CANNOT_CONNECT_NOW => failure.with_meaning("the server is starting up, shutting down or recovering"),
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN => {
            failure.with_meaning("the server ended the connection")
        }
        _ => failure,
    }
}

/// Part of PgBouncer's message on the startup parameter with the settings of the session.
const STARTUP_PARAMETER: &str = "startup parameter: options";

/// Whether a login failed because a pooler refused the startup parameter `options`.
pub(super) fn is_refused_setting(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::PROTOCOL_VIOLATION && error.message().contains(STARTUP_PARAMETER)
    })
}

/// Converts an error of the server by its code (PostgreSQL manual, appendix A).
fn server_failure(what: &str, error: &DbError) -> Failure {
    let code = error.code();
    let (reason, advice) = match code {
        &SqlState::INVALID_PASSWORD => (Reason::Auth, "is the password right, and is it this role's?"),
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            (Reason::Auth, "let pg_hba.conf of the server have a line for this host, role and database")
        }
        &SqlState::INVALID_CATALOG_NAME => (Reason::NotFound, "set `dbname` to one that is there"),
        &SqlState::TOO_MANY_CONNECTIONS => {
            (Reason::Limit, "find the holders of the connections in pg_stat_activity, or reserve some for monitoring")
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => (Reason::Permission, "see `readiness-exporter grants`"),
        &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => {
            (Reason::Timeout, "the server cancelled it at its time limit")
        }
        &SqlState::CANNOT_CONNECT_NOW => (Reason::Refused, "it is starting up, shutting down or recovering"),
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN => (Reason::Canceled, "the server ended the connection"),
        &SqlState::PROTOCOL_VIOLATION if error.message().contains(STARTUP_PARAMETER) => (
            Reason::Protocol,
            "a pooler refuses the `options` of the DSN: remove them, or connect to the server itself",
        ),
        &SqlState::PROTOCOL_VIOLATION if error.message().contains("startup parameter") => {
            (Reason::Protocol, "a pooler refuses the parameter: add it to its `ignore_startup_parameters`")
        }
        &SqlState::PROTOCOL_VIOLATION if error.message().contains("transaction blocks not allowed") => (
            Reason::Protocol,
            "the pooler executes single statements only: set `pool_mode = transaction`, or connect to the server \
             itself",
        ),
        &SqlState::PROTOCOL_VIOLATION => (Reason::Protocol, "is a pooler in the way?"),
        &SqlState::UNDEFINED_COLUMN | &SqlState::UNDEFINED_FUNCTION => {
            (Reason::Query, "PostgreSQL 10 is the oldest version that is understood")
        }
        _ => (Reason::Query, "see the server's log"),
    };
    let message = error.message();
    with_meaning(Failure::new(reason, format!("{what}: {message} ({}); {advice}", code.code())), code)
}
