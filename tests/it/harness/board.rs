//! A board as a day in production leaves it: every status, long names, hostile strings, a history.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use readiness_exporter::{
    board::Board,
    catalogue,
    kind::RunReport,
    model::{
        check::CheckLimits,
        failure::Failure,
        measure::{Bound, Measure},
        metric::{self, Sample},
        observation::Timing,
        units::Unit,
        verdict::Verdict,
        words::{Category, Outcome, Phase, Reason, Severity, Status},
    },
    settings::{CheckInfo, ProbeInfo},
};

/// A text that breaks whatever doesn't escape it.
pub(crate) const HOSTILE: &str = "</script><script>alert(1)</script>\"\\\n{}é,=";

pub(crate) fn check(name: &str, kind: &'static str, category: Category, severity: Severity) -> CheckInfo {
    let known =
        catalogue::all().into_iter().flat_map(|probe| (probe.checks)()).find(|known| known.name == kind).unwrap();
    CheckInfo {
        name: name.to_owned(),
        category,
        severity,
        gate: severity.gates_by_default(),
        owner: "team-orders".to_owned(),
        runbook: format!("https://runbooks.example.com/{kind}"),
        ..CheckInfo::of(&known)
    }
}

pub(crate) fn probe(
    name: &str,
    kind: &'static str,
    phases: &'static [Phase],
    checks: Vec<CheckInfo>,
) -> Arc<ProbeInfo> {
    let timing = Timing {
        interval: Duration::from_secs(30),
        retry_interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
    };
    Arc::new(ProbeInfo {
        name: name.to_owned(),
        title: String::new(),
        kind,
        service: "eventcore".to_owned(),
        target: "eventcore.example:443".to_owned(),
        labels: BTreeMap::new(),
        timing,
        depends_on: Vec::new(),
        enabled: true,
        disabled_reason: String::new(),
        phases,
        checks: checks.into_iter().map(Arc::new).collect(),
    })
}

pub(crate) fn report(at: Timestamp, verdicts: Vec<Verdict>) -> RunReport {
    RunReport {
        at,
        duration: Duration::from_millis(42),
        phases: vec![(Phase::Connect, Duration::from_micros(350)), (Phase::Request, Duration::from_millis(41))],
        failure: None,
        samples: Vec::new(),
        verdicts,
        panics: 0,
        facts: None,
    }
}

pub(crate) fn failed(at: Timestamp, reason: Reason, detail: &str, others: usize) -> RunReport {
    let failure = Failure::new(reason, detail);
    let mut verdicts = vec![Verdict::new(Outcome::Fail(reason), detail)];
    verdicts.extend((0..others).map(|_| Verdict::not_measured(&failure)));
    RunReport { failure: Some(failure), phases: Vec::new(), ..report(at, verdicts) }
}

pub(crate) fn healthy() -> Verdict {
    Verdict::new(Outcome::Pass, "worked in 42ms")
}

pub(crate) fn measure(
    name: &'static str,
    value: f64,
    unit: Unit,
    bound: Bound,
    warn: Option<f64>,
    fail: f64,
) -> Measure {
    Measure { name, subject: None, value, unit, bound, warn, fail: Some(fail) }
}

fn percentiles(p95: f64, p99: f64) -> Vec<Measure> {
    vec![
        measure("p95", p95, Unit::Seconds, Bound::Max, Some(0.3), 1.0),
        measure("p99", p99, Unit::Seconds, Bound::Max, None, 2.0),
    ]
}

fn latency(p95: f64, p99: f64) -> Verdict {
    Verdict::from_measures(percentiles(p95, p99)).with_samples([
        Sample::new(&metric::LATENCY, ["p95".into()], p95),
        Sample::new(&metric::LATENCY, ["p99".into()], p99),
    ])
}

fn pool(used: f64) -> Verdict {
    Verdict::from_measures(vec![measure("utilization", used / 97.0, Unit::Ratio, Bound::Max, Some(0.8), 0.95)])
        .with_samples([
            Sample::new(&metric::POOL_CONNECTIONS, ["orders".into(), "used".into()], used),
            Sample::new(&metric::POOL_CONNECTIONS, ["orders".into(), "max".into()], 97.0),
            Sample::new(&metric::POOL_UTILIZATION, ["orders".into()], used / 97.0),
        ])
}

