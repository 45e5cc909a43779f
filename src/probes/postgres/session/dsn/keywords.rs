//! The keywords of libpq (PostgreSQL manual, "Parameter Key Words"): each is honoured, has no effect here, or is refused by
//! its name.

/// Treatment of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// The value is used.
    Honoured,
    /// The value changes nothing that a run can show.
    WithoutEffect,
    /// Only these values are accepted, because they describe the behaviour of this program; the text is the advice for
    /// all others.
    Only(&'static [&'static str], &'static str),
    /// The keyword is refused; the text is the advice.
    Refused(&'static str),
}

use Keyword::{Honoured, Only, Refused, WithoutEffect};

const GSSAPI: Keyword = Refused("GSSAPI is not supported: use a password or a client certificate");
const REVOCATION: Keyword = Refused("revocation lists are not read: remove the key");
const OAUTH: Keyword = Refused("OAuth is not supported: use a password or a client certificate");

/// Every keyword of libpq up to version 18.
pub(super) const KEYWORDS: &[(&str, Keyword)] = &[
    ("host", Honoured),
    ("hostaddr", Honoured),
    ("port", Honoured),
    ("user", Honoured),
    ("password", Honoured),
    ("dbname", Honoured),
    ("options", Honoured),
    ("application_name", Honoured),
    ("channel_binding", Honoured),
    ("sslmode", Honoured),
    ("sslrootcert", Honoured),
    ("sslcert", Honoured),
    ("sslkey", Honoured),
    ("ssl_min_protocol_version", Honoured),
    ("ssl_max_protocol_version", Honoured),
    // The timeout of the run bounds the connection and every wait.
    ("connect_timeout", WithoutEffect),
    ("tcp_user_timeout", WithoutEffect),
    ("keepalives", WithoutEffect),
    ("keepalives_idle", WithoutEffect),
    ("keepalives_interval", WithoutEffect),
    ("keepalives_count", WithoutEffect),
    // Statements and results are UTF-8 whatever the encoding of the database.
    ("client_encoding", WithoutEffect),
    ("fallback_application_name", WithoutEffect),
    ("sslkeylogfile", Refused("this program writes no TLS secrets to a file: remove the key")),
    ("sslcompression", Only(&["0"], "TLS compression is insecure and not supported: remove the key")),
    ("sslsni", Only(&["1"], "the server name is always sent: remove the key")),
    ("sslnegotiation", Only(&["postgres"], "direct TLS is not supported: remove the key")),
    (
        "sslcertmode",
        Only(&["allow"], "the client certificate is sent if it is configured and requested: remove the key"),
    ),
    (
        "sslpassword",
        Refused("encrypted keys are not supported: store the key without a password, readable only for this program"),
    ),
    ("sslcrl", REVOCATION),
    ("sslcrldir", REVOCATION),
    ("gssencmode", Only(&["disable", "prefer"], "GSSAPI is not supported: remove the key")),
    ("gssdelegation", Only(&["0"], "GSSAPI is not supported: remove the key")),
    ("krbsrvname", GSSAPI),
    ("gsslib", GSSAPI),
    ("requirepeer", Refused("the user behind a Unix socket is not verified: remove the key, or use TLS")),
    (
        "require_auth",
        Refused("the server selects the method of authentication: remove the key, and restrict it in pg_hba.conf"),
    ),
    ("replication", Refused("a probe executes queries and does not replicate: remove the key")),
    (
        "target_session_attrs",
        Only(&["any"], "a probe watches one server, whatever its role: remove the key, and use the check `role`"),
    ),
    ("load_balance_hosts", Only(&["disable"], "one probe watches one server: write a probe for each host")),
    (
        "passfile",
        Refused("password files of libpq are not read: use `password_file`, a file that contains only the password"),
    ),
    ("service", Refused("service files of libpq are not read: write the parts of the service, or use `dsn_file`")),
    ("servicefile", Refused("service files of libpq are not read: write the parts of the service, or use `dsn_file`")),
    ("min_protocol_version", Only(&["3.0", "latest"], "the protocol version is always 3.0: remove the key")),
    ("max_protocol_version", Only(&["3.0", "latest"], "the protocol version is always 3.0: remove the key")),
    ("scram_client_key", Refused("SCRAM keys are not supported: use the password")),
    ("scram_server_key", Refused("SCRAM keys are not supported: use the password")),
    ("oauth_issuer", OAUTH),
    ("oauth_client_id", OAUTH),
    ("oauth_client_secret", OAUTH),
    ("oauth_scope", OAUTH),
];

impl Keyword {
    /// Finds a keyword with its constant name.
    pub(super) fn find(name: &str) -> Option<(&'static str, Self)> {
        KEYWORDS.iter().copied().find(|(known, _)| *known == name)
    }

    /// The names of the keywords that are honoured.
    pub(super) fn honoured_names() -> String {
        let names: Vec<_> =
            KEYWORDS.iter().filter(|(_, keyword)| *keyword == Honoured).map(|(name, _)| *name).collect();
        names.join(", ")
    }
}
