//! A daemon that restarts during an outage: the outage stays one page, and its end one all-clear.

use std::{io::Write, time::Instant};

use super::{Chain, Pace};
use crate::{
    faults::Calm,
    harness::{
        daemon::Home,
        free_port,
        pager::Notification,
        service::{Service, http_response},
    },
};

/// A probe whose health fails after three runs, and whose share of failed runs is judged over a window.
const SHOP: &str = "
    - name: shop
      http: {url: \"${SHOP}\"}
      interval: 1s
      checks:
        - health: {severity: critical, failure_threshold: 3}
        - latency: {p95: 400ms, window: 1m}
        - error_rate: {max: 20%, window: 1m}
    ";

#[test]
fn a_restart_during_an_outage_does_not_page_again() {
    let service = Service::start();
    let home = Home::new(&[SHOP]).with("SHOP", service.url());
    let address = format!("127.0.0.1:{}", free_port());
    let serve = || home.serve_with(&["--web.listen-address", &address]);
    let daemon = serve();
    drop(Calm::of(&daemon));
    let at = daemon.address;
    let chain = Chain::watching(Pace::wanted(), &[at]);

    service.set_behaviour(|stream, _, _| stream.write_all(&http_response("503 Service Unavailable", "", b"")));
    let page = chain.next(at, 0).expect("a page");
    assert!(page.is_firing() && page.alerts[0].name() == "ReadinessProbeDown", "{page:#?}");
    let since = daemon.wait_for("shop/health", "fail status").since;

    // Once as a service manager restarts it, once as a crash does.
    daemon.terminate();
    let daemon = serve();
    daemon.wait_for("shop/health", "fail status");
    let during = chain.after_evaluations(15, Instant::now(), at);
    assert_eq!(during.len(), 1, "{during:#?}");
    daemon.kill();
    let daemon = serve();
    assert_eq!(daemon.wait_for("shop/health", "fail status").since, since, "the outage began before the restarts");
    let during = chain.after_evaluations(15, Instant::now(), at);
    assert_eq!(during.len(), 1, "{during:#?}");

    service.reset();
    chain.next(at, 1).expect("an all-clear");
    let all = chain.after_evaluations(15, Instant::now(), at);
    assert!(all.len() == 2 && !all[1].is_firing(), "{all:#?}");
    assert!(!chain.notifications().iter().skip(1).any(Notification::is_firing), "{:#?}", chain.notifications());
}
