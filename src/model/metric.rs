//! The registry of metric families with name, type, help and labels.
//!
//! Family names are defined only here; a test compares documents and dashboards with this list. A check reports only
//! its values: the exposition adds the labels `probe` and `check`.

use std::borrow::Cow;

use super::units::Unit;

/// Type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A value that can go up and down.
    Gauge,
    /// A value that only increases until a restart.
    Counter,
}

/// One metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Full name with prefix and unit.
    pub name: &'static str,
    /// Gauge or counter.
    pub kind: Type,
    /// Help text.
    pub help: &'static str,
    /// Label names in order, including `probe` and `check`.
    pub labels: &'static [&'static str],
    /// Whether the last value remains while there is no current one. This is true for timestamps of past events and
    /// for expiry times, which stay true, and for nothing that describes the present.
    pub retained: bool,
}

/// One value of a family from a check or a probe, without the labels `probe` and `check`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The family.
    pub family: &'static Family,
    /// Values of the labels after `probe` and `check`, in the family's order.
    pub labels: Box<[Cow<'static, str>]>,
    /// The value in base units.
    pub value: f64,
}

impl Sample {
    /// Creates a sample; `labels` are the label values after `probe` and `check`.
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
        /// All families in the order of exposition.
        pub static ALL: &[&Family] = &[$(&$id),+];
    };
    (@retained retained) => { true };
    (@retained) => { false };
}

