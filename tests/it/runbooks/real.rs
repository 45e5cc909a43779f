//! Queries and commands of the pages, run beside a real daemon that watches real things, with the placeholders filled
//! in. What needs programs that no test machine has (systemctl, kubectl) is in blocks of the kind `console`.

use std::{io::Write, time::Instant};

use super::{Page, files};
use crate::harness::{
    alertmanager::{Alertmanager, amtool},
    certificates::Authority,
    daemon::{Daemon, Home, output_text},
    markdown::{code_in, fenced_blocks},
    nginx::Nginx,
    postgres::Postgres,
    prometheus::Prometheus,
    service::{Service, http_response},
    until, wait_until,
};

const PROBES: &str = "
    - name: site
      http: {url: \"${SHOP}\"}
      checks:
        - latency: {p95: {warn: 300ms, fail: 450ms}, window: 10s}
        - error_rate: {max: 50%, window: 10s}
    - name: numbers
      metrics: {url: \"${NUMBERS}\"}
      checks:
        - throughput: {series: orders_total, min: 1, window: 10s}
        - pool: {used: orders_pool, size: orders_pool_max, max_utilization: 90%}
        - name: depth
          value: {series: orders_pool, max: 10}
    - name: secure
      tcp: {address: \"localhost:${TLS_PORT}\", address_family: ip4, tls: {ca: \"${HOME_FOLDER}/ca.pem\"}}
      checks: [{certificate: {min_remaining: 7d}}]
    - name: dumps
      backups: {files: \"${HOME_FOLDER}/dumps/*.dump\", stable_for: 0s}
      checks: [freshness: {max_age: 1h}, schedule: {every: 1h, tolerance: 1h}, size: {min: 1B}]
    ";

/// A daemon and what it watches.
struct Scene {
    daemon: Daemon,
    home: Home,
    numbers: Service,
    secure: Nginx,
    _shop: Service,
}

impl Scene {
    fn set() -> Self {
        let (shop, numbers, authority) = (Service::start(), Service::start(), Authority::new());
        let start = Instant::now();
        numbers.set_behaviour(move |stream, _, _| {
            let orders = start.elapsed().as_millis();
            let text = format!("orders_total {orders}\norders_pool 3\norders_pool_max 10\n");
            stream.write_all(&http_response("200 OK", "Content-Type: text/plain; version=0.0.4\r\n", text.as_bytes()))
        });
        let secure = Nginx::start_tls(|folder| authority.certify(folder, "localhost", 24 * 90));
        let home = Home::new(&[PROBES])
            .with("SHOP", shop.url())
            .with("NUMBERS", numbers.url())
            .with("TLS_PORT", secure.port.to_string());
        authority.write(&home.path("ca.pem"));
        home.write("dumps/one.dump", "x");
        // An answer that is an error makes curl fail here.
        home.write(".curlrc", "fail\n");
        let daemon = home.serve();
        let scene = Self { daemon, home, numbers, secure, _shop: shop };
        wait_until("everything passes", || {
            let bad: Vec<_> = scene.daemon.checks().into_iter().filter(|(_, seen)| seen.status != "pass").collect();
            if bad.is_empty() { Ok(()) } else { Err(format!("{bad:#?}")) }
        });
        scene
    }

    /// Code of a page as somebody would run it about a check of the kind that the page is for.
    fn fill(&self, page: &Page, code: &str, alertmanager: &str) -> String {
        let (probe, check) = match &*page.name {
            "ReadinessLatencyHigh" => ("site", "latency"),
            "ReadinessErrorRateHigh" => ("site", "error_rate"),
            "ReadinessThroughputOutOfBounds" => ("numbers", "throughput"),
            "ReadinessPoolSaturated" => ("numbers", "pool"),
            "ReadinessValueOutOfBounds" => ("numbers", "depth"),
            "ReadinessCertificateExpiring" => ("secure", "certificate"),
            "ReadinessBackupStale" => ("dumps", "freshness"),
            "ReadinessBackupMissed" => ("dumps", "schedule"),
            "ReadinessCheckFailing" => ("dumps", "size"),
            _ => ("site", "health"),
        };
        let target = match code.contains("openssl") {
            true => format!("localhost:{}", self.secure.port),
            false => self.numbers.address.to_string(),
        };
        code.replace("ALERTMANAGER", alertmanager)
            .replace("INSTANCE", &self.daemon.address.to_string())
            .replace("TARGET", &target)
            .replace("HOST", "localhost")
            .replace("PROBE", probe)
            .replace("CHECK", check)
    }
}

/// Every block of a kind, with its page.
fn blocks(language: &str) -> Vec<(Page, String)> {
    let mut found = Vec::new();
    for page in files() {
        let code = code_in(&page.text, language);
        found.extend(code.into_iter().map(|code| (Page { name: page.name.clone(), text: String::new() }, code)));
    }
    assert!(!found.is_empty(), "{language}");
    found
}

#[test]
fn every_block_of_code_is_of_a_kind_that_is_tried() {
    for page in files() {
        for block in fenced_blocks(&page.text) {
            let known = ["sh", "promql", "sql", "yaml", "console"].contains(&&*block.language);
            assert!(known, "{}: a block of the kind `{}`", page.name, block.language);
            let absent = ["journalctl", "systemctl", "kubectl", "docker"];
            let is_absent = |line: &str| absent.iter().any(|program| line.starts_with(program));
            assert!(block.language != "console" || block.code.lines().all(is_absent), "{}:\n{}", page.name, block.code);
        }
    }
}

#[tokio::test]
async fn every_query_gives_rows_on_a_prometheus_that_scrapes_a_daemon() {
    let scene = Scene::set();
    let prometheus = Prometheus::scraping(&[("readiness", scene.daemon.address)]).await;
    for (page, code) in blocks("promql") {
        let query = scene.fill(&page, code.trim(), "none");
        until(&format!("{}: rows of {query}", page.name), async || {
            let rows = prometheus.values(&query).await;
            if rows.is_empty() { Err(prometheus.get(&encoded(&query)).await) } else { Ok(()) }
        })
        .await;
    }
}

fn encoded(query: &str) -> String {
    let query = url::form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>();
    format!("/api/v1/query?query={query}")
}

#[test]
fn every_command_of_a_page_succeeds() {
    let scene = Scene::set();
    let alertmanager = Alertmanager::start("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n");
    let address = alertmanager.address.to_string();
    let mut added = 0;
    for (page, code) in blocks("sh") {
        let script = scene.fill(&page, &code, &address);
        // The exit code of `explain` follows the verdicts; 2 is an error of usage.
        let explains = |line: &str| line.trim_start().starts_with("readiness-exporter explain ");
        let lines =
            script.lines().map(|line| if explains(line) { format!("{line} || [ $? -ne 2 ]") } else { line.to_owned() });
        let script = lines.collect::<Vec<_>>().join("\n");
        let output = scene.home.shell(&script).output().unwrap();
        let (text, error) = output_text(&output);
        assert!(output.status.success(), "{}: {}\n{script}\n{text}\n{error}", page.name, output.status);
        added += script.matches("silence add").count();
        if script.contains("silence add") && page.name != "README" {
            assert_eq!(script.matches(&format!("alertname={} ", page.name)).count(), 1, "{script}");
        }
    }
    let mut query = amtool();
    query.arg(format!("--alertmanager.url=http://{address}")).args(["silence", "query", "-o", "json"]);
    let output = query.output().unwrap();
    let silences: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let silences = silences.as_array().unwrap();
    assert!(added > 15 && silences.len() == added - 1, "all but the one that was expired: {silences:#?}");
    for silence in silences {
        let labels: Vec<_> =
            silence["matchers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert!(labels.contains(&"probe") || labels.contains(&"instance"), "it is about one thing: {silence}");
        let (from, to) = (&silence["startsAt"], &silence["endsAt"]);
        let at = |time: &serde_json::Value| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(at(to).duration_since(at(from)).as_hours() <= 72, "it ends soon: {silence}");
        assert!(silence["comment"].as_str().unwrap().starts_with("NAME: "), "it says who and why: {silence}");
    }
}

#[test]
fn every_statement_runs_on_a_real_server() {
    let server = Postgres::start(&[]);
    for (page, code) in blocks("sql") {
        assert!(server.try_sql(&code).is_ok(), "{}: {:?}", page.name, server.try_sql(&code));
    }
}

#[test]
fn every_piece_of_configuration_is_valid() {
    let scene = Scene::set();
    for (page, code) in blocks("yaml") {
        let path = scene.home.write("piece.yaml", scene.fill(&page, &code, ""));
        let script = format!("readiness-exporter validate --config.file {}", path.display());
        let output = scene.home.shell(&script).output().unwrap();
        assert!(output.status.success(), "{}: {:?}", page.name, output_text(&output));
    }
}
