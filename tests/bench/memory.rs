//! Resident memory of the daemon, with ten probes of several kinds and with up to ten thousand of `http`, after every
//! history is full and the page was scraped in both formats, packed and not.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use super::exporter::{Exporter, Memory, http_probes, memory_of, target};

/// As many runs as the board remembers, and a few more.
const ROUNDS: u64 = 62;
/// KiB with ten probes.
const BASE: f64 = 8.0 * 1024.0;
/// KiB for each further probe.
const EACH: f64 = 4.0;

/// Prints it and tells whether the limits hold.
pub(crate) fn run() -> bool {
    let target = target();
    println!("after {ROUNDS} rounds and scrapes in both formats, packed and not; KiB");
    println!("{:<14} {:>8} {:>8} {:>8} {:>14}", "probes", "VmRSS", "RssAnon", "RssFile", "each further");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("one.dump"), "x").expect("a file");
    let few = measure(&mixed(target, folder.path()));
    let mut good = few.total <= BASE;
    show("10, mixed", few, few, 0, BASE, good);
    for (count, interval) in [(1_000, "1s"), (10_000, "5s")] {
        let many = measure(&http_probes(count, target, interval));
        let limit = BASE + EACH * (count - 10) as f64;
        let each = (many.total - few.total) / (count - 10) as f64;
        good &= each <= EACH;
        show(&count.to_string(), many, few, count - 10, limit, each <= EACH);
    }
    peer(target);
    good
}

fn measure(configuration: &str) -> Memory {
    let exporter = Exporter::start(configuration);
    exporter.wait("/-/ready");
    let all = ["", "Accept-Encoding: gzip\r\n"].map(|packed| {
        ["", "Accept: application/openmetrics-text; version=1.0.0\r\n"].map(|format| format!("{packed}{format}"))
    });
    while exporter.rounds() < ROUNDS {
        for headers in all.as_flattened() {
            assert_eq!(exporter.scraper("/metrics", headers).get(), 200);
        }
        sleep(Duration::from_secs(2));
    }
    exporter.memory()
}

fn show(what: &str, now: Memory, few: Memory, further: usize, limit: f64, good: bool) {
    let each = |number: f64| if further == 0 { "-".to_owned() } else { format!("{:.2}", number / further as f64) };
    println!(
        "{what:<14} {:>8} {:>8} {:>8} {:>14}  {} (VmRSS at most {limit:.0})",
        now.total,
        now.own,
        now.file,
        each(now.total - few.total),
        if good { "ok" } else { "MISSED" },
    );
}

/// What a small deployment has: services, a database that is down, files, and a page of metrics.
fn mixed(target: std::net::SocketAddr, folder: &std::path::Path) -> String {
    let port = target.port();
    let folder = folder.display();
    let mut text = "defaults: {interval: 1s}\nprobes:\n".to_owned();
    for n in 0..3 {
        text += &format!(
            "  - {{name: api-{n}, http: {{url: 'http://{target}/'}}, checks: [health, latency: {{p95: 1s}}, error_rate: {{max: 5%}}]}}\n"
        );
    }
    // No TLS there, but the trusted authorities are loaded all the same.
    text += &format!("  - {{name: web, http: {{url: 'https://{target}/'}}, checks: [health, certificate]}}\n");
    text += &format!("  - {{name: port-0, tcp: {{address: '127.0.0.1:{port}'}}}}\n");
    text += &format!(
        "  - {{name: port-1, tcp: {{address: '127.0.0.1:{port}'}}, checks: [health, latency: {{p95: 1s}}]}}\n"
    );
    text += "  - {name: db-0, postgres: {dsn: 'postgres://nobody@127.0.0.1:1/none'}, checks: [health, pool]}\n";
    text += &format!("  - {{name: numbers-0, metrics: {{url: 'http://{target}/'}}}}\n");
    text += &format!(
        "  - {{name: dump-0, backups: {{files: '{folder}/*.dump'}}, checks: [health, freshness: {{max_age: 26h}}]}}\n"
    );
    text += &format!(
        "  - {{name: dump-1, backups: {{files: '{folder}/*.dump'}}, checks: [health, retention: {{min_count: 1}}]}}\n"
    );
    text
}

/// What the peer holds after ten targets were probed for a while, where it is installed.
fn peer(target: std::net::SocketAddr) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("blackbox.yaml");
    std::fs::write(&file, "modules: {web: {prober: http}}\n").expect("a file");
    let mut command = Command::new("prometheus-blackbox-exporter");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg(format!("--config.file={}", file.display()));
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = quiet.spawn() else {
        println!("prometheus-blackbox-exporter is not installed: nothing beside it");
        return;
    };
    let ask = || -> Option<()> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        write!(stream, "GET /probe?module=web&target=http://{target}/ HTTP/1.0\r\n\r\n").ok()?;
        stream.read_to_end(&mut Vec::new()).ok().map(drop)
    };
    let asked = (0..6_000)
        .filter(|_| {
            ask().is_some() || {
                sleep(Duration::from_millis(5));
                false
            }
        })
        .take(600)
        .count();
    let memory = memory_of(child.id());
    println!(
        "prometheus-blackbox-exporter, 1 target, {asked} probes: VmRSS {} RssAnon {} RssFile {}",
        memory.total, memory.own, memory.file
    );
    let _ = child.kill();
    let _ = child.wait();
}
