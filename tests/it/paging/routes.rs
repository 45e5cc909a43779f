//! Where the shipped example of an Alertmanager configuration sends what.

use super::alerts;
use crate::harness::alertmanager::{amtool, output_text};

#[test]
fn amtool_accepts_the_example() {
    let output = amtool().arg("check-config").arg(alerts().join("alertmanager.example.yaml")).output().unwrap();
    let said = output_text(&output);
    assert!(output.status.success() && said.contains("SUCCESS") && said.contains("4 inhibit rules"), "{said}");
}

#[test]
fn an_alert_goes_by_its_severity_to_the_team_that_owns_it() {
    let table: [(&[&str], &str); 10] = [
        (&["severity=critical", "owner=orders"], "orders-pager"),
        (&["severity=warning", "owner=orders"], "orders-tickets"),
        (&["severity=info", "owner=orders"], "nobody"),
        (&["severity=critical"], "pager"),
        (&["severity=critical", "owner=another"], "pager"),
        (&["severity=warning"], "tickets"),
        (&["severity=warning", "owner=another"], "tickets"),
        (&["severity=info"], "nobody"),
        (&["severity=none", "alertname=ReadinessHeartbeat"], "dead-mans-switch"),
        // Nothing gets lost, not even what somebody forgot to give a severity.
        (&["alertname=SomethingElse"], "tickets"),
    ];
    for (labels, receiver) in table {
        let mut command = amtool();
        command.args(["config", "routes", "test", &format!("--verify.receivers={receiver}")]);
        command.arg(format!("--config.file={}", alerts().join("alertmanager.example.yaml").display()));
        let output = command.args(labels).output().unwrap();
        assert!(output.status.success(), "{labels:?} should go to {receiver}: {}", output_text(&output));
    }
}
