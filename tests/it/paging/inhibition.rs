//! What the shipped example mutes, with alerts that are handed to Alertmanager one by one: the rules hold most of this
//! back themselves, so that the faults alone would not show it.

use std::collections::BTreeSet;

use super::example;
use crate::harness::{alertmanager::Alertmanager, pager::Pager, wait_until};

const PROBE: &str = "probe=api";

/// Hands over an alert that is the cause, then others, then one that shows that those have been dealt with: what is
/// notified must come to exactly these names, each with the number of the other.
fn notifies(cause: &[&str], others: &[&[&str]], expected: &[&str]) {
    let pager = Pager::start();
    let alertmanager = Alertmanager::start(&example(&pager));
    let heard = || {
        let alerts = pager.notifications().into_iter().flat_map(|notification| notification.alerts);
        let names = alerts.map(|alert| format!("{} {}", alert.name(), alert.label("service")));
        names.collect::<BTreeSet<_>>()
    };
    let add = |labels: &[&str]| {
        let severity: &[_] =
            if labels.iter().any(|label| label.starts_with("severity=")) { &[] } else { &["severity=critical"] };
        alertmanager.add(&[labels, severity, &["job=readiness"]].concat());
    };
    add(&[cause, &["service=cause"]].concat());
    wait_until("the cause is notified", || if heard().is_empty() { Err(String::new()) } else { Ok(()) });
    // Each in a group of its own, so that none waits for another.
    for (n, labels) in others.iter().enumerate() {
        add(&[*labels, &[&format!("service={n}")]].concat());
    }
    add(&["alertname=Marker", "service=last"]);
    wait_until(&format!("{expected:?}"), || {
        let heard = heard();
        if heard.iter().eq(expected) { Ok(()) } else { Err(format!("{heard:?}")) }
    });
}

#[test]
fn a_probe_that_is_down_mutes_what_it_feeds_and_nothing_else() {
    notifies(
        &["alertname=ReadinessProbeDown", "instance=a", PROBE, "check=health", "status=fail"],
        &[
            &["alertname=ReadinessErrorRateHigh", "instance=a", PROBE, "check=error_rate", "status=fail"],
            &["alertname=ReadinessCheckUnknown", "instance=a", PROBE, "check=latency", "status=unknown"],
            &["alertname=ReadinessLatencyHigh", "instance=a", "probe=other", "check=latency", "status=fail"],
            &["alertname=ReadinessLatencyHigh", "instance=b", PROBE, "check=latency", "status=fail"],
            &["alertname=ReadinessConfigReloadFailed", "instance=a"],
        ],
        &[
            "Marker last",
            "ReadinessConfigReloadFailed 4",
            "ReadinessLatencyHigh 2",
            "ReadinessLatencyHigh 3",
            "ReadinessProbeDown cause",
        ],
    );
}

#[test]
fn a_probe_whose_failure_is_a_ticket_mutes_no_page() {
    notifies(
        &["alertname=ReadinessProbeDown", "instance=a", PROBE, "check=health", "status=fail", "severity=warning"],
        &[
            &["alertname=ReadinessErrorRateHigh", "instance=a", PROBE, "check=error_rate", "status=fail"],
            &["alertname=ReadinessLatencyHigh", "instance=a", PROBE, "check=latency", "severity=warning"],
        ],
        &["Marker last", "ReadinessErrorRateHigh 0", "ReadinessProbeDown cause"],
    );
}

#[test]
fn an_exporter_that_is_down_mutes_all_that_it_said_and_no_other_exporter() {
    notifies(
        &["alertname=ReadinessExporterDown", "instance=a"],
        &[
            &["alertname=ReadinessCheckStale", "instance=a", PROBE, "check=health"],
            &["alertname=ReadinessProbeDown", "instance=a", PROBE, "check=health", "status=fail"],
            &["alertname=ReadinessConfigReloadFailed", "instance=a"],
            &["alertname=ReadinessCheckStale", "instance=b", PROBE, "check=health"],
            &["alertname=ReadinessHeartbeat"],
        ],
        &["Marker last", "ReadinessCheckStale 3", "ReadinessExporterDown cause", "ReadinessHeartbeat 4"],
    );
}

#[test]
fn a_fail_mutes_the_warn_of_the_same_check_only() {
    notifies(
        &["alertname=ReadinessLatencyHigh", "instance=a", PROBE, "check=latency", "status=fail"],
        &[
            &["alertname=ReadinessLatencyHigh", "instance=a", PROBE, "check=latency", "status=warn"],
            &["alertname=ReadinessLatencyHigh", "instance=a", PROBE, "check=slowest", "status=warn"],
        ],
        &["Marker last", "ReadinessLatencyHigh 1", "ReadinessLatencyHigh cause"],
    );
}
