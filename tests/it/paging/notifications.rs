//! The receivers and texts for people, rendered and sent by a real Alertmanager.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::alerts;
use crate::harness::{
    alertmanager::{Alertmanager, amtool, output_text},
    inbox::{MailInbox, WebInbox},
    wait_until,
};

/// The receivers of the example behind one route, and what they send to.
struct Receivers {
    web: WebInbox,
    mail: MailInbox,
    alertmanager: Alertmanager,
    _keys: tempfile::TempDir,
}

impl Receivers {
    fn start() -> Self {
        let (web, mail) = (WebInbox::start(), MailInbox::start());
        let keys = tempfile::tempdir().unwrap();
        fs::write(keys.path().join("slack"), format!("{}slack", web.url())).unwrap();
        fs::write(keys.path().join("pagerduty"), "k".repeat(32)).unwrap();
        let key = |name: &str| keys.path().join(name).display().to_string();
        let route = "route: {receiver: slack, group_by: [service], group_wait: 2s, group_interval: 1s, routes: [\
                     {receiver: slack, continue: true}, {receiver: email, continue: true}, \
                     {receiver: pagerduty, continue: true}, {receiver: webhook}]}";
        let mut text = fs::read_to_string(alerts().join("alertmanager.receivers.yaml")).unwrap();
        for (from, to) in [
            ("/etc/alertmanager/slack-url", key("slack")),
            ("/etc/alertmanager/pagerduty-key", key("pagerduty")),
            ("https://events.pagerduty.com/v2/enqueue", format!("{}pagerduty", web.url())),
            ("http://receiver.example/alerts", format!("{}webhook", web.url())),
            ("mail.example:587", mail.address.to_string()),
            ("global:\n", "global:\n  smtp_require_tls: false\n".to_owned()),
            ("templates/*.tmpl", alerts().join("templates/*.tmpl").display().to_string()),
            ("route: {receiver: slack}", route.to_owned()),
        ] {
            assert!(text.contains(from), "{from}: {text}");
            text = text.replace(from, &to);
        }
        Self { web, mail, alertmanager: Alertmanager::start(&text), _keys: keys }
    }

    /// Waits until every receiver has had so many notifications.
    fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} notifications at each receiver"), || {
            let sent = ["/slack", "/pagerduty", "/webhook"].map(|path| self.web.bodies(path).len());
            let seen = [sent[0], sent[1], sent[2], self.mail.messages().len()];
            if seen == [count; 4] { Ok(()) } else { Err(format!("{seen:?}: {}", self.alertmanager.log())) }
        });
    }

    fn last(&self, path: &str) -> Value {
        serde_json::from_str(self.web.bodies(path).last().unwrap()).unwrap()
    }
}

/// An alert as the shipped rules make it; `minutes` from now to its end.
fn alert(start: Timestamp, name: &str, check: &str, description: &str, minutes: i64) -> Value {
    let (probe, check_name) = check.split_once('/').unwrap();
    json!({
        "labels": {"alertname": name, "severity": "critical", "service": "shop", "owner": "Q&A", "job": "readiness",
                   "instance": "a:1", "probe": probe, "check": check_name},
        "annotations": {"summary": "A readiness check does not pass.", "description": description,
                        "runbook_url": format!("http://a:1/runbooks/{name}"), "dashboard_url": "/d/readiness-check",
                        "status_url": format!("http://a:1/checks/{check}")},
        "startsAt": start,
        "endsAt": Timestamp::now() + SignedDuration::from_mins(minutes),
    })
}

#[test]
fn amtool_accepts_the_receivers() {
    let output = amtool().arg("check-config").arg(alerts().join("alertmanager.receivers.yaml")).output().unwrap();
    let said = output_text(&output);
    assert!(output.status.success() && said.contains("4 receivers") && said.contains("1 templates"), "{said}");
}

