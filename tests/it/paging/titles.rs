//! The words of the team reach the notification: title, impact, answered and expected codes, and the level of a health
//! check that nobody has listed.

use regex::Regex;

use super::{Chain, Pace};
use crate::harness::{
    daemon::{Daemon, Home},
    pager::Alert,
    service::{Service, http_response},
    wait_until,
};

const PROBES: &str = "
    - name: auth-no-token
      title: Nobody gets in without a token
      summary: Everybody can read all orders.
      http: {url: \"${SHOP}\", expect_status: 401}
      checks:
        - health
        - response:
            expect: [{name: asks for a token, header: www-authenticate, matches: ^Bearer}]
          title: A refusal says how to log in
    - name: statistics
      owner: reporting
      http: {url: \"${SHOP}\", expect_status: [2xx, 401]}
    ";

#[test]
fn a_notification_has_the_title_what_was_answered_and_expected_and_the_impact() {
    let service = Service::start();
    service.set_response(http_response("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", b""));
    let home = Home::new(&[PROBES]).with("SHOP", service.url());
    // The built-in thresholds count here, unlike in the other tests.
    let text = std::fs::read_to_string(home.path("readiness.yaml")).unwrap();
    home.write("readiness.yaml", text.replace(", failure_threshold: 1", ""));
    let daemon = home.serve();
    for check in ["auth-no-token/health", "auth-no-token/response", "statistics/health"] {
        daemon.wait_for(check, "pass");
    }
    let chain = Chain::watching(Pace::wanted(), &[daemon.address]);

    service.set_response(http_response("200 OK", "", b"all orders"));
    let alert = page_of(&chain, &daemon, "auth-no-token");
    let labels = ["alertname", "severity", "check"].map(|label| alert.label(label).to_owned());
    assert_eq!(labels, ["ReadinessProbeDown", "critical", "health"]);
    assert_eq!([alert.label("title"), alert.label("summary")], ["", ""], "a new title is no new alert");
    let said = Regex::new(
        "^shop: Nobody gets in without a token \\(auth-no-token/health\\) failed: 127\\.0\\.0\\.1:\\d+ answered 200, expected 401\\. \
         It last passed at 20\\d\\d-\\d\\d-\\d\\d \\d\\d:\\d\\d UTC\\. Impact: Everybody can read all orders\\.$",
    );
    let description = alert.annotation("description");
    assert!(said.unwrap().is_match(description), "{description}");
    assert!(alerts_of(&chain, "statistics").is_empty(), "200 is among the codes that it expects");

    service.set_response(http_response("503 Service Unavailable", "", b""));
    let alert = page_of(&chain, &daemon, "statistics");
    assert_eq!(["severity", "owner"].map(|label| alert.label(label)), ["warning", "reporting"], "nobody listed it");
    let description = alert.annotation("description");
    assert!(
        description.starts_with("shop: statistics/health failed: ")
            && description.contains(" answered 503. It last passed at "),
        "{description}"
    );
}

/// The first alert about a probe that was notified.
fn page_of(chain: &Chain, daemon: &Daemon, probe: &str) -> Alert {
    wait_until(&format!("{probe} is notified"), || {
        alerts_of(chain, probe).into_iter().next().ok_or_else(|| format!("{:?}", daemon.checks()))
    })
}

fn alerts_of(chain: &Chain, probe: &str) -> Vec<Alert> {
    let alerts = chain.notifications().into_iter().flat_map(|notification| notification.alerts);
    alerts.filter(|alert| alert.label("probe") == probe).collect()
}
