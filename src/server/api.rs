//! The JSON API. It contains the content of the metrics, and also content that must never become a label: sentences,
//! errors and measured values.

use std::{borrow::Cow, collections::BTreeMap};

use hyper::StatusCode;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{
    query::CheckFilter,
    response::{self, ServerResponse},
    runbooks,
};
use crate::{
    board::{CheckState, ProbeState, Snapshot},
    model::{
        measure::{Bound, Measure},
        units::Unit,
        words::{Category, GateVerdict, Phase, Reason, Severity, Status, WhilePending},
    },
};

#[derive(Serialize)]
struct StatusView<'a> {
    ready: bool,
    version: &'static str,
    revision: &'static str,
    probes: usize,
    checks: BTreeMap<Status, usize>,
    #[serde(flatten)]
    blockers: BlockersView<'a>,
    configuration: ConfigurationView,
    panics: u64,
}

#[derive(Serialize)]
struct ConfigurationView {
    last_reload_successful: bool,
    last_success: Option<Timestamp>,
}

#[derive(Serialize)]
struct ReadinessView<'a> {
    ready: bool,
    verdict: GateVerdict,
    #[serde(flatten)]
    blockers: BlockersView<'a>,
}

/// The checks that prevent readiness. A client of the gate reads the first reasons, so the list is bounded.
#[derive(Serialize)]
struct BlockersView<'a> {
    /// Number of blocking checks.
    blocking: usize,
    /// The worst blocking checks.
    blockers: Vec<CheckSummaryView<'a>>,
    /// Address of the complete list, if this one is truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<String>,
    /// Failing checks that don't count for the gate; at most [`MAX_LISTED_BLOCKERS`].
    ungated_failures: Vec<String>,
}

/// Number of blocking checks in a response.
const MAX_LISTED_BLOCKERS: usize = 100;

/// A check in a list.
#[derive(Serialize)]
struct CheckSummaryView<'a> {
    check: String,
    /// The name for people: the configured title, or the name.
    title: Cow<'a, str>,
    /// The configured impact of a failure; empty if none is configured.
    impact: &'a str,
    status: Status,
    reason: Option<Reason>,
    summary: &'a str,
    since: Timestamp,
    last_pass: Option<Timestamp>,
    category: Category,
    severity: Severity,
    gate: bool,
    /// Whether the check prevents readiness now.
    blocks: bool,
    pending: WhilePending,
    kind: &'a str,
    service: &'a str,
    owner: &'a str,
    runbook: String,
    measures: Vec<MeasureView<'a>>,
}

#[derive(Serialize)]
struct MeasureView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    value: Option<f64>,
    /// The value as the status page shows it.
    shown: String,
    unit: Unit,
    bound: Bound,
    warn: Option<f64>,
    fail: Option<f64>,
    headroom: Option<f64>,
}

/// One check with all details.
#[derive(Serialize)]
struct CheckDetailView<'a> {
    #[serde(flatten)]
    summary: CheckSummaryView<'a>,
    labels: BTreeMap<&'a str, &'a str>,
    enabled: bool,
    failure_threshold: u32,
    success_threshold: u32,
    results: BTreeMap<Status, u64>,
    limits: Vec<LimitView>,
    probe: ProbeView<'a>,
    history: Vec<PastRunView>,
}

/// One level of a limit, as in the metrics.
#[derive(Serialize)]
struct LimitView {
    measure: &'static str,
    bound: Bound,
    level: &'static str,
    unit: Unit,
    value: f64,
}

#[derive(Serialize)]
struct ProbeView<'a> {
    name: &'a str,
    title: &'a str,
    kind: &'a str,
    labels: &'a BTreeMap<String, String>,
    depends_on: &'a [String],
    interval_seconds: f64,
    timeout_seconds: f64,
    runs: u64,
    overruns: u64,
    last_run: Option<RunView<'a>>,
}

#[derive(Serialize)]
struct RunView<'a> {
    at: Timestamp,
    duration_seconds: f64,
    lateness_seconds: f64,
    phases: BTreeMap<Phase, f64>,
    failure: Option<FailureView<'a>>,
}

#[derive(Serialize)]
struct FailureView<'a> {
    reason: Reason,
    detail: &'a str,
}

/// A past run with its result before thresholds.
#[derive(Serialize)]
struct PastRunView {
    at: Option<Timestamp>,
    status: Status,
    duration_seconds: f32,
}

/// Responds to `/ready` with the overall verdict and the blocking checks.
pub(super) fn ready_response(all: &Snapshot) -> ServerResponse {
    let ready = all.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response::json(status, &ReadinessView { ready, verdict: all.gate(), blockers: blockers(all) })
}

/// Responds to `/api/v1/status`.
pub(super) fn status_response(all: &Snapshot) -> ServerResponse {
    let mut checks: BTreeMap<Status, usize> = Status::ALL.iter().map(|status| (*status, 0)).collect();
    for (_, check) in all.checks() {
        *checks.entry(check.status).or_default() += 1;
    }
    let loaded_at = all.daemon.reload_timestamp.get();
    let last_success = (loaded_at > 0.0).then(|| Timestamp::from_second(loaded_at as i64).ok()).flatten();
    let overall = StatusView {
        ready: all.is_ready(),
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("READINESS_REVISION"),
        probes: all.probes.len(),
        checks,
        blockers: blockers(all),
        configuration: ConfigurationView {
            last_reload_successful: all.daemon.reload_successful.get() == 1,
            last_success,
        },
        panics: all.daemon.panics.get(),
    };
    response::json(StatusCode::OK, &overall)
}

