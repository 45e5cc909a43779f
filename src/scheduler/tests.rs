mod dependencies;
mod random_graphs;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    checks::{fixture::Nothing, health::Health},
    kind::CheckEntry,
};
use crate::{
    kind::{Detail, RunReport},
    model::{
        check::CheckLimits,
        failure::Failure,
        observation::Timing,
        verdict::Verdict,
        words::{Outcome, Reason},
    },
    settings::{CheckInfo, Concurrency},
};

/// A probe with scripted durations and failures that counts its concurrent runs.
#[derive(Default)]
struct Script {
    host: Option<&'static str>,
    takes: Duration,
    fails: AtomicBool,
    now: AtomicU32,
    most: AtomicU32,
    runs: AtomicU32,
}

impl Script {
    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Job for Script {
    fn host(&self) -> Option<&str> {
        self.host
    }
    fn limits(&self) -> Vec<CheckLimits> {
        Vec::new()
    }
    fn save(&self) -> Vec<Option<Box<serde_json::value::RawValue>>> {
        Vec::new()
    }
    fn restore(&self, _: usize, _: &serde_json::value::RawValue) {}
    fn run(&self, _: Detail) -> BoxFuture<'_, RunReport> {
        Box::pin(async {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(self.takes).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            self.runs.fetch_add(1, Ordering::SeqCst);
            report(self.takes, self.fails.load(Ordering::SeqCst))
        })
    }
}

fn report(takes: Duration, fails: bool) -> RunReport {
    let outcome = if fails { Outcome::Fail(Reason::Refused) } else { Outcome::Pass };
    RunReport {
        at: Timestamp::now(),
        duration: takes,
        phases: Vec::new(),
        failure: fails.then(|| Failure::new(Reason::Refused, "nobody there")),
        samples: Vec::new(),
        verdicts: vec![Verdict::new(outcome, "as scripted")],
        panics: 0,
        facts: None,
    }
}

fn probe(name: &str, interval: u64, retry: u64, depends_on: &[&str]) -> Arc<ProbeInfo> {
    let check = CheckInfo::of(&CheckEntry::<Nothing>::new::<Health>().descriptor);
    Arc::new(ProbeInfo {
        title: String::new(),
        name: name.into(),
        kind: "script",
        service: String::new(),
        target: String::new(),
        labels: Default::default(),
        timing: Timing {
            interval: Duration::from_secs(interval),
            retry_interval: Duration::from_secs(retry),
            timeout: Duration::from_secs(1),
        },
        depends_on: depends_on.iter().map(|&name| name.to_owned()).collect(),
        enabled: true,
        disabled_reason: String::new(),
        phases: &[],
        checks: vec![Arc::new(check)],
    })
}

struct Stage {
    board: Arc<Board>,
    scheduler: Scheduler,
    stop: CancellationToken,
    limiter: ConcurrencyLimiter,
}

fn stage(concurrency: Concurrency, probes: Vec<(Arc<ProbeInfo>, &Arc<Script>)>) -> Stage {
    let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
    board.replace_probes(
        probes.iter().map(|(info, _)| (Arc::clone(info), Vec::new())).collect(),
        |_| false,
        Timestamp::now(),
    );
    let mut scheduler = Scheduler::new(Arc::clone(&board), tokio::runtime::Handle::current(), stop.clone());
    let limiter = ConcurrencyLimiter::new(concurrency);
    for (info, job) in probes {
        scheduler.start(info, Arc::clone(job) as Arc<dyn Job>, limiter.clone());
    }
    Stage { board, scheduler, stop, limiter }
}

const WIDE: Concurrency = Concurrency { total: 100, per_host: 100 };

