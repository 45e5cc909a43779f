//! After an outage: the gate describes the present, and the windows weigh the outage by the time that it lasted.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::harness::{
    daemon::{Daemon, Home},
    service::{Service, http_response},
};

/// Frequent retries, a window that is far longer than the test, and one check that looks back and gates on request.
const SHOP: &str = "
    - name: shop
      http: {url: \"${SHOP}\"}
      interval: 500ms
      retry_interval: 50ms
      checks:
        - health
        - latency: {p95: 400ms, window: 10m}
        - error_rate: {max: 5%, window: 10m}
        - name: slow-or-failed
          latency: {max: 400ms, window: 10m, failed_runs: count_as_timeout}
        - name: gate-on-errors
          error_rate: {max: 5%, window: 10m}
          gate: true
    ";

fn blockers(daemon: &Daemon) -> Vec<String> {
    let list = daemon.get("/ready").json();
    let names = list["blockers"].as_array().unwrap().iter();
    names.map(|blocker| blocker["check"].as_str().unwrap().to_owned()).collect()
}

/// The finding of a share of failed runs: `error_rate is 25%, within the limit of 50% (1 of 4 runs failed, 10s of 40s)`.
fn share_and_runs(summary: &str) -> (f64, f64, f64) {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?} in {summary}"));
    let share = summary.split_once(" is ").unwrap().1.split_once('%').unwrap().0;
    let (failed, rest) = summary.split_once('(').unwrap().1.split_once(" of ").unwrap();
    (number(share), number(failed), number(rest.split_once(' ').unwrap().0))
}

#[test]
fn the_gate_recovers_with_the_target_and_retries_do_not_inflate_the_outage() {
    let service = Service::start();
    let home = Home::new(&[SHOP]).with("SHOP", service.url());
    let start = Instant::now();
    let daemon = home.serve();
    for check in ["health", "latency", "error_rate", "gate-on-errors"] {
        daemon.wait_for(&format!("shop/{check}"), "pass");
    }
    assert_eq!(blockers(&daemon), [""; 0]);
    std::thread::sleep(Duration::from_secs(6));

    let outage = Instant::now();
    service.set_behaviour(|stream, _, _| stream.write_all(&http_response("503 Service Unavailable", "", b"")));
    daemon.wait_for("shop/health", "fail status");
    daemon.wait_for("shop/error_rate", "fail limit");
    std::thread::sleep(Duration::from_secs(2));
    assert!(blockers(&daemon).contains(&"shop/health".to_owned()));
    service.reset();
    daemon.wait_for("shop/health", "pass");
    let lasted = outage.elapsed().as_secs_f64();

    let latency = daemon.wait_for("shop/latency", "pass").summary;
    assert!(latency.contains(" runs failed in 10m)"), "{latency}");
    daemon.wait_for("shop/slow-or-failed", "fail limit");
    assert_eq!(blockers(&daemon), ["shop/gate-on-errors"], "only the check that was asked to gate");

    let told = daemon.wait_for("shop/error_rate", "fail limit");
    assert!(!told.gate && !daemon.check("shop/slow-or-failed").gate && daemon.check("shop/latency").gate);
    let (share, failed, runs) = share_and_runs(&told.summary);
    let (of_time, of_runs) = (100.0 * lasted / start.elapsed().as_secs_f64(), 100.0 * failed / runs);
    assert!(of_runs > 1.5 * share, "{} (outage: {of_time}% of the time, {of_runs}% of the runs)", told.summary);
    assert!(share < of_time + 8.0, "{} (outage: {of_time}% of the time)", told.summary);

    // The window goes on after a restart.
    daemon.terminate();
    let restarted = home.serve();
    restarted.wait_for("shop/health", "pass");
    let (share_after, failed_after, _) = share_and_runs(&restarted.wait_for("shop/error_rate", "fail limit").summary);
    assert_eq!(failed_after, failed);
    assert!(share_after <= share + 1.0, "{share_after} after {share}");
}
