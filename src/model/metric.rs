//! Vocabulary of exposing: every metric family with its name, type, help and labels.
//!
//! Names are written here and nowhere else; the documents and dashboards are held to this list by a test. The
//! labels `probe` and `check` are filled in by whoever knows them: a check only says what it measured.

use std::borrow::Cow;

use super::units::Unit;

/// Gauge or counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Goes up and down.
    Gauge,
    /// Only goes up, until a restart.
    Counter,
}

/// One metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The whole name, with prefix and unit.
    pub name: &'static str,
    /// Gauge or counter.
    pub kind: Type,
    /// The help text.
    pub help: &'static str,
    /// Label names in their order, `probe` and `check` included.
    pub labels: &'static [&'static str],
    /// Whether a value stays when the thing can't be judged any more: true for timestamps, which go on being true.
    pub retained: bool,
}

/// One value of a family, as a check or a probe hands it over: without the labels `probe` and `check`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What it is a value of.
    pub family: &'static Family,
    /// The family's labels after `probe` and `check`, in the family's order.
    pub labels: Box<[Cow<'static, str>]>,
    /// In base units.
    pub value: f64,
}

impl Sample {
    /// A value with the family's own labels, those after `probe` and `check`.
    pub fn new<const N: usize>(family: &'static Family, labels: [Cow<'static, str>; N], value: f64) -> Self {
        Self { family, labels: Box::new(labels), value }
    }
}

/// Declares the families and the list of all of them.
macro_rules! families {
    ($($(#[$doc:meta])* $id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal $($retained:ident)?;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $id: Family = Family {
                name: $name,
                kind: Type::$kind,
                help: $help,
                labels: &[$($label),*],
                retained: families!(@retained $($retained)?),
            };
        )+
        /// Every family, in the order in which they are exposed.
        pub static ALL: &[&Family] = &[$(&$id),+];
    };
    (@retained retained) => { true };
    (@retained) => { false };
}