#[test]
fn firing_and_resolved_alerts_are_told_apart_with_absolute_times_and_causes_first() {
    let receivers = Receivers::start();
    // Alertmanager does not wait for the rest of a group whose first alert is older than `group_wait`.
    let start = Timestamp::now();
    let since = start.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let size = |minutes| {
        let description = "shop: api/size: size <!channel> is 5B, limit at least 1MiB.";
        alert(start, "ReadinessCheckFailing", "api/size", description, minutes)
    };
    let down =
        |minutes| alert(start, "ReadinessProbeDown", "db/health", "shop: db/health: not working (refused).", minutes);
    receivers.alertmanager.post(&json!([size(10), down(10)]));
    receivers.wait_for(1);

    let slack = receivers.last("/slack")["attachments"][0].clone();
    assert_eq!(slack["title"], ":red_circle: 2 alerts firing: shop");
    assert_eq!(slack["fallback"], "Critical: shop: 2 alerts firing: db/health, api/size");
    assert_eq!(slack["color"], "danger");
    let line = |name: &str, check: &str| {
        format!(
            "{name}, firing since {since}, owner Q&amp;A · <http://a:1/runbooks/{name}|Runbook> · \
             <http://a:1/checks/{check}|Status>"
        )
    };
    let expected = [
        "*Critical:* shop: db/health: not working (refused).",
        &line("ReadinessProbeDown", "db/health"),
        "*Critical:* shop: api/size: size &lt;!channel&gt; is 5B, limit at least 1MiB.",
        &line("ReadinessCheckFailing", "api/size"),
    ];
    assert_eq!(slack["text"].as_str().unwrap().trim_end().lines().collect::<Vec<_>>(), expected);

    let incident = receivers.last("/pagerduty");
    assert_eq!((&incident["event_action"], &incident["payload"]["severity"]), (&json!("trigger"), &json!("critical")));
    assert_eq!(incident["payload"]["summary"], "Critical: shop: 2 alerts firing: db/health, api/size");
    let key = incident["dedup_key"].clone();

    let mail = receivers.mail.messages().pop().unwrap();
    assert_eq!(mail.subject, "Critical: shop: 2 alerts firing: db/health, api/size");
    let text = format!(
        "FIRING (2)\n\n\
        CRITICAL  shop: db/health: not working (refused).\n  A readiness check does not pass.\n  \
        ReadinessProbeDown, firing since {since}, owner Q&A\n  \
        Runbook:   http://a:1/runbooks/ReadinessProbeDown\n  Status:    http://a:1/checks/db/health\n\n\
        CRITICAL  shop: api/size: size <!channel> is 5B, limit at least 1MiB.\n  A readiness check does not pass.\n  \
        ReadinessCheckFailing, firing since {since}, owner Q&A\n  \
        Runbook:   http://a:1/runbooks/ReadinessCheckFailing\n  Status:    http://a:1/checks/api/size\n\n\
        Alertmanager: "
    );
    assert!(mail.parts["text/plain"].starts_with(&text), "{}", mail.parts["text/plain"]);
    let html = &mail.parts["text/html"];
    assert!(html.contains("size &lt;!channel&gt; is 5B") && html.contains("owner Q&amp;A"), "{html}");
    assert!(html.find("db/health") < html.find("api/size"), "{html}");
    assert!(html.contains("name=\"viewport\"") && html.contains("border-left:6px solid #b42318"), "{html}");
    assert!(
        html.contains("<a href=\"http://a:1/runbooks/ReadinessProbeDown\" style=\"display:inline-block;"),
        "{html}"
    );

    // One is over: it is listed apart, without the sentence that says what was measured while it fired.
    receivers.alertmanager.post(&json!([size(0)]));
    receivers.wait_for(2);
    let slack = receivers.last("/slack")["attachments"][0].clone();
    assert_eq!(slack["title"], ":red_circle: 1 alert firing, 1 resolved: shop");
    let text = slack["text"].as_str().unwrap();
    let (firing, resolved) = text.split_once("*Resolved:*\n").unwrap_or_else(|| panic!("{text}"));
    assert!(firing.contains("db/health") && !firing.contains("api/size"), "{text}");
    assert!(resolved.starts_with(&format!("shop: api/size (ReadinessCheckFailing), from {since} to 20")), "{text}");
    assert!(!resolved.contains("limit"), "{text}");
    let mail = receivers.mail.messages().pop().unwrap();
    assert_eq!(mail.subject, "Critical: shop: db/health: not working (refused). (1 resolved)");
    let text = &mail.parts["text/plain"];
    assert!(
        text.contains("RESOLVED (1)\n\nshop: api/size (ReadinessCheckFailing), from ") && !text.contains("5B"),
        "{text}"
    );

    // All is over: the incident with the same key is resolved.
    receivers.alertmanager.post(&json!([down(0)]));
    receivers.wait_for(3);
    let incident = receivers.last("/pagerduty");
    assert_eq!((&incident["event_action"], &incident["dedup_key"]), (&json!("resolve"), &key));
    let slack = receivers.last("/slack")["attachments"][0].clone();
    assert_eq!((&slack["title"], &slack["color"]), (&json!(":white_check_mark: Resolved: shop"), &json!("good")));
    assert_eq!(receivers.mail.messages().pop().unwrap().subject, "Resolved: shop: db/health (ReadinessProbeDown)");
    // The webhook has no template: the body tells them apart.
    let body = receivers.last("/webhook");
    assert_eq!(body["alerts"][0]["status"], "resolved");
}