fn limits() -> CheckLimits {
    let samples = vec![
        Sample::new(&metric::LATENCY_LIMIT, ["p95".into(), "warn".into()], 0.3),
        Sample::new(&metric::LATENCY_LIMIT, ["p95".into(), "fail".into()], 1.0),
        Sample::new(&metric::LATENCY_LIMIT, ["p99".into(), "fail".into()], 2.0),
    ];
    CheckLimits { measures: percentiles(f64::NAN, f64::NAN), samples }
}

pub(crate) type Laid = (Arc<ProbeInfo>, Vec<CheckLimits>);

pub(crate) fn layout() -> Vec<Laid> {
    use Category as C;
    use Severity as S;
    const HTTP: &[Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::Response];
    let health = || check("health", "health", C::Health, S::Critical);
    let api = vec![
        health(),
        check("latency", "latency", C::Performance, S::Warning),
        check("error_rate", "error_rate", C::Errors, S::Critical),
        check("certificate", "certificate", C::Security, S::Warning),
    ];
    let db = vec![
        health(),
        check("pool", "pool", C::Capacity, S::Warning),
        check("outbox-depth-of-the-orders-that-were-never-sent", "value", C::Capacity, S::Info),
    ];
    let dump = vec![
        health(),
        check("freshness", "freshness", C::Backup, S::Critical),
        check("size", "size", C::Backup, S::Warning),
    ];
    let mut off = check("throughput", "throughput", C::Performance, S::Info);
    off.enabled = false;
    let metrics = vec![health(), check("present", "present", C::Observability, S::Warning), off];
    let hostile = CheckInfo { owner: HOSTILE.to_owned(), runbook: "javascript:alert(1)".to_owned(), ..health() };
    let mut odd = ProbeInfo::clone(&probe(HOSTILE, "http", HTTP, vec![hostile]));
    odd.labels = BTreeMap::from([("tier".to_owned(), HOSTILE.to_owned()), ("not a label".to_owned(), "x".to_owned())]);
    let files: &[Phase] = &[Phase::List, Phase::Read];
    let mut laid: Vec<Laid> = vec![
        (probe("api", "http", HTTP, api), vec![CheckLimits::default(), limits()]),
        (probe("orders-db", "postgres", &[Phase::Connect, Phase::Login, Phase::Query], db), vec![]),
        (probe("nightly-dump", "backups", files, dump), vec![]),
        (probe("api-metrics", "metrics", &[Phase::Connect, Phase::Request], metrics), vec![]),
        (probe("payments", "tcp", &[Phase::Resolve, Phase::Connect], vec![health()]), vec![]),
        (probe("reports", "http", HTTP, vec![health(), check("latency", "latency", C::Performance, S::Info)]), vec![]),
        (Arc::new(odd), vec![]),
    ];
    laid.push((probe("never-ran", "tcp", &[Phase::Connect], vec![health()]), vec![]));
    laid
}

/// The board at a moment, with everything that happened before.
pub(crate) fn busy(now: Timestamp) -> Arc<Board> {
    let board = Arc::new(Board::default());
    let start = now - SignedDuration::from_secs(30 * 70);
    board.replace_probes(layout(), |_| false, start);
    for run in 0..70 {
        round(&board, run, start + SignedDuration::from_secs(30 * (run + 1)));
    }
    board.update_daemon(|daemon| daemon.record_reload(start.as_second() as f64));
    board
}