fn script(takes: u64, fails: bool) -> Arc<Script> {
    Arc::new(Script {
        takes: Duration::from_millis(takes),
        fails: fails.into(),
        host: Some("target"),
        ..Script::default()
    })
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_runs_once_in_each_interval() {
    let job = script(100, false);
    let stage = stage(WIDE, vec![(probe("api", 10, 10, &[]), &job)]);
    pass(100).await;
    assert_eq!(job.runs(), 10);
    let state = stage.board.probe("api").unwrap();
    assert_eq!((state.runs, state.overruns, state.checks[0].status), (10, 0, Status::Pass));
    assert!(state.last.as_ref().unwrap().lateness < 0.01);
}

#[tokio::test(start_paused = true)]
async fn a_failing_probe_runs_at_its_retry_interval() {
    let job = script(0, true);
    let _stage = stage(WIDE, vec![(probe("api", 10, 2, &[]), &job)]);
    pass(100).await;
    assert!((48..=50).contains(&job.runs()), "{}", job.runs());
}

#[tokio::test(start_paused = true)]
async fn runs_never_overlap_and_left_out_runs_are_counted() {
    let job = script(25_000, false);
    let stage = stage(WIDE, vec![(probe("slow", 10, 10, &[]), &job)]);
    pass(120).await;
    assert_eq!(job.most.load(Ordering::SeqCst), 1);
    let state = stage.board.probe("slow").unwrap();
    assert!(state.overruns >= 2 * (state.runs - 1), "{} runs, {} overruns", state.runs, state.overruns);
}

#[tokio::test(start_paused = true)]
async fn room_is_bounded_overall_and_a_hanging_host_holds_up_only_its_own_probes() {
    let (hanging, quick) = (script(9_000, false), Arc::new(Script { host: Some("quick"), ..Script::default() }));
    let mut probes: Vec<_> = (0..30).map(|n| (probe(&format!("hanging-{n}"), 10, 10, &[]), &hanging)).collect();
    probes.push((probe("quick", 10, 10, &[]), &quick));
    let stage = stage(Concurrency { total: 4, per_host: 3 }, probes);
    pass(60).await;
    assert_eq!(hanging.most.load(Ordering::SeqCst), 3);
    assert!(quick.runs() >= 5, "{}", quick.runs());
    assert!(stage.board.probe("quick").unwrap().last.as_ref().unwrap().lateness < 0.01);
    let late =
        (0..30).filter_map(|n| stage.board.probe(&format!("hanging-{n}"))?.last.as_ref().map(|run| run.lateness));
    assert!(late.fold(0.0, f64::max) > 5.0, "what waits for room is late, and says so");
}

#[tokio::test(start_paused = true)]
async fn while_a_dependency_fails_all_dependent_probes_are_skipped() {
    let (broken, one, two) = (script(0, true), script(0, false), script(0, false));
    let probes = vec![
        (probe("leaf", 10, 10, &["middle"]), &two),
        (probe("middle", 10, 10, &["root"]), &one),
        (probe("root", 10, 10, &[]), &broken),
    ];
    let stage = stage(WIDE, probes);
    pass(60).await;
    assert_eq!((one.runs(), two.runs()), (0, 0), "not even once before the dependency was known");
    for name in ["middle", "leaf"] {
        assert_eq!(stage.board.probe(name).unwrap().checks[0].status, Status::Skipped);
    }
    assert_eq!(stage.board.probe("middle").unwrap().checks[0].summary(), "skipped while root fails");
    assert!(!stage.board.snapshot().is_ready());
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_a_run_end_and_begins_no_other() {
    let job = script(500, false);
    let mut stage = stage(WIDE, vec![(probe("api", 1, 1, &[]), &job)]);
    while job.now.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = job.runs();
    stage.stop.cancel();
    stage.scheduler.drain().await;
    assert_eq!(job.runs(), before + 1);
    assert_eq!(job.now.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_stops_in_the_middle_of_its_run_and_gives_its_room_back() {
    let (hanging, next) = (script(3_600_000, false), script(0, false));
    let mut stage = stage(Concurrency { total: 1, per_host: 1 }, vec![(probe("old", 10, 10, &[]), &hanging)]);
    pass(20).await;
    stage.board.replace_probes(vec![(probe("new", 10, 10, &[]), Vec::new())], |_| false, Timestamp::now());
    stage.scheduler.drop_probe("old");
    stage.scheduler.start(probe("new", 10, 10, &[]), Arc::clone(&next) as Arc<dyn Job>, stage.limiter.clone());
    pass(30).await;
    assert!(next.runs() >= 2);
    assert!(stage.board.probe("old").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_result_older_than_three_intervals_becomes_unknown() {
    let job = script(0, false);
    let mut stage = stage(WIDE, vec![(probe("api", 10, 10, &[]), &job)]);
    pass(15).await;
    stage.scheduler.drop_probe("api");
    let last = stage.board.probe("api").unwrap().last.as_ref().unwrap().at;
    assert!(stage.board.expire_stale(last + Duration::from_secs(30)).is_empty());
    let changes = stage.board.expire_stale(last + Duration::from_secs(31));
    assert_eq!((changes[0].1.from, changes[0].1.to), (Status::Pass, Status::Unknown));
    assert!(stage.board.expire_stale(last + Duration::from_secs(99)).is_empty(), "said once");
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_of_the_exporter_skip_no_dependents() {
    let job = script(0, false);
    let stage = stage(WIDE, vec![(probe("db", 1_000, 1_000, &[]), &job)]);
    pass(1_000).await;
    let dependencies = ["db".to_owned(), "db/health".to_owned()];
    let cause = |name: &String| stage.board.failing_dependency(std::slice::from_ref(name), Timestamp::now());
    let refused = report(Duration::ZERO, true);
    stage.board.record("db", refused, 0.0);
    assert!(dependencies.iter().all(|name| cause(name).is_some()), "the target fails");

    let mut refused = report(Duration::ZERO, true);
    refused.failure = refused.failure.map(|failure| failure.of_exporter("no credentials"));
    refused.verdicts = refused.verdicts.into_iter().map(|verdict| verdict.of_exporter("no credentials")).collect();
    stage.board.record("db", refused, 0.0);
    assert_eq!(stage.board.probe("db").unwrap().checks[0].status, Status::Fail, "the health check still fails");
    assert!(dependencies.iter().all(|name| cause(name).is_none()), "nothing is known about the target");
}

#[tokio::test(start_paused = true)]
async fn what_was_skipped_runs_soon_after_its_dependency_has_recovered() {
    let (root, rare) = (script(0, true), script(0, false));
    let probes = vec![(probe("rare", 3_600, 3_600, &["root"]), &rare), (probe("root", 10, 10, &[]), &root)];
    let stage = stage(WIDE, probes);
    pass(300).await;
    assert_eq!(stage.board.probe("rare").unwrap().checks[0].status, Status::Skipped);
    assert_eq!(stage.board.probe("rare").unwrap().checks[0].results(Status::Skipped), 1, "counted once in an interval");
    root.fails.store(false, Ordering::SeqCst);
    pass(20).await;
    assert_eq!((rare.runs(), stage.board.probe("rare").unwrap().checks[0].status), (1, Status::Pass));
    pass(3_600).await;
    assert_eq!(rare.runs(), 2, "and then keeps to its interval");
}

/// The dependency takes longer than the interval of its dependent, which waits for the first result.
#[tokio::test(start_paused = true)]
async fn waiting_for_the_first_run_of_a_dependency_is_no_overrun_and_no_late_start() {
    let (slow, quick) = (script(900, false), script(200, false));
    let probes = vec![(probe("root", 60, 60, &[]), &slow), (probe("leaf", 1, 1, &["root"]), &quick)];
    let stage = stage(WIDE, probes);
    pass(90).await;
    let leaf = stage.board.probe("leaf").unwrap();
    assert!(quick.runs() > 30, "{}", quick.runs());
    let lateness = leaf.last.as_ref().unwrap().lateness;
    assert!(leaf.overruns == 0 && lateness < 0.01, "{} overruns, {lateness} s late", leaf.overruns);
}

/// A probe whose run blocks the thread without an await point until the test releases it.
struct Busy(Mutex<(mpsc::Sender<()>, mpsc::Receiver<()>)>);

impl Job for Busy {
    fn host(&self) -> Option<&str> {
        None
    }
    fn limits(&self) -> Vec<CheckLimits> {
        Vec::new()
    }
    fn save(&self) -> Vec<Option<Box<serde_json::value::RawValue>>> {
        Vec::new()
    }
    fn restore(&self, _: usize, _: &serde_json::value::RawValue) {}
    fn run(&self, _: Detail) -> BoxFuture<'_, RunReport> {
        let ends = self.0.lock().unwrap();
        ends.0.send(()).unwrap();
        ends.1.recv().unwrap();
        Box::pin(std::future::ready(report(Duration::ZERO, false)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_after_its_probe_was_replaced_says_nothing_of_its_successor() {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let busy = Arc::new(Busy(Mutex::new((begun, may_go_on))));
    let mut stage = stage(WIDE, vec![]);
    let info = probe("api", 1, 1, &[]);
    stage.board.replace_probes(vec![(Arc::clone(&info), Vec::new())], |_| false, Timestamp::now());
    stage.scheduler.start(info, busy, stage.limiter.clone());
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    stage.scheduler.drop_probe("api");
    stage.board.replace_probes(vec![(probe("api", 1, 1, &[]), Vec::new())], |_| false, Timestamp::now());
    go_on.send(()).unwrap();
    stage.scheduler.drain().await;
    assert_eq!(stage.board.probe("api").unwrap().runs, 0);
}
