//! Random dependency graphs with random thresholds and faults in simulated time: a probe is reported only for a fault
//! of its own.

use super::*;
use crate::board::Resume;

const GRAPHS: u64 = 30;
/// Simulated seconds of one graph.
const DURATION: u64 = 900;
const SAMPLE: Duration = Duration::from_millis(250);
/// Longest time from the end of a fault to the publication of a run that saw it: the run and the runs of dependencies.
const MAX_PUBLICATION_DELAY: Duration = Duration::from_secs(12);

/// SplitMix64: the same graphs in every run of the test.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }
}

/// A fault from a second to a second.
#[derive(Debug, Clone, Copy)]
struct Fault {
    start: Duration,
    end: Duration,
}

#[derive(Debug)]
struct Graph {
    origin: Instant,
    infos: Vec<Arc<ProbeInfo>>,
    /// Direct and indirect dependencies of each probe.
    ancestors: Vec<Vec<usize>>,
    faults: Vec<Vec<Fault>>,
    takes: Vec<Duration>,
    restart: Duration,
}

/// A probe whose run fails if it, or a probe that it depends on, is faulty at its start or its end.
struct Simulated {
    graph: Arc<Graph>,
    probe: usize,
}

impl Graph {
    fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 5 + random.below(10) as usize;
        let (mut infos, mut ancestors, mut faults, mut takes) =
            (Vec::new(), Vec::<Vec<usize>>::new(), Vec::new(), Vec::new());
        for n in 0..count {
            let mut direct: Vec<usize> = (0..n).filter(|_| random.one_in(n as u64 / 2 + 1)).take(3).collect();
            direct.sort_unstable();
            let mut all: Vec<usize> =
                direct.iter().flat_map(|&other| ancestors[other].iter().copied().chain([other])).collect();
            all.sort_unstable();
            all.dedup();
            ancestors.push(all);
            let interval = 1 + random.below(60);
            let names: Vec<String> = direct.iter().map(|other| format!("p{other}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut info = (*probe(&format!("p{n}"), interval, 1 + random.below(interval), &names)).clone();
            let check = Arc::make_mut(&mut info.checks[0]);
            (check.failure_threshold, check.success_threshold) =
                (1 + random.below(3) as u32, 1 + random.below(3) as u32);
            // Long enough for the threshold of the faulty probe itself.
            let shortest = interval * u64::from(check.failure_threshold + 2) + 15;
            let mut own = Vec::new();
            if random.one_in(3) {
                let start = Duration::from_millis(random.below((DURATION - shortest) * 1_000));
                own.push(Fault { start, end: start + Duration::from_millis(shortest * 1_000 + random.below(60_000)) });
            }
            infos.push(Arc::new(info));
            faults.push(own);
            takes.push(Duration::from_millis(random.below(900)));
        }
        let restart = Duration::from_secs(random.below(DURATION));
        Self { origin: Instant::now(), infos, ancestors, faults, takes, restart }
    }

    fn has_own_fault(&self, probe: usize, from: Duration, to: Duration) -> bool {
        self.faults[probe].iter().any(|fault| fault.start <= to && from <= fault.end)
    }

    fn is_faulty(&self, probe: usize) -> bool {
        let now = self.origin.elapsed();
        self.ancestors[probe].iter().chain([&probe]).any(|&one| self.has_own_fault(one, now, now))
    }

    /// Starts a board and a scheduler with what survives a restart.
    fn start(self: &Arc<Self>, before: Option<&Stage>) -> Stage {
        let jobs: Vec<_> =
            (0..self.infos.len()).map(|probe| Arc::new(Simulated { graph: Arc::clone(self), probe })).collect();
        let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
        let infos = self.infos.iter().map(|info| (Arc::clone(info), Vec::new())).collect();
        board.replace_probes(infos, |_| false, Timestamp::now());
        for info in self.infos.iter().filter(|_| before.is_some()) {
            let old = before.unwrap().board.probe(&info.name).unwrap().checks[0].clone();
            let now = Resume { status: old.status, since: old.since, streak: old.streak };
            let saved = old.resume.or(old.before_skip).unwrap_or(now);
            if !matches!(saved.status, Status::Pending | Status::Skipped) {
                board.restore(&info.name, |state| state.checks[0].resume = Some(saved));
            }
        }
        let mut scheduler = Scheduler::new(Arc::clone(&board), tokio::runtime::Handle::current(), stop.clone());
        let limiter = ConcurrencyLimiter::new(WIDE);
        for (info, job) in self.infos.iter().zip(jobs) {
            scheduler.start(Arc::clone(info), job as Arc<dyn Job>, limiter.clone());
        }
        Stage { board, scheduler, stop, limiter }
    }
}

impl Job for Simulated {
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
        Box::pin(async {
            let before = self.graph.is_faulty(self.probe);
            tokio::time::sleep(self.graph.takes[self.probe]).await;
            report(self.graph.takes[self.probe], before || self.graph.is_faulty(self.probe))
        })
    }
}

/// Runs a graph. Returns the number of reported faults.
async fn run(seed: u64) -> usize {
    let graph = Arc::new(Graph::random(seed));
    let mut stage = graph.start(None);
    let (mut has_restarted, mut reported) = (false, std::collections::BTreeSet::new());
    let mut before = vec![Status::Pending; graph.infos.len()];
    while graph.origin.elapsed() < Duration::from_secs(DURATION + 120) {
        tokio::time::sleep(SAMPLE).await;
        let now = graph.origin.elapsed();
        if !has_restarted && now > graph.restart {
            has_restarted = true;
            stage.stop.cancel();
            let next = graph.start(Some(&stage));
            stage = next;
        }
        for (probe, info) in graph.infos.iter().enumerate() {
            let status = stage.board.probe(&info.name).unwrap().checks[0].status;
            if status == Status::Fail && before[probe] != Status::Fail {
                // After a restart a check continues as failing until enough runs have passed.
                let since = if has_restarted && before[probe] == Status::Pending {
                    Duration::ZERO
                } else {
                    now.saturating_sub(MAX_PUBLICATION_DELAY)
                };
                assert!(
                    graph.has_own_fault(probe, since, now),
                    "graph {seed}: {} is reported after {now:?} without a fault of its own: {graph:#?}",
                    info.name
                );
                reported.insert(probe);
            }
            before[probe] = status;
        }
    }
    // A fault of a probe whose dependencies work is reported.
    for (probe, faults) in graph.faults.iter().enumerate() {
        let is_alone = |fault: &Fault| {
            let is_restarted = fault.start <= graph.restart && graph.restart <= fault.end;
            let is_behind = |&other: &usize| {
                graph.has_own_fault(other, fault.start.saturating_sub(Duration::from_secs(120)), fault.end)
            };
            !is_restarted && !graph.ancestors[probe].iter().any(is_behind)
        };
        if faults.iter().any(is_alone) {
            assert!(reported.contains(&probe), "graph {seed}: the fault of p{probe} is not reported: {graph:#?}");
        }
    }
    reported.len()
}

#[tokio::test(start_paused = true)]
async fn no_probe_is_reported_for_the_fault_of_a_dependency() {
    let mut reported = 0;
    for seed in 0..GRAPHS {
        reported += run(seed).await;
    }
    assert!(reported > GRAPHS as usize, "{reported} faults were reported: the graphs have too few");
}