/// One more round of results; from the 60th on the dump is stale and the payments are down.
pub(crate) fn round(board: &Board, run: i64, at: Timestamp) {
    let wave = 0.2 + 0.15 * ((run % 12) as f64 / 12.0);
    let errors = measure("error_rate", 0.001 * (run % 7) as f64, Unit::Ratio, Bound::Max, Some(0.01), 0.05);
    let days = measure("remaining", 86_400.0 * 21.5, Unit::Seconds, Bound::Min, Some(86_400.0 * 14.0), 86_400.0 * 7.0);
    let error_rate = Verdict::from_measures(vec![errors.clone()]).with_samples([Sample::new(
        &metric::ERROR_RATIO,
        [],
        errors.value,
    )]);
    let until = Sample::new(&metric::CERTIFICATE_NOT_AFTER, ["leaf".into(), "true".into()], 1_900_000_000.0);
    let mut api =
        report(at, vec![healthy(), latency(wave, wave * 2.0), error_rate, Verdict::from_measures(vec![days])]);
    api.samples = vec![until];
    board.record("api", api, 0.0004);

    let depth = measure("value", 12.0 + run as f64, Unit::Number, Bound::Max, None, 1_000.0);
    let used = 60.0 + (run % 30) as f64;
    board.record("orders-db", report(at, vec![healthy(), pool(used), Verdict::from_measures(vec![depth])]), 0.0002);

    let age = if run < 60 { 3_600.0 * 5.0 } else { 3_600.0 * 31.0 };
    let location = || ["files:/backups".into(), "full".into()];
    let made = Sample::new(&metric::BACKUP_LAST_SUCCESS, location(), at.as_second() as f64 - age);
    let freshness = Verdict::from_measures(vec![measure("age", age, Unit::Seconds, Bound::Max, None, 3_600.0 * 26.0)])
        .with_samples([made.clone(), Sample::new(&metric::BACKUP_AGE, location(), age)]);
    let bytes = measure("size", 3.2e9, Unit::Bytes, Bound::Min, None, 1e9);
    // Both checks say when the newest backup was made: one series.
    let size =
        Verdict::from_measures(vec![bytes]).with_samples([made, Sample::new(&metric::BACKUP_SIZE, location(), 3.2e9)]);
    board.record("nightly-dump", report(at, vec![healthy(), freshness, size]), 0.0);

    let present = Verdict::new(Outcome::Unknown(Reason::Empty), "no sample of eventcore_commands_total for 5m");
    board.record("api-metrics", report(at, vec![healthy(), present, healthy()]), 0.0);
    match run {
        ..60 => drop(board.record("payments", report(at, vec![healthy()]), 0.0)),
        _ => drop(board.record(
            "payments",
            failed(at, Reason::Refused, "connect: 10.0.4.17:7443 refused the connection", 0),
            0.0,
        )),
    }
    board.skip("reports", "payments", at);
    board.record(HOSTILE, failed(at, Reason::Protocol, HOSTILE, 0), 0.0);
}

/// How many checks of a board have a status.
pub(crate) fn count(board: &Board, status: Status) -> usize {
    board.snapshot().checks().filter(|(_, check)| check.status == status).count()
}
/// A large board: so many probes with three checks each.
pub(crate) fn large(probes: usize, now: Timestamp) -> Arc<Board> {
    use Category as C;
    use Severity as S;
    let board = Arc::new(Board::default());
    let checks = || {
        vec![
            check("health", "health", C::Health, S::Critical),
            check("latency", "latency", C::Performance, S::Warning),
            check("error_rate", "error_rate", C::Errors, S::Critical),
        ]
    };
    let name = |n: usize| format!("service-{n:04}");
    let lay = |n| {
        (probe(&name(n), "http", &[Phase::Connect, Phase::Request], checks()), vec![CheckLimits::default(), limits()])
    };
    let start = now - SignedDuration::from_secs(30 * 60);
    board.replace_probes((0..probes).map(lay).collect(), |_| false, start);
    for run in 0..60 {
        let at = start + SignedDuration::from_secs(30 * (run + 1));
        for n in 0..probes {
            let slow = if (n as i64 * 31 + run) % 97 == 0 { 1.2 } else { 0.12 };
            let errors =
                Verdict::from_measures(vec![measure("error_rate", 0.001, Unit::Ratio, Bound::Max, None, 0.05)]);
            board.record(&name(n), report(at, vec![healthy(), latency(slow, slow), errors]), 0.0);
        }
    }
    board
}
