//! The rules in a real Prometheus that scrapes the real daemon: every one is evaluated, and every text is complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::File,
    io::Write as _,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use super::files;
use crate::harness::{
    daemon::Home,
    free_port,
    prometheus::Prometheus,
    service::{Service, http_response},
    until,
};

/// A service whose every number is bad, a port where nobody listens, and an old backup. One probe has labels of its own,
/// which are named like those of other series: they are for queries by hand, and no alert may stumble over them.
const BROKEN: &str = "
    - name: down
      tcp: {address: \"127.0.0.1:${NOBODY}\"}
      checks:
        - health: {owner: team-a, runbook: \"https://wiki.example.com/down\"}
    - name: shop
      metrics: {url: \"${SHOP}\"}
      labels: {tier: gold, status: odd, alertname: odd, le: \"1\", percentile: \"p95\", namespace: odd, exported_job: odd}
      checks:
        - error_rate: {errors: orders_failed_total, total: orders_total, max: 5%, window: 2s}
        - throughput: {series: orders_total, min: {warn: 5000, fail: 2000}, window: 2s}
        - latency: {histogram: orders_seconds, p95: {warn: 100ms, fail: 250ms}, p99: 5s, window: 2s}
        - pool: {used: orders_pool, size: orders_pool_max, waiting: orders_waiting, max_utilization: 90%, max_waiting: {warn: 1, fail: 2}}
        - present: {series: [orders_lost], absent_for: 1s}
        - value: {series: orders_waiting, max: {warn: 1, fail: 5}}
    - name: dumps
      backups: {files: \"${HOME_FOLDER}/dumps/orders-*\", stable_for: 0s, location: nas}
      checks:
        - freshness: {max_age: 1h}
        - schedule: {every: 1h}
        - size: {min: 1MiB}
        - retention: {min_count: 7, min_span: 7d}
    ";

/// What each description must say beside the service and the check.
const SAID: [(&str, &str, &[&str]); 12] = [
    (
        "ReadinessProbeDown",
        "down/health",
        &["down/health failed: 127.0.0.1:", " refused the connection.", "It has never passed and has failed since 20"],
    ),
    ("ReadinessErrorRateHigh", "shop/error_rate", &["error rate is 50%, limit 5%."]),
    ("ReadinessThroughputOutOfBounds", "shop/throughput", &[" per second, limit at least 2k."]),
    (
        "ReadinessLatencyHigh",
        "shop/latency",
        &["latency at p95 is ", "ms, limit 250ms; p99 is ", "limit 5s.", " Target: 127.0.0.1:"],
    ),
    (
        "ReadinessPoolSaturated",
        "shop/pool",
        &["failed: 100% of the connections are in use, limit 90%.", " 7 callers wait for a connection, limit 2."],
    ),
    ("ReadinessCheckFailing", "shop/present", &["present failed: a required series is missing on the metrics page."]),
    ("ReadinessValueOutOfBounds", "shop/value", &["value is 7, limit at most 5."]),
    (
        "ReadinessBackupStale",
        "dumps/freshness",
        &["the newest complete backup was made at 20", " UTC, limit on its age 1h."],
    ),
    ("ReadinessBackupMissed", "dumps/schedule", &["missed runs: 2, limit 0."]),
    ("ReadinessCheckFailing", "dumps/size", &["size is 5B, limit at least 1MiB."]),
    ("ReadinessCheckFailing", "dumps/retention", &["count is 1, limit at least 7. span is 3h", ", limit at least 7d."]),
    ("ReadinessHeartbeat", "", &["this alert stops"]),
];

fn page(since: Instant) -> Vec<u8> {
    let orders = (since.elapsed().as_secs_f64() * 100.0).floor();
    let text = format!(
        "orders_total {orders}\norders_failed_total {}\norders_pool 10\norders_pool_max 10\norders_waiting 7\n\
         orders_seconds_bucket{{le=\"0.1\"}} 0\norders_seconds_bucket{{le=\"0.5\"}} {orders}\n\
         orders_seconds_bucket{{le=\"+Inf\"}} {orders}\norders_seconds_sum 0\norders_seconds_count {orders}\n",
        orders / 2.0
    );
    http_response("200 OK", "Content-Type: text/plain; version=0.0.4\r\n", text.as_bytes())
}

/// The groups of rules as Prometheus sees them.
async fn groups(prometheus: &Prometheus) -> Vec<Value> {
    let answer: Value = serde_json::from_str(&prometheus.get("/api/v1/rules").await.unwrap()).unwrap();
    answer["data"]["groups"].as_array().unwrap().clone()
}

/// Every alert that is pending or fires, by its name and its check.
async fn alerts(prometheus: &Prometheus) -> BTreeMap<(String, String), Value> {
    let mut found = BTreeMap::new();
    for rule in groups(prometheus).await.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()) {
        for alert in rule["alerts"].as_array().cloned().unwrap_or_default() {
            let label = |key: &str| alert["labels"][key].as_str().map(str::to_owned);
            let check = label("probe").zip(label("check")).map(|(probe, check)| format!("{probe}/{check}"));
            found.insert((label("alertname").unwrap(), check.unwrap_or_default()), alert);
        }
    }
    found
}

#[tokio::test]
async fn a_real_prometheus_evaluates_every_rule_and_every_text_is_complete() {
    let service = Service::start();
    let since = Instant::now();
    service.set_behaviour(move |stream, _, _| stream.write_all(&page(since)));
    let home = Home::new(&[BROKEN]).with("SHOP", service.url()).with("NOBODY", free_port().to_string());
    let dump = home.write("dumps/orders-1", "12345");
    let made = SystemTime::now() - Duration::from_secs(3 * 3_600);
    File::options().write(true).open(dump).unwrap().set_modified(made).unwrap();
    let daemon = home.serve();

    let mut text =
        "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  evaluation_interval: 500ms\n".to_owned();
    text += "  external_labels: {grafana_url: \"https://grafana.example.com\"}\nrule_files:\n";
    files("rules").iter().for_each(|path| writeln!(text, "- {}", path.display()).unwrap());
    let target = daemon.address;
    writeln!(
        text,
        "scrape_configs:\n- {{job_name: ready, honor_labels: true, static_configs: [{{targets: [\"{target}\"]}}]}}"
    )
    .unwrap();
    let prometheus = Prometheus::configured(&text).await;

    let wanted: BTreeSet<_> = SAID.iter().map(|(alert, check, _)| ((*alert).to_owned(), (*check).to_owned())).collect();
    until("every alert is pending or fires", async || {
        let there: BTreeSet<_> = alerts(&prometheus).await.into_keys().collect();
        if there == wanted { Ok(()) } else { Err((there, daemon.checks())) }
    })
    .await;

    for rule in groups(&prometheus).await.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()) {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let found = alerts(&prometheus).await;
    for (name, check, parts) in SAID {
        let alert = &found[&(name.to_owned(), check.to_owned())];
        let text = |key: &str| alert["annotations"][key].as_str().unwrap().to_owned();
        let description = text("description");
        assert!(check.is_empty() || description.starts_with(&format!("shop: {check} failed: ")), "{description}");
        assert!(parts.iter().all(|part| description.contains(part)), "{name}: {description:?} lacks one of {parts:?}");
        let link = if name == "ReadinessProbeDown" {
            "https://wiki.example.com/down".to_owned()
        } else {
            let of = check.split_once('/').map(|(probe, check)| format!("?probe={probe}&check={check}"));
            format!("http://{target}/runbooks/{name}{}", of.unwrap_or_default())
        };
        assert_eq!(text("runbook_url"), link);
        if !check.is_empty() {
            assert_eq!(text("status_url"), format!("http://{target}/checks/{check}"));
            assert_eq!(daemon.get(&format!("/checks/{check}")).status, 200, "{check} has a page");
        }
        assert!(text("dashboard_url").starts_with("https://grafana.example.com/d/readiness-"), "{alert}");
        for wrong in ["<error", "<no value>", "%!", "not known", "  "] {
            assert!(!alert.to_string().contains(wrong), "{alert}");
        }
        assert!(alert["labels"]["tier"].is_null() && alert["labels"]["runbook_url"].is_null(), "{alert}");
    }
    // The one that waits for nothing.
    let down = &found[&("ReadinessProbeDown".to_owned(), "down/health".to_owned())];
    assert_eq!((down["state"].as_str(), down["labels"]["severity"].as_str()), (Some("firing"), Some("critical")));
    assert_eq!(down["labels"]["owner"], "team-a");
}