/// Renders `/api/v1/checks` as media type and text.
pub(super) fn checks_json(all: &Snapshot, filter: &CheckFilter) -> (&'static str, String) {
    let selected = all.checks().filter(|(probe, check)| filter.matches(probe, check));
    let list: Vec<_> = selected.map(|(probe, check)| check_summary(probe, check)).collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "checks": list })).unwrap_or_default();
    ("application/json", text + "\n")
}

/// Responds to `/api/v1/checks/PROBE/CHECK`.
pub(super) fn check_response(all: &Snapshot, probe: &str, check: &str) -> ServerResponse {
    let decode = |name| percent_decode_str(name).decode_utf8_lossy();
    let (probe, check) = (decode(probe), decode(check));
    let found = all.checks().find(|(p, c)| p.info.name == probe && c.info.name == check);
    match found {
        Some((probe, check)) => response::json(StatusCode::OK, &check_detail(probe, check)),
        None => response::json_error(StatusCode::NOT_FOUND, &format!("there is no check {probe}/{check}")),
    }
}

fn blockers(all: &Snapshot) -> BlockersView<'_> {
    let found = all.blockers_worst_first();
    let left = found.len().saturating_sub(MAX_LISTED_BLOCKERS);
    BlockersView {
        blocking: found.len(),
        blockers: found.iter().take(MAX_LISTED_BLOCKERS).map(|(probe, check)| check_summary(probe, check)).collect(),
        more: (left > 0).then(|| format!("and {left} more: /api/v1/checks lists all of them")),
        ungated_failures: all
            .ungated_failures()
            .take(MAX_LISTED_BLOCKERS)
            .map(|(probe, check)| format!("{}/{}", probe.info.name, check.info.name))
            .collect(),
    }
}

fn check_summary<'a>(probe: &'a ProbeState, check: &'a CheckState) -> CheckSummaryView<'a> {
    let info = &check.info;
    let measures = check.verdict.as_ref().map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    CheckSummaryView {
        check: format!("{}/{}", probe.info.name, info.name),
        title: info.title_of(&probe.info.name),
        impact: &info.summary,
        status: check.status,
        reason: check.verdict.as_ref().and_then(|verdict| verdict.outcome.reason()),
        summary: check.summary(),
        since: check.since,
        last_pass: check.last_pass,
        category: info.category,
        severity: info.severity,
        gate: info.gate,
        blocks: check.blocks_readiness(),
        pending: info.pending,
        kind: info.kind,
        service: &probe.info.service,
        owner: &info.owner,
        runbook: match info.runbook_url().is_empty() {
            true => format!("/{}", runbooks::runbook_address(probe, check)),
            false => info.runbook.clone(),
        },
        measures: measures.iter().map(measure_view).collect(),
    }
}

fn measure_view(measure: &Measure) -> MeasureView<'_> {
    MeasureView {
        name: measure.name,
        subject: measure.subject.as_deref(),
        // JSON has no NaN.
        value: Some(measure.value).filter(|value| value.is_finite()),
        shown: measure.unit.format_value(measure.value),
        unit: measure.unit,
        bound: measure.bound,
        warn: measure.warn,
        fail: measure.fail,
        headroom: measure.headroom(),
    }
}

fn check_detail<'a>(probe: &'a ProbeState, check: &'a CheckState) -> CheckDetailView<'a> {
    let info = &check.info;
    let steps = |measure: &Measure| {
        let (name, bound, unit) = (measure.name, measure.bound, measure.unit);
        measure.levels().map(move |(level, value)| LimitView { measure: name, bound, level, unit, value })
    };
    CheckDetailView {
        summary: check_summary(probe, check),
        labels: probe.info.labels.iter().chain(&info.labels).map(|(name, value)| (&**name, &**value)).collect(),
        enabled: info.enabled,
        failure_threshold: info.failure_threshold,
        success_threshold: info.success_threshold,
        results: Status::ALL.iter().map(|status| (*status, check.results(*status))).collect(),
        limits: check.limits.measures.iter().flat_map(steps).collect(),
        probe: probe_detail(probe),
        history: history(probe, check),
    }
}

fn probe_detail(probe: &ProbeState) -> ProbeView<'_> {
    let info = &probe.info;
    ProbeView {
        name: &info.name,
        title: &info.title,
        kind: info.kind,
        labels: &info.labels,
        depends_on: &info.depends_on,
        interval_seconds: info.timing.interval.as_secs_f64(),
        timeout_seconds: info.timing.timeout.as_secs_f64(),
        runs: probe.runs,
        overruns: probe.overruns,
        last_run: probe.last.as_ref().map(|run| RunView {
            at: run.at,
            duration_seconds: run.duration.as_secs_f64(),
            lateness_seconds: run.lateness,
            phases: run.phases.iter().map(|(phase, spent)| (*phase, spent.as_secs_f64())).collect(),
            failure: run
                .failure
                .as_ref()
                .map(|failure| FailureView { reason: failure.reason, detail: &failure.detail }),
        }),
    }
}

/// Returns the recent runs, oldest first. The last run corresponds to the last result; one of the lists may be longer.
fn history(probe: &ProbeState, check: &CheckState) -> Vec<PastRunView> {
    let runs = probe.recent.iter().rev().map(Some).chain(std::iter::repeat(None));
    let mut past: Vec<_> = check
        .recent
        .iter()
        .rev()
        .zip(runs)
        .map(|(status, run)| PastRunView {
            at: run.and_then(|run| Timestamp::from_second(i64::from(run.at)).ok()),
            status: *status,
            duration_seconds: run.map(|run| run.duration).unwrap_or_default(),
        })
        .collect();
    past.reverse();
    past
}
