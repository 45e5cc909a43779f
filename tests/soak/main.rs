//! The daemon for a long while under a bad day: `cargo bench --bench soak -- --minutes 30`.
//!
//! Two thousand probes watch targets that are healthy, fail in several ways, hang, or restart; the configuration is
//! reloaded all the time, now and then with a broken file; twenty clients scrape and others read slowly or never end
//! their request. At the end memory, descriptors, threads and tasks must be where they were after the first quarter,
//! no probe may have gone stale at any time, and every verdict must be the one that its target deserves.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that measures, run by hand: what goes wrong ends it"
)]

mod clients;
mod curve;
mod targets;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use self::{
    curve::{Curve, Point},
    targets::Group,
};

/// Between two looks at the daemon.
const LOOK: Duration = Duration::from_secs(10);
/// Between two reloads.
const RELOAD: Duration = Duration::from_secs(45);
/// One reload in so many has a broken file.
const SPOILT: usize = 5;
const SCRAPERS: usize = 20;
const SLOW_CLIENTS: usize = 20;

fn main() {
    let minutes = minutes().unwrap_or_else(|problem| {
        println!("{problem}\nusage: cargo bench --bench soak -- [--minutes N]   (default 30)");
        std::process::exit(2);
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if !runtime.block_on(soak(Duration::from_secs_f64(minutes * 60.0))) {
        std::process::exit(1);
    }
}

fn minutes() -> Result<f64, String> {
    // Cargo itself adds --bench.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(30.0),
        (Some("--minutes"), Some(number)) => match number.parse::<f64>() {
            Ok(minutes) if (0.5..=10_000.0).contains(&minutes) => Ok(minutes),
            _ => Err(format!("{number:?} is not a number of minutes from 0.5 up")),
        },
        (Some(other), _) => Err(format!("unknown argument {other:?}")),
    }
}

async fn soak(lasts: Duration) -> bool {
    let stay = CancellationToken::new();
    let groups = targets::start(&stay).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("readiness.yaml");
    write(&file, &configuration(&groups, folder.path(), 0));
    let daemon = Daemon::start(&file);
    let clients = clients::start(daemon.address, SCRAPERS, SLOW_CLIENTS);

    println!(
        "{} probes for {:.0} minutes",
        groups.iter().map(|group| group.probes).sum::<usize>(),
        lasts.as_secs_f64() / 60.0
    );
    println!("{}", Point::HEAD);
    let (start, mut curve) = (Instant::now(), Curve::default());
    let (mut look, mut reload, mut reloads) = (interval(LOOK), Instant::now() + RELOAD, 0);
    look.tick().await;
    while start.elapsed() < lasts {
        look.tick().await;
        if Instant::now() >= reload {
            reload += RELOAD;
            reloads += 1;
            daemon.reload(&file, &groups, folder.path(), reloads).await;
        }
        let page = daemon.page().await;
        let point = Point::of(start.elapsed(), daemon.child.id(), &page, clients.scrapes());
        println!("{point}");
        curve.push(point);
    }
    // What comes and goes is there again, and all have looked at it.
    stay.cancel();
    sleep(targets::INTERVAL * 7).await;
    let page = daemon.page().await;
    println!("\n{reloads} reloads, {} scrapes, {} slow clients served or cut off", clients.scrapes(), clients.slow());
    let problems: Vec<String> =
        [curve.problems(), verdicts(&groups, &page), clients.problems(), daemon.end(reloads / SPOILT)].concat();
    problems.iter().for_each(|problem| println!("PROBLEM: {problem}"));
    println!("{}", if problems.is_empty() { "flat, and nothing went stale" } else { "not good" });
    problems.is_empty()
}

/// Every probe of a group has the status that its target deserves.
fn verdicts(groups: &[Group], page: &str) -> Vec<String> {
    let count = |group: &Group, status: &str| {
        let (start, end) = (
            format!("readiness_check_status{{probe=\"{}-", group.name),
            format!("check=\"health\",status=\"{status}\"}} 1"),
        );
        page.lines().filter(|line| line.starts_with(&start) && line.ends_with(&end)).count()
    };
    let wrong = |group: &Group| {
        let found = count(group, group.status);
        (found != group.probes)
            .then(|| format!("{found} of {} probes of {} are {}", group.probes, group.name, group.status))
    };
    groups.iter().filter_map(wrong).collect()
}

/// Each generation names a twentieth of the probes anew and changes what another twentieth asks for.
fn configuration(groups: &[Group], state: &Path, generation: usize) -> String {
    let probe = |group: &Group, n: usize| {
        let name = if n % 20 == 7 { format!("{}-{n}-{generation}", group.name) } else { format!("{}-{n}", group.name) };
        let max = if n % 20 == 11 { 50 + generation % 2 } else { 50 };
        format!(
            "  - {{name: {name}, {}, checks: [health, {{latency: {{p95: 1s, window: 5m}}}}, {{error_rate: {{max: {max}%, window: 5m}}}}]}}\n",
            group.probe
        )
    };
    let probes: String = groups.iter().flat_map(|group| (0..group.probes).map(move |n| probe(group, n))).collect();
    format!(
        "server: {{listen: ['127.0.0.1:0'], lifecycle: true}}\nstate: {}\nconcurrency: {{per_host: 64}}\ndefaults: {{interval: {}s, timeout: {}s}}\nprobes:\n{probes}",
        state.join("state").display(),
        targets::INTERVAL.as_secs(),
        targets::TIMEOUT.as_secs(),
    )
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).expect("the configuration can be written");
}

