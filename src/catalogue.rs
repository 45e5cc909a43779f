//! The list of probe kinds. A new kind is one file here and one line in [`all`].

use crate::{
    kind::Entry,
    probes::{backups, http, metrics, postgres, tcp},
};

/// Every probe kind.
#[must_use]
pub fn all() -> Vec<Entry> {
    vec![
        Entry::of::<http::Http>(),
        Entry::of::<tcp::Tcp>(),
        Entry::of::<backups::Backups>(),
        Entry::of::<postgres::Postgres>(),
        Entry::of::<metrics::Metrics>(),
    ]
}

/// Kinds of the configuration that this version can't do yet: refused by name rather than as a misspelling.
pub const NOT_YET: &[&str] = &[
    "tls",
    "dns",
    "grpc",
    "pgbouncer",
    "redis",
    "kafka",
    "prometheus",
    "alertmanager",
    "grafana",
    "logs",
    "kubernetes",
    "host",
    "files",
    "report",
    "exec",
    "attestations",
    "checks",
];