families! {
    BUILD_INFO: Gauge "readiness_build_info" ["version", "revision", "rustc"]
        "Which build this is; always 1.";
    READY: Gauge "readiness_ready" []
        "Whether every gated check passes or warns: the overall verdict.";
    CHECKS: Gauge "readiness_checks" ["category", "severity", "status"]
        "How many checks of a category and severity are in a status.";
    SCORE: Gauge "readiness_score_ratio" ["category"]
        "Weight of the passing checks over the weight of the judged ones; critical weighs 4, warning 2, info 1.";

    JUDGED: Gauge "readiness_judged_ratio" ["category"]
        "Weight of the judged checks over the weight of all checks of a category: below 1 where checks are unknown, pending or skipped.";

    PROBE_INFO: Gauge "readiness_probe_info" ["probe", "kind", "service"]
        "What a probe is; always 1. Labels of the configuration are added.";
    PROBE_SUCCESS: Gauge "readiness_probe_success" ["probe"]
        "Whether the last run of a probe worked.";
    PROBE_DURATION: Gauge "readiness_probe_duration_seconds" ["probe"]
        "How long the last run of a probe took.";
    PROBE_PHASE_DURATION: Gauge "readiness_probe_phase_duration_seconds" ["probe", "phase"]
        "How long each part of the last run of a probe took.";
    PROBE_RUNS: Counter "readiness_probe_runs_total" ["probe"]
        "Runs of a probe, failed ones included.";
    PROBE_FAILURES: Counter "readiness_probe_failures_total" ["probe", "reason"]
        "Failed runs of a probe by reason.";
    PROBE_OVERRUNS: Counter "readiness_probe_overruns_total" ["probe"]
        "Runs that were left out because the one before had not ended.";
    PROBE_INTERVAL: Gauge "readiness_probe_interval_seconds" ["probe"]
        "Time between the starts of two runs of a probe, as configured.";
    PROBE_LAST_RUN: Gauge "readiness_probe_last_run_timestamp_seconds" ["probe"]
        "When the last run of a probe started; 0 before the first." retained;
    PROBE_LATENESS: Gauge "readiness_probe_lateness_seconds" ["probe"]
        "How much later than planned the last run of a probe started.";

    CHECK_INFO: Gauge "readiness_check_info" ["probe", "check", "kind", "category", "severity", "gate", "service", "owner", "runbook_url", "alert"]
        "What a check is; always 1. Labels of the configuration are added.";
    CHECK_STATUS: Gauge "readiness_check_status" ["probe", "check", "status"]
        "Status of a check, evaluated in the background and cached until its probe runs again: 1 for the status that it has, 0 for the others.";
    CHECK_RESULTS: Counter "readiness_check_results_total" ["probe", "check", "status"]
        "Verdicts on a check by status, before thresholds.";
    CHECK_SINCE: Gauge "readiness_check_status_since_timestamp_seconds" ["probe", "check"]
        "Since when a check has the status that it has.";
    CHECK_LAST_PASS: Gauge "readiness_check_last_pass_timestamp_seconds" ["probe", "check"]
        "When a check last passed; 0 if it never did.";
    CHECK_HEADROOM: Gauge "readiness_check_headroom_ratio" ["probe", "check", "measure"]
        "How far a measure is from its limit: 1 far from it, 0 at it, negative beyond it.";
    CHECK_VALUE_SECONDS: Gauge "readiness_check_value_seconds" ["probe", "check", "measure"]
        "Value of a measure of a check in seconds, as of the last run of its probe that could be judged.";
    CHECK_LIMIT_SECONDS: Gauge "readiness_check_limit_seconds" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check in seconds.";
    CHECK_VALUE_BYTES: Gauge "readiness_check_value_bytes" ["probe", "check", "measure"]
        "Value of a measure of a check in bytes, as of the last run of its probe that could be judged.";
    CHECK_LIMIT_BYTES: Gauge "readiness_check_limit_bytes" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check in bytes.";
    CHECK_VALUE_RATIO: Gauge "readiness_check_value_ratio" ["probe", "check", "measure"]
        "Value of a measure of a check as a ratio, as of the last run of its probe that could be judged.";
    CHECK_LIMIT_RATIO: Gauge "readiness_check_limit_ratio" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check as a ratio.";
    CHECK_VALUE_PER_SECOND: Gauge "readiness_check_value_per_second" ["probe", "check", "measure"]
        "Value of a measure of a check per second, as of the last run of its probe that could be judged.";
    CHECK_LIMIT_PER_SECOND: Gauge "readiness_check_limit_per_second" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check per second.";
    CHECK_VALUE_TIMESTAMP: Gauge "readiness_check_value_timestamp_seconds" ["probe", "check", "measure"]
        "Value of a measure of a check as seconds since the epoch, as of the last run of its probe that could be judged.";
    CHECK_LIMIT_TIMESTAMP: Gauge "readiness_check_limit_timestamp_seconds" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check as seconds since the epoch.";
    CHECK_VALUE_NUMBER: Gauge "readiness_check_value" ["probe", "check", "measure"]
        "Value of a measure of a check without a unit, or in a unit of its own, as of the last run of its probe that could be judged.";
    CHECK_LIMIT_NUMBER: Gauge "readiness_check_limit" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check without a unit, or in a unit of its own.";
    CHECK_WINDOW: Gauge "readiness_check_window_seconds" ["probe", "check"]
        "How far back a check looks in whose eyes an outage of its probe looks bad: for as long after one it still sees it.";

    LATENCY: Gauge "readiness_latency_seconds" ["probe", "check", "percentile"]
        "Latency at a percentile over the window of the check.";
    LATENCY_LIMIT: Gauge "readiness_latency_limit_seconds" ["probe", "check", "percentile", "level"]
        "Limit on the latency at a percentile.";
    ERROR_RATIO: Gauge "readiness_error_ratio" ["probe", "check"]
        "Share of errors over the window of the check.";
    ERROR_LIMIT: Gauge "readiness_error_limit_ratio" ["probe", "check", "level"]
        "Limit on the share of errors.";
    THROUGHPUT: Gauge "readiness_throughput_per_second" ["probe", "check"]
        "Events in a second over the window of the check.";
    POOL_CONNECTIONS: Gauge "readiness_pool_connections" ["probe", "check", "pool", "state"]
        "Connections of a pool by state (used, idle, waiting, max).";
    POOL_UTILIZATION: Gauge "readiness_pool_utilization_ratio" ["probe", "check", "pool"]
        "Share of a pool's connections in use.";
    POOL_UTILIZATION_LIMIT: Gauge "readiness_pool_utilization_limit_ratio" ["probe", "check", "pool", "level"]
        "Limit on the share of a pool's connections in use.";

    CERTIFICATE_NOT_AFTER: Gauge "readiness_certificate_not_after_timestamp_seconds" ["probe", "position", "verified"]
        "Until when a certificate is valid: the leaf, and the issuer certificate of the presented chain that ends first." retained;

    BACKUP_LAST_SUCCESS: Gauge "readiness_backup_last_success_timestamp_seconds" ["probe", "location", "type"]
        "When the newest complete backup was made; absent if there never was one." retained;
    BACKUP_MAX_AGE: Gauge "readiness_backup_max_age_seconds" ["probe", "location", "type"]
        "Limit on the age of the newest complete backup: the recovery point objective.";
    BACKUP_AGE: Gauge "readiness_backup_age_seconds" ["probe", "location", "type"]
        "Age of the newest complete backup at the last run of the probe.";
    BACKUP_SIZE: Gauge "readiness_backup_size_bytes" ["probe", "location", "type"]
        "Size of the newest complete backup.";
    BACKUPS: Gauge "readiness_backups" ["probe", "location", "type"]
        "Complete backups that are there.";
    BACKUP_OLDEST: Gauge "readiness_backup_oldest_timestamp_seconds" ["probe", "location", "type"]
        "When the oldest complete backup that is there was made." retained;
    BACKUP_MISSED: Gauge "readiness_backup_missed_runs" ["probe", "location", "type"]
        "Runs of the backup schedule without a backup, up to now.";

    CONFIG_RELOAD_SUCCESSFUL: Gauge "readiness_config_last_reload_successful" []
        "Whether the last attempt to load the configuration worked.";
    CONFIG_RELOAD_TIMESTAMP: Gauge "readiness_config_last_reload_success_timestamp_seconds" []
        "When the configuration was last loaded.";
    SCRAPE_DURATION: Gauge "readiness_scrape_render_duration_seconds" []
        "How long the page before this one took to render; a page is rendered once for each change of the board.";
    TASKS: Gauge "readiness_tasks" []
        "Tasks of the daemon that are alive: one for each probe, connection and listener, and a few more.";
    PANICS: Counter "readiness_panics_total" []
        "Panics that were caught in probes and checks; each is a bug.";
    STATE_WRITES: Counter "readiness_state_writes_total" ["result"]
        "Writes of the state file by result.";
}

