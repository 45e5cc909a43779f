//! CPU on our side of a run of the `postgres` probe on a kept connection: all of its facts, from a real server.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use crate::{
    daemon::Daemon,
    floor::{Floor, Pace},
    one_shot, peers,
    probes::TURNS,
    real::postgres::Postgres,
    table::{self, Limit, Row},
};

const LIMIT: Limit = Limit::Micros(60.0);
const ROLE: &str = "watcher";

pub(crate) fn run() -> bool {
    let floor = Floor::build();
    let server = Postgres::start(&["max_connections=150"]);
    server.role(ROLE, "IN ROLE pg_monitor");
    table::head();
    let mut good = true;
    for (pace, name) in [(Pace::BackToBack, "back to back"), (Pace::Paced, "50 a second")] {
        let figures = (0..TURNS).map(|_| cost(&floor, &server, pace)).collect();
        let peer = match pace {
            Pace::BackToBack => peers::postgres_exporter(&floor, &server),
            Pace::Paced => None,
        };
        let what = format!("postgres, {name}");
        good &= Row { what: &what, floor: None, ours: table::median(figures), limit: LIMIT, peer }.print();
    }
    good
}

/// CPU of one run, in microseconds.
fn cost(floor: &Floor, server: &Postgres, pace: Pace) -> f64 {
    if pace == Pace::BackToBack {
        return one_shot::cost(floor, &configuration(server, 20, 1), 100);
    }
    let daemon = Daemon::start(&configuration(server, 50, 100));
    let runs = || daemon.sum("readiness_probe_runs_total");
    std::thread::sleep(Duration::from_secs(1));
    let (before, cpu, start) = (runs(), floor.cpu_of(daemon.id()), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let cpu = floor.cpu_of(daemon.id()) - cpu;
    let (runs, time) = (runs() - before, start.elapsed().as_secs_f64());
    assert!((45.0..55.0).contains(&(runs / time)), "{runs} runs in {time} seconds instead of 50 in each");
    assert_eq!(daemon.sum("readiness_probe_failures_total"), 0.0, "runs failed");
    cpu.as_secs_f64() * 1e6 / runs
}

fn configuration(server: &Postgres, probes: u32, room: u32) -> String {
    let mut text = format!("defaults: {{interval: 1s}}\nconcurrency: {{total: {room}, per_host: {room}}}\nprobes:\n");
    let settings = server.settings(ROLE, ", sslmode: disable");
    let checks = "[health, latency: {p95: 1s, window: 20s}, error_rate: {max: 5%, window: 20s}, pool]";
    for n in 0..probes {
        writeln!(text, "  - {{name: probe-{n}, postgres: {settings}, checks: {checks}}}").expect("a string");
    }
    text
}