families! {
    BUILD_INFO: Gauge "readiness_build_info" ["version", "revision", "rustc"]
        "Version, revision and compiler of the running build; always 1.";
    READY: Gauge "readiness_ready" []
        "Overall verdict: 1 if no gated check is failing, unknown, skipped or pending, else 0. After its first run, a \
         check with `pending: passes` may be pending.";
    CHECKS: Gauge "readiness_checks" ["category", "severity", "status"]
        "Number of checks by category, severity and status.";
    SCORE: Gauge "readiness_score_ratio" ["category"]
        "Weight of the passing checks divided by the weight of the judged checks of a category; 0 if no check is \
         judged. Weights: critical 4, warning 2, info 1.";

    JUDGED: Gauge "readiness_judged_ratio" ["category"]
        "Weight of the judged checks divided by the weight of all checks of a category; below 1 if checks are \
         unknown, pending or skipped.";

    PROBE_INFO: Gauge "readiness_probe_info" ["probe", "kind", "service", "target"]
        "Kind, service and target of a probe; always 1. The target is a host with its port, a socket, or the pattern of \
         the files; it is empty if only a secret file names it. The labels of the configuration are added.";
    PROBE_SUCCESS: Gauge "readiness_probe_success" ["probe"]
        "1 if the last run of a probe succeeded, else 0. The value is also 0 before the first run, while the probe is \
         skipped, and if the last run is older than three intervals.";
    PROBE_DURATION: Gauge "readiness_probe_duration_seconds" ["probe"]
        "Duration of the last run of a probe; 0 before the first run. readiness_probe_last_run_timestamp_seconds is \
         the start time of that run.";
    PROBE_PHASE_DURATION: Gauge "readiness_probe_phase_duration_seconds" ["probe", "phase"]
        "Duration of each phase of the last run of a probe; 0 for a phase that the run did not reach.";
    PROBE_RUNS: Counter "readiness_probe_runs_total" ["probe"]
        "Number of runs of a probe, including failed runs.";
    PROBE_FAILURES: Counter "readiness_probe_failures_total" ["probe", "reason"]
        "Number of failed runs of a probe by reason.";
    PROBE_OVERRUNS: Counter "readiness_probe_overruns_total" ["probe"]
        "Number of runs that were left out because the previous run had not ended.";
    PROBE_INTERVAL: Gauge "readiness_probe_interval_seconds" ["probe"]
        "Configured interval between the starts of two runs of a probe.";
    PROBE_LAST_RUN: Gauge "readiness_probe_last_run_timestamp_seconds" ["probe"]
        "Start time of the last run of a probe; 0 before the first run." retained;
    PROBE_LATENESS: Gauge "readiness_probe_lateness_seconds" ["probe"]
        "Time by which the last run of a probe started later than scheduled.";

    CHECK_INFO: Gauge "readiness_check_info" ["probe", "check", "kind", "category", "severity", "gate", "service", "owner", "runbook_url", "title", "summary", "alert"]
        "Kind, category, severity and further properties of a check; always 1. The labels of the configuration are \
         added.";
    CHECK_REASON: Gauge "readiness_check_reason_info" ["probe", "check", "reason", "meaning", "origin"]
        "Reason of the last verdict of a check; always 1. The label `reason` is a code, and the label `meaning` \
         explains it. The label `origin` is `exporter` if the credentials, files or privileges of this exporter are the \
         cause, else `target`. Absent if the last verdict is pass or pending.";
    CHECK_STATUS: Gauge "readiness_check_status" ["probe", "check", "status"]
        "Status of a check, evaluated in the background and cached until the next run of its probe: 1 for the current \
         status, 0 for the others.";
    CHECK_RESULTS: Counter "readiness_check_results_total" ["probe", "check", "status"]
        "Number of verdicts of a check by status, before the thresholds apply.";
    CHECK_SINCE: Gauge "readiness_check_status_since_timestamp_seconds" ["probe", "check"]
        "Time of the last status change of a check.";
    CHECK_LAST_PASS: Gauge "readiness_check_last_pass_timestamp_seconds" ["probe", "check"]
        "Time of the last passing verdict of a check; 0 if it never passed.";
    CHECK_HEADROOM: Gauge "readiness_check_headroom_ratio" ["probe", "check", "measure"]
        "Relative distance of a measure to its fail limit, or to its warn limit if it has no fail limit: 1 far from \
         the limit, 0 at the limit, negative beyond it.";
    CHECK_VALUE_SECONDS: Gauge "readiness_check_value_seconds" ["probe", "check", "measure"]
        "Value of a measure of a check in seconds, from the last run that could be judged.";
    CHECK_LIMIT_SECONDS: Gauge "readiness_check_limit_seconds" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check in seconds.";
    CHECK_VALUE_BYTES: Gauge "readiness_check_value_bytes" ["probe", "check", "measure"]
        "Value of a measure of a check in bytes, from the last run that could be judged.";
    CHECK_LIMIT_BYTES: Gauge "readiness_check_limit_bytes" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check in bytes.";
    CHECK_VALUE_RATIO: Gauge "readiness_check_value_ratio" ["probe", "check", "measure"]
        "Value of a measure of a check as a ratio, from the last run that could be judged.";
    CHECK_LIMIT_RATIO: Gauge "readiness_check_limit_ratio" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check as a ratio.";
    CHECK_VALUE_PER_SECOND: Gauge "readiness_check_value_per_second" ["probe", "check", "measure"]
        "Value of a measure of a check as a rate per second, from the last run that could be judged.";
    CHECK_LIMIT_PER_SECOND: Gauge "readiness_check_limit_per_second" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check as a rate per second.";
    CHECK_VALUE_TIMESTAMP: Gauge "readiness_check_value_timestamp_seconds" ["probe", "check", "measure"]
        "Value of a measure of a check in seconds since the epoch, from the last run that could be judged.";
    CHECK_LIMIT_TIMESTAMP: Gauge "readiness_check_limit_timestamp_seconds" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure of a check in seconds since the epoch.";
    CHECK_VALUE_NUMBER: Gauge "readiness_check_value" ["probe", "check", "measure"]
        "Value of a measure that has no unit or another unit, from the last run that could be judged.";
    CHECK_LIMIT_NUMBER: Gauge "readiness_check_limit" ["probe", "check", "measure", "bound", "level"]
        "Limit on a measure that has no unit or another unit.";
    CHECK_WINDOW: Gauge "readiness_check_window_seconds" ["probe", "check"]
        "Time after an outage of a probe during which the outage may still affect a check: the failed runs count, or few \
         successful runs are left to judge.";

    LATENCY: Gauge "readiness_latency_seconds" ["probe", "check", "percentile"]
        "Latency at a percentile over the window of the check.";
    LATENCY_LIMIT: Gauge "readiness_latency_limit_seconds" ["probe", "check", "percentile", "level"]
        "Limit on the latency at a percentile.";
    ERROR_RATIO: Gauge "readiness_error_ratio" ["probe", "check"]
        "Ratio of errors to all events or runs over the window of the check.";
    ERROR_LIMIT: Gauge "readiness_error_limit_ratio" ["probe", "check", "level"]
        "Limit on the ratio of errors.";
    THROUGHPUT: Gauge "readiness_throughput_per_second" ["probe", "check"]
        "Events per second over the window of the check.";
    POOL_CONNECTIONS: Gauge "readiness_pool_connections" ["probe", "check", "pool", "state"]
        "Connections of a pool by state (used, idle, waiting, max).";
    POOL_UTILIZATION: Gauge "readiness_pool_utilization_ratio" ["probe", "check", "pool"]
        "Ratio of the used connections of a pool to the size of the pool.";
    POOL_UTILIZATION_LIMIT: Gauge "readiness_pool_utilization_limit_ratio" ["probe", "check", "pool", "level"]
        "Limit on the ratio of the used connections of a pool to the size of the pool.";

    CERTIFICATE_NOT_AFTER: Gauge "readiness_certificate_not_after_timestamp_seconds" ["probe", "position", "verified"]
        "Expiry time of a certificate of the chain that the server presented last. Position `leaf` is the server \
         certificate, position `issuer` is the issuer certificate that expires first." retained;

    BACKUP_LAST_SUCCESS: Gauge "readiness_backup_last_success_timestamp_seconds" ["probe", "location", "type"]
        "Creation time of the newest complete backup. If no complete backup is left, the time of the last one remains \
         and readiness_backups is 0. Absent if no complete backup was ever seen." retained;
    BACKUP_MAX_AGE: Gauge "readiness_backup_max_age_seconds" ["probe", "location", "type"]
        "Limit on the age of the newest complete backup (recovery point objective).";
    BACKUP_AGE: Gauge "readiness_backup_age_seconds" ["probe", "location", "type"]
        "Age of the newest complete backup at the last run of the probe; absent without a complete backup.";
    BACKUP_SIZE: Gauge "readiness_backup_size_bytes" ["probe", "location", "type"]
        "Size of the newest complete backup; absent without a complete backup.";
    BACKUPS: Gauge "readiness_backups" ["probe", "location", "type"]
        "Number of complete backups at the location.";
    BACKUP_OLDEST: Gauge "readiness_backup_oldest_timestamp_seconds" ["probe", "location", "type"]
        "Creation time of the oldest complete backup; absent without a complete backup, and while the backups can't \
         be listed.";
    BACKUP_MISSED: Gauge "readiness_backup_missed_runs" ["probe", "location", "type"]
        "Number of scheduled backup runs in the window of the check that left no backup.";

    CONFIG_RELOAD_SUCCESSFUL: Gauge "readiness_config_last_reload_successful" []
        "Whether the last attempt to load the configuration succeeded.";
    CONFIG_RELOAD_TIMESTAMP: Gauge "readiness_config_last_reload_success_timestamp_seconds" []
        "Time of the last successful load of the configuration.";
    SCRAPE_DURATION: Gauge "readiness_scrape_render_duration_seconds" []
        "Duration of the previous rendering of the metrics page. The page is rendered again only after a probe or a \
         check has changed.";
    TASKS: Gauge "readiness_tasks" []
        "Number of live tasks of the daemon: one for each probe, connection and listener, and a few more.";
    PANICS: Counter "readiness_panics_total" []
        "Number of caught panics in probes and checks; each one is a bug.";
    STATE_WRITES: Counter "readiness_state_writes_total" ["result"]
        "Number of writes of the state file by result.";
}

