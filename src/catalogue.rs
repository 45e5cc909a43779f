//! The list of probe kinds. A new kind is one file here and one line in [`all`].

use crate::{
    kind::KindEntry,
    probes::{backups, http, metrics, postgres, tcp},
};

/// Every probe kind.
#[must_use]
pub fn all() -> Vec<KindEntry> {
    vec![
        KindEntry::of::<http::Http>(),
        KindEntry::of::<tcp::Tcp>(),
        KindEntry::of::<backups::Backups>(),
        KindEntry::of::<postgres::Postgres>(),
        KindEntry::of::<metrics::Metrics>(),
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