struct Daemon {
    child: std::process::Child,
    address: SocketAddr,
    log: std::path::PathBuf,
}

impl Daemon {
    /// Starts the real program and waits until it says where it listens.
    fn start(file: &Path) -> Self {
        let log = file.with_file_name("log");
        let child = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"))
            .args(["serve", "--log.level", "warn,readiness_exporter::cli=info", "--config.file"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the daemon starts");
        let listens = || {
            let text = fs::read_to_string(&log).ok()?;
            text.split("listen=").nth(1)?.split_whitespace().next()?.trim_matches('"').parse().ok()
        };
        for _ in 0..600 {
            if let Some(address) = listens() {
                return Self { child, address, log };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the daemon doesn't say where it listens: {}", fs::read_to_string(&log).unwrap_or_default());
    }

    async fn page(&self) -> String {
        clients::get(self.address, "GET", "/metrics").await.unwrap_or_else(|error| panic!("no page: {error}"))
    }

    /// Some files are broken and must be refused; the others must be taken.
    async fn reload(&self, file: &Path, groups: &[Group], state: &Path, generation: usize) {
        let text = configuration(groups, state, generation);
        let broken = generation.is_multiple_of(SPOILT);
        write(file, &if broken { text.replacen("tcp", "tpc", 1) } else { text });
        let done = clients::get(self.address, "POST", "/-/reload").await;
        assert_eq!(done.is_err(), broken, "reload {generation}: {done:?}");
    }

    /// Stops it as an init system does.
    fn end(mut self, refused: usize) -> Vec<String> {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let ended = self.child.wait().expect("it was started here");
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let bad = log.lines().filter(|line| line.contains("panic") || line.contains("level=error"));
        let (refusals, bad): (Vec<&str>, Vec<&str>) =
            bad.partition(|line| line.contains("the new configuration is invalid"));
        let mut problems: Vec<String> = bad.iter().take(5).map(|line| format!("the log says: {line}")).collect();
        if refusals.len() != refused {
            problems.push(format!("the log tells of {} refused files, not of {refused}", refusals.len()));
        }
        if !ended.success() {
            problems.push(format!("the daemon ended with {ended}"));
        }
        problems
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