/// Whether a text is a label name that Prometheus accepts and does not reserve for itself.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        && !name.starts_with("__")
}

/// Returns the generic family for the values of measures in a unit.
#[must_use]
pub fn value_family(unit: Unit) -> &'static Family {
    match unit {
        Unit::Seconds => &CHECK_VALUE_SECONDS,
        Unit::Bytes => &CHECK_VALUE_BYTES,
        Unit::Ratio => &CHECK_VALUE_RATIO,
        Unit::PerSecond => &CHECK_VALUE_PER_SECOND,
        Unit::Timestamp => &CHECK_VALUE_TIMESTAMP,
        Unit::Number | Unit::Code => &CHECK_VALUE_NUMBER,
    }
}

/// Returns the generic family for the limits on measures in a unit.
#[must_use]
pub fn limit_family(unit: Unit) -> &'static Family {
    match unit {
        Unit::Seconds => &CHECK_LIMIT_SECONDS,
        Unit::Bytes => &CHECK_LIMIT_BYTES,
        Unit::Ratio => &CHECK_LIMIT_RATIO,
        Unit::PerSecond => &CHECK_LIMIT_PER_SECOND,
        Unit::Timestamp => &CHECK_LIMIT_TIMESTAMP,
        Unit::Number | Unit::Code => &CHECK_LIMIT_NUMBER,
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
