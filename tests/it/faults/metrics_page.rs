//! A service's own metrics page that is none, lacks a series, or begins to count anew.

use std::{io::Write, time::Instant};

use super::{Bystanders, Calm, Fault, HTTP};
use crate::harness::{
    daemon::Home,
    service::{Service, http_response},
};

const PROBE: &str = "
    - name: numbers
      metrics: {url: \"${SHOP}\"}
      checks:
        - health
        - error_rate: {errors: orders_failed_total, total: orders_total, max: 5%, window: 4s}
        - throughput: {series: orders_total, min: 20, window: 4s}
        - latency: {histogram: orders_seconds, p95: 250ms, window: 4s}
        - pool: {used: orders_pool, size: orders_pool_max, max_utilization: {warn: 70%, fail: 90%}}
          owner: orders
        - present: {series: [orders_total], absent_for: 1m}
    ";

/// A hundred orders a second since a moment, one in a hundred of them failed, each done within a tenth of a second.
fn page(since: Instant, utilization: u32) -> Vec<u8> {
    let orders = (since.elapsed().as_secs_f64() * 100.0).floor();
    let failed = (orders / 100.0).floor();
    let text = format!(
        "# TYPE orders_total counter\norders_total {orders}\n# TYPE orders_failed_total counter\n\
         orders_failed_total {failed}\n# TYPE orders_pool gauge\norders_pool {utilization}\n\
         # TYPE orders_pool_max gauge\norders_pool_max 10\n# TYPE orders_seconds histogram\n\
         orders_seconds_bucket{{le=\"0.1\"}} {orders}\norders_seconds_bucket{{le=\"1\"}} {orders}\n\
         orders_seconds_bucket{{le=\"+Inf\"}} {orders}\norders_seconds_sum {}\norders_seconds_count {orders}\n",
        orders * 0.05
    );
    http_response("200 OK", "Content-Type: text/plain; version=0.0.4\r\n", text.as_bytes())
}

/// Begins to count anew, with so many of ten connections in use.
pub(crate) fn shows_a_page(service: &Service, utilization: u32) {
    let since = Instant::now();
    service.set_behaviour(move |stream, _, _| stream.write_all(&page(since, utilization)));
}

/// What such a service does for a while.
fn of_page(
    turned: &[(&'static str, &'static str)],
    breaks: impl FnMut(&mut Service) + Send + 'static,
    repair: impl FnMut(&mut Service) + Send + 'static,
) -> Fault {
    let (service, home) = served();
    let url = service.url();
    Fault::of(home, turned, service, breaks, repair).seen_by(HTTP, url)
}

/// A service with such a page, and a home to watch it from.
pub(crate) fn served() -> (Service, Home) {
    let service = Service::start();
    shows_a_page(&service, 3);
    let home = Bystanders::new().beside(PROBE).with("SHOP", service.url());
    (service, home)
}

pub(crate) fn html() -> Fault {
    let turned = [
        ("numbers/health", "fail parse"),
        ("numbers/error_rate", "unknown parse"),
        ("numbers/throughput", "unknown parse"),
        ("numbers/latency", "unknown parse"),
        ("numbers/pool", "unknown parse"),
        ("numbers/present", "unknown parse"),
    ];
    let html = b"<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head><body>Welcome!</body></html>\n";
    let login = http_response("200 OK", "Content-Type: text/html\r\n", html);
    of_page(&turned, move |service| service.set_response(login.clone()), |service| shows_a_page(service, 3))
}

#[test]
fn a_page_that_is_html_is_no_metrics_page() {
    html().endure();
}

/// As after a restart of the service: nothing turns.
pub(crate) fn counter_reset() -> Fault {
    of_page(&[], |service| shows_a_page(service, 3), |_| ())
}

#[test]
fn a_counter_that_begins_anew_raises_no_false_alarm() {
    let mut fault = counter_reset();
    let daemon = fault.serve();
    let calm = Calm::of(&daemon);
    for _ in 0..2 {
        fault.breaks(&daemon);
        calm.holds("numbers", 6.0);
    }
}

pub(crate) fn pool_exhausted() -> Fault {
    let since = Instant::now();
    let uses = move |used| {
        move |service: &mut Service| service.set_behaviour(move |stream, _, _| stream.write_all(&page(since, used)))
    };
    of_page(&[("numbers/pool", "fail limit")], uses(10), uses(3))
}

#[test]
fn a_pool_that_is_exhausted_fails_and_nothing_else() {
    pool_exhausted().endure();
}
