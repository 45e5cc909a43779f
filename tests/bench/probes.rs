//! CPU of a run of the probes that talk to the network, against a bare program that does the same: a fresh
//! connection, one exchange.
//!
//! Ours is the CPU of a whole process, divided by the runs in it: the probe with its phases, `health`, `latency` over
//! some twenty runs, `error_rate`, the board. Back to back it is the runs alone, two hundred probes in turn; paced it is
//! the daemon itself with fifty probes that run once a second, timers and wake-ups included. The targets are served by
//! this process, which nobody counts.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use crate::{
    daemon::Daemon,
    floor::{Floor, Pace},
    one_shot, peers,
    table::{self, Limit, Row},
    target::Target,
};

/// `http` on a fresh connection.
pub(crate) fn http() -> bool {
    compare("http", &Target::http(), 1.6)
}

/// `https`: a whole handshake of TLS 1.3, the certificate verified.
pub(crate) fn https() -> bool {
    compare("https", &Target::https(), 0.8)
}

/// `tcp`: connects and hangs up.
pub(crate) fn tcp() -> bool {
    compare("tcp", &Target::tcp(), 1.6)
}

/// So often both are measured, in turns.
pub(crate) const TURNS: usize = 5;

fn compare(kind: &str, target: &Target, limit: f64) -> bool {
    let floor = Floor::build();
    table::head();
    let mut good = true;
    for (pace, name) in [(Pace::BackToBack, "back to back"), (Pace::Paced, "50 a second")] {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            bare.push(floor.exchange(kind, target.port, pace, target.authority()));
            ours.push(run(&floor, kind, target, pace));
        }
        let row = Row {
            what: &format!("{kind}, {name}"),
            floor: Some(table::median(bare)),
            ours: table::median(ours),
            limit: Limit::Ratio(limit),
            peer: peers::blackbox(&floor, kind, target, pace),
        };
        good &= row.print();
    }
    good
}

/// CPU of one run, in microseconds.
fn run(floor: &Floor, kind: &str, target: &Target, pace: Pace) -> f64 {
    let configuration = configuration(kind, target, pace);
    if pace == Pace::BackToBack {
        let rounds = if target.authority().is_some() { 10 } else { 100 };
        return one_shot::cost(floor, &configuration, rounds);
    }
    let daemon = Daemon::start(&configuration);
    std::thread::sleep(Duration::from_secs(1));
    let (cpu, served, start) = (floor.cpu_of(daemon.id()), target.served(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let (cpu, runs) = (floor.cpu_of(daemon.id()) - cpu, target.served() - served);
    let rate = runs as f64 / start.elapsed().as_secs_f64();
    assert!((45.0..55.0).contains(&rate), "{rate} runs a second instead of 50");
    assert_eq!(daemon.sum("readiness_probe_failures_total"), 0.0, "runs failed");
    cpu.as_secs_f64() * 1e6 / runs as f64
}

fn configuration(kind: &str, target: &Target, pace: Pace) -> String {
    let port = target.port;
    let probe = match (kind, target.authority()) {
        ("tcp", _) => format!("tcp: {{address: '127.0.0.1:{port}'}}"),
        (_, None) => format!("http: {{url: 'http://127.0.0.1:{port}/'}}"),
        (_, Some(ca)) => format!("http: {{url: 'https://127.0.0.1:{port}/', tls: {{ca: '{}'}}}}", ca.display()),
    };
    let (probes, window, room) = match pace {
        Pace::BackToBack => (200, "1s", 1),
        Pace::Paced => (50, "20s", 100),
    };
    let mut text = format!("defaults: {{interval: 1s}}\nconcurrency: {{total: {room}, per_host: {room}}}\nprobes:\n");
    let checks = format!("[health, latency: {{p95: 1s, window: {window}}}, error_rate: {{max: 5%, window: {window}}}]");
    for n in 0..probes {
        writeln!(text, "  - {{name: probe-{n}, {probe}, checks: {checks}}}").expect("a string");
    }
    text
}