/// Whether a text is a label name that Prometheus accepts and does not reserve for itself.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        && !name.starts_with("__")
}

/// The generic family that serves the values of measures in a unit.
#[must_use]
pub fn value_family(unit: Unit) -> &'static Family {
    match unit {
        Unit::Seconds => &CHECK_VALUE_SECONDS,
        Unit::Bytes => &CHECK_VALUE_BYTES,
        Unit::Ratio => &CHECK_VALUE_RATIO,
        Unit::PerSecond => &CHECK_VALUE_PER_SECOND,
        Unit::Timestamp => &CHECK_VALUE_TIMESTAMP,
        Unit::Number => &CHECK_VALUE_NUMBER,
    }
}

/// The generic family that serves the limits on measures in a unit.
#[must_use]
pub fn limit_family(unit: Unit) -> &'static Family {
    match unit {
        Unit::Seconds => &CHECK_LIMIT_SECONDS,
        Unit::Bytes => &CHECK_LIMIT_BYTES,
        Unit::Ratio => &CHECK_LIMIT_RATIO,
        Unit::PerSecond => &CHECK_LIMIT_PER_SECOND,
        Unit::Timestamp => &CHECK_LIMIT_TIMESTAMP,
        Unit::Number => &CHECK_LIMIT_NUMBER,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_the_field() {
        let mut seen = HashSet::new();
        for family in ALL {
            assert!(seen.insert(family.name), "{} is there twice", family.name);
            assert!(family.name.starts_with("readiness_"), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Type::Counter, "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }
}
