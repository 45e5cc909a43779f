//! Failures of dependencies and of the probes that depend on them.

use super::*;
use crate::checks::fixture::TIMING;

/// A probe with a failure threshold.
fn probe_with_threshold(name: &str, interval: u64, threshold: u32, depends_on: &[&str]) -> Arc<ProbeInfo> {
    let mut info = (*probe(name, interval, interval, depends_on)).clone();
    for check in &mut info.checks {
        Arc::make_mut(check).failure_threshold = threshold;
    }
    Arc::new(info)
}

fn status(stage: &Stage, probe: &str) -> Status {
    stage.board.probe(probe).unwrap().checks[0].status
}

fn summary(stage: &Stage, probe: &str) -> String {
    stage.board.probe(probe).unwrap().checks[0].summary().to_owned()
}

/// Waits until the check of a probe has a status, for a number of seconds at most.
async fn becomes(stage: &Stage, probe: &str, expected: Status, seconds: u64) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while status(stage, probe) != expected {
        assert!(Instant::now() < deadline, "{probe} is {}", status(stage, probe));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn fails(script: &Script, fails: bool) {
    script.fails.store(fails, Ordering::SeqCst);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_published_only_after_the_dependency_has_run_again() {
    let (db, api) = (script(200, false), script(100, false));
    let probes = vec![(probe("db", 3_600, 3_600, &[]), &db), (probe("api", 5, 5, &["db"]), &api)];
    let stage = stage(WIDE, probes);
    pass(60).await;
    assert_eq!(db.runs(), 1);
    // Both fail in the same second, and the hourly run of the dependency is far away.
    fails(&db, true);
    fails(&api, true);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(matches!(status(&stage, "api"), Status::Pass | Status::Skipped), "{}", summary(&stage, "api"));
    }
    assert_eq!((status(&stage, "db"), status(&stage, "api")), (Status::Fail, Status::Skipped));
    assert_eq!(db.runs(), 2, "the failure of the dependent requested one run");
    assert_eq!(summary(&stage, "api"), "skipped while db fails");
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_failing_dependency_is_published_soon_and_requests_no_further_runs() {
    let (db, api) = (script(200, false), script(100, false));
    let probes = vec![(probe("db", 3_600, 3_600, &[]), &db), (probe("api", 5, 5, &["db"]), &api)];
    let stage = stage(WIDE, probes);
    pass(60).await;
    fails(&api, true);
    pass(7).await;
    assert_eq!((status(&stage, "api"), db.runs()), (Status::Fail, 2));
    pass(300).await;
    assert_eq!((status(&stage, "api"), db.runs()), (Status::Fail, 2));
    assert_eq!(stage.board.probe("api").unwrap().overruns, 0);
}

#[tokio::test(start_paused = true)]
async fn dependents_that_fail_together_share_one_run_of_their_dependency() {
    let (db, api) = (script(200, false), script(100, false));
    let mut probes = vec![(probe("db", 3_600, 3_600, &[]), &db)];
    probes.extend((0..50).map(|n| (probe(&format!("api-{n}"), 1, 1, &["db"]), &api)));
    let stage = stage(WIDE, probes);
    pass(60).await;
    fails(&api, true);
    pass(10).await;
    assert!((0..50).all(|n| status(&stage, &format!("api-{n}")) == Status::Fail));
    assert!(db.runs() <= 4, "{} runs", db.runs());
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_failure_skips_the_dependents_and_keeps_the_gate_open() {
    let (db, api) = (script(0, false), script(0, false));
    let probes = vec![(probe_with_threshold("db", 10, 3, &[]), &db), (probe("api", 10, 10, &["db"]), &api)];
    let stage = stage(WIDE, probes);
    pass(30).await;
    let since = stage.board.probe("api").unwrap().checks[0].since;
    fails(&db, true);
    becomes(&stage, "api", Status::Skipped, 20).await;
    assert_eq!(status(&stage, "db"), Status::Pass);
    assert!(stage.board.snapshot().is_ready(), "one failed run is no failure of the dependency yet");
    fails(&db, false);
    pass(20).await;
    let api_state = stage.board.probe("api").unwrap();
    assert_eq!((api_state.checks[0].status, api_state.checks[0].since), (Status::Pass, since));
    fails(&db, true);
    pass(45).await;
    assert_eq!((status(&stage, "db"), status(&stage, "api")), (Status::Fail, Status::Skipped));
    assert!(!stage.board.snapshot().is_ready());
}

#[tokio::test(start_paused = true)]
async fn the_skip_of_a_rare_probe_closes_the_gate_as_soon_as_the_failure_is_confirmed() {
    let (db, rare) = (script(0, true), script(0, false));
    let mut ungated = (*probe_with_threshold("db", 10, 4, &[])).clone();
    Arc::make_mut(&mut ungated.checks[0]).gate = false;
    let stage = stage(WIDE, vec![(Arc::new(ungated), &db), (probe("rare", 3_600, 3_600, &["db"]), &rare)]);
    fails(&db, false);
    pass(30).await;
    fails(&db, true);
    pass(11).await;
    stage.scheduler.requests.request("rare", Instant::now());
    becomes(&stage, "rare", Status::Skipped, 1).await;
    assert!(stage.board.snapshot().is_ready());
    pass(40).await;
    assert_eq!((status(&stage, "db"), status(&stage, "rare")), (Status::Fail, Status::Skipped));
    assert!(!stage.board.snapshot().is_ready(), "the gate knows nothing good about a probe that can't run");
}

#[tokio::test(start_paused = true)]
async fn the_cause_is_named_through_a_chain_and_through_a_disabled_probe() {
    let (db, other) = (script(0, true), script(0, false));
    let mut disabled = (*probe("middle", 10, 10, &["db"])).clone();
    disabled.enabled = false;
    Arc::make_mut(&mut disabled.checks[0]).enabled = false;
    let probes = vec![
        (probe("db", 10, 10, &[]), &db),
        (Arc::new(disabled), &other),
        (probe("api", 10, 10, &["middle"]), &other),
        (probe("page", 10, 10, &["api"]), &other),
    ];
    let stage = stage(WIDE, probes);
    pass(30).await;
    assert_eq!(summary(&stage, "api"), "skipped while db fails");
    assert_eq!(summary(&stage, "page"), "skipped while db fails");
}

#[tokio::test(start_paused = true)]
async fn a_dependency_on_a_check_ignores_other_failures_of_its_probe() {
    let (edge, api) = (script(0, false), script(0, false));
    let mut info = (*probe("edge", 10, 10, &[])).clone();
    let mut second = (*info.checks[0]).clone();
    second.name = "certificate".to_owned();
    info.checks.push(Arc::new(second));
    let stage = stage(WIDE, vec![(Arc::new(info), &edge), (probe("api", 10, 10, &["edge/certificate"]), &api)]);
    let now = Timestamp::now();
    let state = |edge: [Outcome; 2]| {
        let verdicts = edge.map(|outcome| Verdict::new(outcome, "as scripted")).to_vec();
        stage.board.record("edge", RunReport { verdicts, ..report(TIMING.timeout, true) }, 0.0);
        stage.board.dependency_state(&["edge/certificate".to_owned()], now)
    };
    assert_eq!(state([Outcome::Fail(Reason::Refused), Outcome::Unknown(Reason::Refused)]), DependencyState::Satisfied);
    let cause = Cause { name: "edge/certificate".to_owned(), confirmed: true };
    let certificate = Outcome::Fail(Reason::Certificate);
    assert_eq!(state([certificate, certificate]), DependencyState::Failing(cause));
    assert_eq!(state([Outcome::Fail(Reason::Status), Outcome::Pass]), DependencyState::Satisfied);
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_never_ends_delays_a_failure_only_for_a_bounded_time() {
    let (db, api) = (script(0, false), script(0, false));
    let mut stage = stage(WIDE, vec![(probe("db", 3_600, 3_600, &[]), &db), (probe("api", 5, 5, &["db"]), &api)]);
    pass(60).await;
    // The task of the dependency ends without a word, as after a defect.
    stage.scheduler.running.remove("db").unwrap().handle.abort();
    fails(&api, true);
    pass(5 + 2 + 10 + 1).await;
    assert_eq!(status(&stage, "api"), Status::Fail);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_first_run_of_a_dependency_is_neither_an_overrun_nor_late() {
    let (db, api) = (script(900, false), script(700, false));
    let stage = stage(WIDE, vec![(probe("db", 60, 60, &[]), &db), (probe("api", 1, 1, &["db"]), &api)]);
    pass(120).await;
    let api_state = stage.board.probe("api").unwrap();
    assert_eq!(api_state.overruns, 0);
    assert!(api_state.last.as_ref().unwrap().lateness < 0.01);
    assert!(api.runs() > 100);
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_needs_no_room_of_its_own() {
    let (db, api) = (script(0, false), script(0, false));
    let room = Concurrency { total: 1, per_host: 1 };
    let stage = stage(room, vec![(probe("db", 60, 60, &[]), &db), (probe("api", 5, 5, &["db"]), &api)]);
    pass(30).await;
    fails(&db, true);
    fails(&api, true);
    pass(15).await;
    assert_eq!((status(&stage, "db"), status(&stage, "api")), (Status::Fail, Status::Skipped));
}
