//! A service that is gone, silent, full, unknown, faulty or slow.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{Bystanders, Calm, Fault, HTTP, TCP};
use crate::harness::{
    daemon::{Daemon, Home},
    nginx::Nginx,
    queue::Queue,
    service::{Service, http_response},
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
            - health
            - latency: {{p90: 250ms, window: 3s}}
            - error_rate: {{max: 40%, window: 3s}}
        "
    )
}

fn http(url: &str) -> String {
    shop(&format!("http: {{url: \"{url}\"}}"))
}

fn well() -> Nginx {
    Nginx::start("location / { return 200 well; }")
}

pub(crate) fn stopped() -> Fault {
    let nginx = well();
    let (url, turned) = (nginx.url(), all_fail("fail refused", "unknown refused"));
    let home = Bystanders::new().beside(&http(&url));
    Fault::of(home, &turned, nginx, Nginx::stop, Nginx::start_again).seen_by(HTTP, url)
}

#[test]
fn a_stopped_service_is_refused() {
    stopped().endure();
}

pub(crate) fn frozen() -> Fault {
    let nginx = well();
    let (url, turned) = (nginx.url(), all_fail("fail timeout", "unknown timeout"));
    let home = Bystanders::new().beside(&http(&url));
    Fault::of(home, &turned, nginx, |nginx| nginx.freeze(), |nginx| nginx.thaw()).seen_by(HTTP, url)
}

#[test]
fn a_frozen_service_times_out() {
    frozen().endure();
}

/// A service for a probe of the kind `http`, and what it does for a while.
fn of_service(
    probe: &str,
    turned: &[(&'static str, &'static str)],
    breaks: impl FnMut(&mut Service) + Send + 'static,
) -> Fault {
    let service = Service::start();
    let url = service.url();
    let home = Bystanders::new().beside(probe).with("SHOP", &*url);
    Fault::of(home, turned, service, breaks, |service| service.reset()).seen_by(HTTP, url)
}

pub(crate) fn hanging() -> Fault {
    // Until the other end gives up.
    let hangs =
        |service: &mut Service| service.set_behaviour(|stream, _, _| stream.read_to_end(&mut Vec::new()).map(drop));
    of_service(&http("${SHOP}"), &all_fail("fail timeout", "unknown timeout"), hangs)
}

#[test]
fn a_service_that_accepts_and_never_answers_times_out() {
    hanging().endure();
}

pub(crate) fn full_queue() -> Fault {
    let queue = Queue::start();
    let address = queue.address.to_string();
    let home = Bystanders::new().beside(&shop(&format!("tcp: {{address: \"{address}\"}}")));
    let fills = |(queue, waiting): &mut (Queue, Vec<TcpStream>)| *waiting = queue.fill();
    let turned = all_fail("fail timeout", "unknown timeout");
    Fault::of(home, &turned, (queue, vec![]), fills, |(queue, waiting)| queue.empty(std::mem::take(waiting)))
        .seen_by(TCP, address)
}

#[test]
fn a_full_accept_queue_times_out_while_connecting() {
    full_queue().says("shop/health", "no connection").endure();
}

pub(crate) fn unknown_name() -> Fault {
    let (service, beside) = (Service::start(), Bystanders::new());
    let port = service.address.port();
    let named = move |name| http(&format!("http://{name}:{port}/"));
    let home = beside.beside(&named("localhost"));
    let turn = move |name| {
        let named = named(name);
        move |(home, beside): &mut (Home, Bystanders), daemon: &Daemon| {
            beside.replace(home, &named);
            let reloaded = daemon.ask("POST", "/-/reload");
            assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        }
    };
    let turned = all_fail("fail resolve", "unknown resolve");
    Fault::told(home.clone(), &turned, (home, beside), turn("name.invalid"), turn("localhost"))
}

#[test]
fn a_name_that_does_not_exist_is_not_resolved() {
    unknown_name().endure();
}

/// A probe that runs often, of a service that answers every tenth request with a 500 once it is told to.
fn every_tenth(health: &str) -> Fault {
    let probe = format!(
        "
        - name: shop
          http: {{url: \"${{SHOP}}\"}}
          interval: 200ms
          checks:
            - health: {health}
            - error_rate: {{max: 5%, window: 5s, min_samples: 20}}
              gate: true
        "
    );
    let fails = |service: &mut Service| {
        service.set_behaviour(|stream, _, n| match n % 10 {
            0 => stream.write_all(&http_response("500 Internal Server Error", "", b"")),
            _ => stream.write_all(&http_response("200 OK", "", b"well")),
        });
    };
    of_service(&probe, &[("shop/error_rate", "fail limit")], fails)
}

pub(crate) fn errors() -> Fault {
    every_tenth("{failure_threshold: 2}")
}

#[test]
fn errors_at_ten_percent_fail_the_error_rate_and_stay_below_the_threshold_of_health() {
    let daemon = errors().endure();
    // There were failures, and health is not among what has turned.
    let failures = daemon.value("readiness_check_results_total{probe=\"shop\",check=\"health\",status=\"fail\"}");
    assert!(failures >= Some(1.0), "{failures:?}");
}

#[test]
fn errors_at_ten_percent_make_health_flicker_without_a_threshold() {
    let mut fault = every_tenth("{}");
    let daemon = fault.serve();
    drop(Calm::of(&daemon));
    fault.breaks(&daemon);
    for _ in 0..2 {
        let seen = daemon.wait_for("shop/health", "fail status");
        assert!(seen.summary.contains("500"), "{}", seen.summary);
        daemon.wait_for("shop/health", "pass");
    }
}

pub(crate) fn slow() -> Fault {
    let probe = "
        - name: shop
          http: {url: \"${SHOP}\"}
          checks:
            - health
            - latency: {p50: 200ms, p99: {warn: 250ms, fail: 400ms}, window: 4s, min_samples: 3}
            - error_rate: {max: 40%, window: 4s}
        ";
    let slow = |service: &mut Service| {
        service.set_behaviour(|stream, _, _| {
            std::thread::sleep(Duration::from_millis(280));
            stream.write_all(&http_response("200 OK", "", b"well"))
        });
    };
    of_service(probe, &[("shop/latency", "fail limit")], slow)
}

#[test]
fn slow_answers_fail_the_latency_and_nothing_else() {
    let daemon = slow().endure();
    wait_until("the median is exposed", || {
        let median = daemon.value("readiness_latency_seconds{probe=\"shop\",check=\"latency\",percentile=\"p50\"}");
        median.filter(|seconds| *seconds < 0.2).ok_or(format!("{median:?}"))
    });
}
