//! A service that is gone, silent, full, unknown, faulty or slow.

use std::{
    io::{Read, Write},
    time::Duration,
};

use super::{Bystanders, Calm, endure};
use crate::real::{
    nginx::Nginx,
    queue::Queue,
    service::{Service, answer},
    wait_until,
};

/// What turns when every run fails: the thing itself fails, the share of failures does, and speed can't be told.
const fn all_fail(health: &'static str, latency: &'static str) -> [(&'static str, &'static str); 3] {
    [("shop/health", health), ("shop/latency", latency), ("shop/error_rate", "fail limit")]
}

/// A probe with the three checks that any probe can feed.
fn shop(kind: &str) -> String {
    format!(
        "
        - name: shop
          {kind}
          interval: 300ms
          checks:
            - latency: {{p90: 250ms, window: 3s}}
            - error_rate: {{max: 40%, window: 3s}}
        "
    )
}

fn http(url: &str) -> String {
    shop(&format!("http: {{url: \"{url}\"}}"))
}

#[test]
fn a_stopped_service_is_refused() {
    let mut nginx = Nginx::start("location / { return 200 well; }");
    let beside = Bystanders::new();
    let daemon = beside.beside(&http(&nginx.url())).serve();
    let (calm, turned) = (Calm::of(&daemon), all_fail("fail refused", "unknown refused"));
    nginx.stop();
    calm.turns(&turned);
    nginx.start_again();
    calm.comes_back(&turned);
}

#[test]
fn a_frozen_service_times_out() {
    let nginx = Nginx::start("location / { return 200 well; }");
    let beside = Bystanders::new();
    let daemon = beside.beside(&http(&nginx.url())).serve();
    let turned = all_fail("fail timeout", "unknown timeout");
    endure(&daemon, &turned, || nginx.freeze(), || nginx.thaw());
}

#[test]
fn a_service_that_accepts_and_never_answers_times_out() {
    let service = Service::start();
    let beside = Bystanders::new();
    let daemon = beside.beside(&http(&service.url())).serve();
    // Until the other end gives up.
    let hangs = || service.does(|stream, _, _| stream.read_to_end(&mut Vec::new()).map(drop));
    endure(&daemon, &all_fail("fail timeout", "unknown timeout"), hangs, || service.is_well());
}

#[test]
fn a_full_accept_queue_times_out_while_connecting() {
    let queue = Queue::start();
    let beside = Bystanders::new();
    let daemon = beside.beside(&shop(&format!("tcp: {{address: \"{}\"}}", queue.address))).serve();
    let (calm, turned) = (Calm::of(&daemon), all_fail("fail timeout", "unknown timeout"));
    let waiting = queue.fill();
    calm.turns(&turned);
    let summary = daemon.check("shop/health").summary;
    assert!(summary.contains("no connection"), "{summary}");
    queue.empty(waiting);
    calm.comes_back(&turned);
}

#[test]
fn a_name_that_does_not_exist_is_not_resolved() {
    let service = Service::start();
    let beside = Bystanders::new();
    let named = |name: &str| http(&format!("http://{name}:{}/", service.address.port()));
    let home = beside.beside(&named("localhost"));
    let daemon = home.serve();
    let turned = all_fail("fail resolve", "unknown resolve");
    let turn = |name: &str| {
        beside.replace(&home, &named(name));
        let reloaded = daemon.ask("POST", "/-/reload");
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    };
    endure(&daemon, &turned, || turn("name.invalid"), || turn("localhost"));
}

/// A probe that runs often, and a service that answers every tenth request with a 500 once it is told to.
fn tenth(service: &Service, health: &str) -> String {
    format!(
        "
        - name: shop
          http: {{url: \"{}\"}}
          interval: 200ms
          checks:
            - health: {health}
            - error_rate: {{max: 5%, window: 5s, min_samples: 20}}
        ",
        service.url()
    )
}

fn fail_every_tenth(service: &Service) {
    service.does(|stream, _, n| match n % 10 {
        0 => stream.write_all(&answer("500 Internal Server Error", "", b"")),
        _ => stream.write_all(&answer("200 OK", "", b"well")),
    });
}

#[test]
fn errors_at_ten_percent_fail_the_error_rate_and_stay_below_the_threshold_of_health() {
    let service = Service::start();
    let beside = Bystanders::new();
    let daemon = beside.beside(&tenth(&service, "{failure_threshold: 2}")).serve();
    let turned = [("shop/error_rate", "fail limit")];
    let calm = Calm::of(&daemon);
    fail_every_tenth(&service);
    calm.turns(&turned);
    // There were failures, and health is not among what has turned.
    let failures = daemon.value("readiness_check_results_total{probe=\"shop\",check=\"health\",status=\"fail\"}");
    assert!(failures >= Some(1.0), "{failures:?}");
    service.is_well();
    calm.comes_back(&turned);
}

#[test]
fn errors_at_ten_percent_make_health_flicker_without_a_threshold() {
    let service = Service::start();
    let daemon = Bystanders::new().beside(&tenth(&service, "{}")).serve();
    drop(Calm::of(&daemon));
    fail_every_tenth(&service);
    for _ in 0..2 {
        let seen = daemon.wait_for("shop/health", "fail status");
        assert!(seen.summary.contains("500"), "{}", seen.summary);
        daemon.wait_for("shop/health", "pass");
    }
}

#[test]
fn slow_answers_fail_the_latency_and_nothing_else() {
    let service = Service::start();
    let beside = Bystanders::new();
    let probe = "
        - name: shop
          http: {url: \"${SHOP}\"}
          checks:
            - latency: {p50: 200ms, p99: {warn: 250ms, fail: 400ms}, window: 4s, min_samples: 3}
            - error_rate: {max: 40%, window: 4s}
        ";
    let daemon = beside.beside(probe).with("SHOP", service.url()).serve();
    let slow = || {
        service.does(|stream, _, _| {
            std::thread::sleep(Duration::from_millis(280));
            stream.write_all(&answer("200 OK", "", b"well"))
        });
    };
    endure(&daemon, &[("shop/latency", "fail limit")], slow, || service.is_well());
    wait_until("the median is exposed", || {
        let median = daemon.value("readiness_latency_seconds{probe=\"shop\",check=\"latency\",quantile=\"0.5\"}");
        median.filter(|seconds| *seconds < 0.2).ok_or(format!("{median:?}"))
    });
}
