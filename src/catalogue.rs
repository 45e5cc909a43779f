//! The list of probe kinds, and everything that is derived from it.
//!
//! A new kind is its folder and one line in [`all`]. Kinds and checks that are planned have no entry: a configuration
//! that names one is refused with "not supported yet" instead of a message about a misspelling.

use crate::{
    document::{list_words, nearest_word},
    kind::{CheckDescriptor, KindEntry},
    probes::{backups, http, metrics, postgres, tcp},
};

/// Every probe kind.
#[must_use]
pub fn all() -> Vec<KindEntry> {
    vec![
        KindEntry::new::<http::Http>(),
        KindEntry::new::<tcp::Tcp>(),
        KindEntry::new::<backups::Backups>(),
        KindEntry::new::<postgres::Postgres>(),
        KindEntry::new::<metrics::Metrics>(),
    ]
}

/// Probe kinds of the contract to come. A kind that has an entry in [`all`] is not planned any more, even if it is
/// still listed here.
const PLANNED_KINDS: &[&str] = &[
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
    "calendar",
    "exec",
    "checks",
];

/// Check kinds of the contract to come. The same applies.
const PLANNED_CHECKS: &[&str] = &["encryption", "query"];

/// Probe kinds that are named by the contract and not supported by this version.
pub fn planned_kinds() -> impl Iterator<Item = &'static str> {
    let known: Vec<_> = all().iter().map(|kind| kind.name).collect();
    PLANNED_KINDS.iter().copied().filter(move |kind| !known.contains(kind))
}

/// Check kinds that are named by the contract and not supported by this version.
pub fn planned_checks() -> impl Iterator<Item = &'static str> {
    let known: Vec<_> = checks().map(|check| check.name).collect();
    PLANNED_CHECKS.iter().copied().filter(move |check| !known.contains(check))
}

/// Every check of every kind; a check that several kinds can feed is there once for each.
pub fn checks() -> impl Iterator<Item = CheckDescriptor> {
    all().into_iter().flat_map(|kind| (kind.checks)())
}

/// The entry of a kind.
#[must_use]
pub fn kind(name: &str) -> Option<KindEntry> {
    all().into_iter().find(|kind| kind.name == name)
}

/// The message about a name that is no kind.
#[must_use]
pub fn unknown_kind(name: &str) -> String {
    let kinds: Vec<_> = all().iter().map(|kind| kind.name).collect();
    if planned_kinds().any(|kind| kind == name) {
        return format!("probes of kind `{name}` are not supported yet");
    }
    match nearest_word(name, kinds.iter().copied()) {
        Some(nearest) => format!("there is no probe kind `{name}`; did you mean `{nearest}`?"),
        None => format!("there is no probe kind `{name}`; there are {}", list_words(&kinds)),
    }
}

/// The message about a name that is no check of a kind.
#[must_use]
pub fn unknown_check(kind: &KindEntry, name: &str) -> String {
    if planned_checks().any(|check| check == name) {
        return format!("checks of kind `{name}` are not supported yet");
    }
    let checks: Vec<_> = (kind.checks)().iter().map(|check| check.name).collect();
    match nearest_word(name, checks.iter().copied()) {
        Some(nearest) => format!("a `{}` probe has no check `{name}`; did you mean `{nearest}`?", kind.name),
        None => format!("a `{}` probe has no check `{name}`; it has {}", kind.name, list_words(&checks)),
    }
}
