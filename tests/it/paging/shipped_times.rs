//! The waiting times of the shipped Alertmanager example. Other tests shorten these times, so they cannot see
//! notifications that a change in a group repeats or delays.

use std::{
    collections::BTreeMap,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use super::{Chain, Pace, shipped_example};
use crate::harness::{
    daemon::Home,
    free_port,
    pager::Notification,
    service::{Service, http_response},
    wait_until,
};

/// Two services of one owner, and a check that the outage of its probe mutes.
const PROBES: &str = "
    - name: first
      owner: orders
      http: {url: \"${FIRST}\"}
      interval: 1s
      checks:
        - health: {severity: critical}
        - error_rate: {max: 5%, window: 1m}
          severity: critical
    - name: second
      owner: orders
      http: {url: \"${SECOND}\"}
      interval: 1s
      checks: [{health: {severity: critical}}]
    ";

/// A time that is longer than `keep_firing_for` of earlier rules (3 minutes) at the pace of the test.
const LONG_OUTAGE: Duration = Duration::from_secs(25);
/// `group_wait`, two scrapes and two evaluations, with a reserve; shorter than `group_interval`.
const MAX_TIME_TO_PAGE: Duration = Duration::from_secs(30);

#[test]
fn each_fault_is_notified_once_and_resolved_once_also_while_the_daemon_is_down() {
    let (first, second) = (Service::start(), Service::start());
    let home = Home::new(&[PROBES]).with("FIRST", first.url()).with("SECOND", second.url());
    let address = format!("127.0.0.1:{}", free_port());
    let serve = || home.serve_with(&["--web.listen-address", &address]);
    let daemon = serve();
    for check in ["first/health", "first/error_rate", "second/health"] {
        daemon.wait_for(check, "pass");
    }
    let pace = Pace { interval: Duration::from_secs(2), hurry: 10 };
    let chain = Chain::notified_by(shipped_example, pace, &[daemon.address], ("", "groups: []", "[]"));
    let break_service = |service: &Service| {
        service.set_behaviour(|stream, _, _| stream.write_all(&http_response("503 Service Unavailable", "", b"")));
    };

    break_service(&first);
    let broken = Instant::now();
    wait_for(&chain, "first", true, 1);
    assert!(broken.elapsed() < MAX_TIME_TO_PAGE, "{:?}", broken.elapsed());

    // A second fault of the same service and owner does not wait for the group of the first one.
    break_service(&second);
    let broken = Instant::now();
    wait_for(&chain, "second", true, 1);
    assert!(broken.elapsed() < MAX_TIME_TO_PAGE, "{:?}", broken.elapsed());

    daemon.kill();
    thread::sleep(LONG_OUTAGE);
    wait_until("the outage of the daemon is notified", || {
        let told =
            chain.notifications().iter().flat_map(|one| &one.alerts).any(|a| a.name() == "ReadinessExporterDown");
        if told { Ok(()) } else { Err(format!("{:#?}", chain.notifications())) }
    });
    let daemon = serve();
    daemon.wait_for("first/health", "fail status");
    first.reset();
    daemon.wait_for("first/health", "pass");
    wait_for(&chain, "first", false, 1);

    second.reset();
    wait_for(&chain, "second", false, 1);
    // The error rate of the first probe passes when the outage has left its window: it is never notified.
    thread::sleep(Duration::from_secs(5));
    let all = chain.notifications();
    let counts = counts(&all);
    let expected =
        [("first/health", [1, 1]), ("second/health", [1, 1])].map(|(check, count)| (check.to_owned(), count));
    assert_eq!(counts, BTreeMap::from(expected), "{all:#?}");
}

/// Waits until a probe has had so many notifications that fire, or that resolve.
fn wait_for(chain: &Chain, probe: &str, firing: bool, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let all = chain.notifications();
        let found = counts(&all).get(&format!("{probe}/health")).map_or(0, |count| count[usize::from(!firing)]);
        if found >= count {
            return;
        }
        assert!(Instant::now() < deadline, "{probe}, firing: {firing}: {all:#?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// For each check the number of alerts that were notified as firing and as resolved.
fn counts(notifications: &[Notification]) -> BTreeMap<String, [usize; 2]> {
    let mut counts = BTreeMap::<_, [usize; 2]>::new();
    for alert in notifications.iter().flat_map(|notification| &notification.alerts) {
        if !alert.label("check").is_empty() {
            let check = format!("{}/{}", alert.label("probe"), alert.label("check"));
            let count = counts.entry(check).or_default();
            count[usize::from(!alert.is_firing())] += 1;
        }
    }
    counts
}
