//! Five thousand http probes every ten seconds against one local target: starts keep to their plan, no run is lost.

use std::{
    collections::HashMap,
    fmt::Write,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use readiness_exporter::{
    app::App,
    settings::{self, Sources},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

const PROBES: u64 = 5_000;
const INTERVAL: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 4;
const LIMIT: f64 = 0.050;

/// Runs it and tells whether the limits hold.
pub(crate) fn run() -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = listener.local_addr().expect("an address");
    std::thread::spawn(move || runtime().block_on(serve(listener)));
    runtime().block_on(measure(target))
}

/// One thread, as the daemon has it.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn measure(target: SocketAddr) -> bool {
    let mut text =
        format!("server: {{listen: ['127.0.0.1:0']}}\ndefaults: {{interval: {}s}}\nprobes:\n", INTERVAL.as_secs());
    for n in 0..PROBES {
        writeln!(text, "  - {{name: probe-{n}, http: {{url: 'http://{target}/'}}}}").expect("a string");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let sources = Sources { path: folder.path().join("readiness.yaml"), ..Sources::default() };
    std::fs::write(&sources.path, text).expect("a file");
    let load = Arc::new(move || settings::load(&sources));
    let app = App::build(load).await.unwrap_or_else(|error| panic!("{error}"));
    let (board, stop) = (app.board(), CancellationToken::new());
    let daemon = tokio::spawn(app.run(stop.clone()));

    // The first round starts everything; the ones after it are measured.
    tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
    let before: HashMap<String, u64> =
        board.snapshot().probes.iter().map(|probe| (probe.info.name.clone(), probe.runs)).collect();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut seen = HashMap::new();
    let mut lateness = Vec::new();
    while start.elapsed() < INTERVAL * ROUNDS {
        tokio::time::sleep(INTERVAL / 4).await;
        for probe in &board.snapshot().probes {
            let Some(last) = &probe.last else { continue };
            if seen.insert(probe.info.name.clone(), last.at) != Some(last.at) {
                lateness.push(last.lateness);
            }
        }
    }
    let cpu = cpu_seconds() - cpu;
    let end = board.snapshot();
    stop.cancel();
    daemon.await.expect("the daemon ends").expect("the daemon ends well");

    let lost = end
        .probes
        .iter()
        .filter(|probe| probe.overruns > 0 || probe.runs - before[&probe.info.name] < u64::from(ROUNDS))
        .count();
    let failed: u64 = end.probes.iter().map(|probe| u64::from(probe.failures.iter().sum::<u32>())).sum();
    lateness.sort_by(f64::total_cmp);
    let at = |quantile: f64| lateness[((lateness.len() - 1) as f64 * quantile) as usize] * 1e3;
    println!("{} runs measured of {PROBES} probes every {INTERVAL:?}", lateness.len());
    println!(
        "lateness: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms (limit: p99 {} ms)",
        at(0.5),
        at(0.99),
        at(1.0),
        LIMIT * 1e3
    );
    println!(
        "lost runs: {lost}, failed runs: {failed}, CPU of daemon and target: {:.2} of a core",
        cpu / start.elapsed().as_secs_f64()
    );
    at(0.99) < LIMIT * 1e3 && lost == 0 && failed == 0
}

/// Answers whatever comes with the same short page.
async fn serve(listener: std::net::TcpListener) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 2048];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
            }
        });
    }
}

/// CPU time of this process so far, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}