#[test]
fn several_alerts_are_listed_by_their_titles_and_the_impact_has_a_line_of_its_own() {
    let receivers = Receivers::start();
    let titled = |name: &str, check: &str, title: &str, impact: &str| {
        let description = format!("shop: {title} ({check}) failed: refused.{impact}");
        let mut alert = alert(Timestamp::now(), name, check, &description, 10);
        alert["annotations"]["title"] = title.into();
        alert
    };
    receivers.alertmanager.post(&json!([
        titled("ReadinessProbeDown", "db/health", "Orders are stored", " Impact: Nobody can order."),
        titled("ReadinessCheckFailing", "api/size", "api/size", ""),
    ]));
    receivers.wait_for(1);
    let mail = receivers.mail.messages().pop().unwrap();
    assert_eq!(mail.subject, "Critical: shop: 2 alerts firing: Orders are stored, api/size");
    let html = &mail.parts["text/html"];
    assert!(html.contains("<b>Critical: shop: Orders are stored</b>"), "{html}");
    assert!(html.contains("<b>Impact:</b> Nobody can order.</p>") && !html.contains("refused. Impact"), "{html}");
}

#[test]
fn a_flood_is_a_short_message_and_a_lone_alert_without_labels_is_a_whole_one() {
    let receivers = Receivers::start();
    let many = |n: usize| alert(Timestamp::now(), "ReadinessLatencyHigh", &format!("p{n}/latency"), "slow", 10);
    receivers.alertmanager.post(&json!((0..200).map(many).collect::<Vec<_>>()));
    receivers.wait_for(1);
    let slack = receivers.last("/slack")["attachments"][0].clone();
    let text = slack["text"].as_str().unwrap();
    assert!(text.lines().count() < 45 && text.contains("The complete list is in Alertmanager."), "{text}");
    assert!(slack["fallback"].as_str().unwrap().len() < 150, "{slack}");

    let heartbeat = json!({"labels": {"alertname": "ReadinessHeartbeat"}, "annotations": {}, "endsAt":
        Timestamp::now() + SignedDuration::from_mins(10)});
    receivers.alertmanager.post(&json!([heartbeat]));
    receivers.wait_for(2);
    let mail = receivers.mail.messages().pop().unwrap();
    assert_eq!(mail.subject, "Alert: ReadinessHeartbeat (ReadinessHeartbeat)");
}
