//! Inherited values, titles and the implicit health check: the nearest value wins, and `/config` names its source.

use std::fs;

use readiness_exporter::{
    model::words::WhilePending,
    settings::{CheckInfo, ProbeInfo, Settings},
};

use super::{Severity, load, output_text};

const MAIN: &str = "\
service: shop
include: [conf.d/*.yaml]
defaults:
  owner: platform
  interval: 1m
  timeout: 20s
  failure_threshold: 3
  labels: {tier: gold, region: eu}
probes:
  - name: main
    tcp: {address: \"a:1\"}
";

const INCLUDED: &str = "\
owner: orders
severity: info
category: operations
runbook: https://wiki.example.com/orders
gate: true
success_threshold: 2
retry_interval: 10s
labels: {tier: silver}
probes:
  - name: near
    title: Orders are accepted
    summary: >
      Nobody can
      order.
    interval: 5s
    owner: night-shift
    failure_threshold: 1
    tcp: {address: \"${HOST}:1\"}
    checks:
      - health
      - name: slow
        latency: {p95: 1s, severity: critical, pending: blocks}
        title: The port answers quickly
        owner: network
        gate: false
        labels: {tier: bronze, rack: r1}
  - name: far
    tcp: {address: \"a:3\"}
pending: passes
";

fn load_files(files: &[(&str, &str)]) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    load(&folder.path().join(files[0].0), &[("HOST", "a-secret-host")]).unwrap()
}

fn probe<'a>(settings: &'a Settings, name: &str) -> &'a ProbeInfo {
    settings.probes.iter().map(|probe| &*probe.info).find(|info| info.name == name).unwrap()
}

fn check<'a>(settings: &'a Settings, probe_name: &str, name: &str) -> &'a CheckInfo {
    probe(settings, probe_name).checks.iter().find(|check| check.name == name).unwrap()
}

#[test]
fn the_nearest_value_wins_and_the_head_of_a_file_is_about_its_own_probes() {
    let settings = load_files(&[("main.yaml", MAIN), ("conf.d/orders.yaml", INCLUDED)]);
    let main = check(&settings, "main", "health");
    assert_eq!((&*main.owner, main.severity, main.failure_threshold), ("platform", Severity::Warning, 3));
    assert_eq!((&*main.runbook, main.success_threshold, main.gate), ("", 1, true));

    let far = check(&settings, "far", "health");
    assert_eq!((&*far.owner, far.severity, far.failure_threshold), ("orders", Severity::Info, 3));
    assert_eq!((far.category.as_str(), &*far.runbook), ("operations", "https://wiki.example.com/orders"));
    assert_eq!((far.success_threshold, far.gate, far.pending), (2, true, WhilePending::Passes));

    let near = check(&settings, "near", "health");
    assert_eq!((&*near.owner, near.severity, near.failure_threshold), ("night-shift", Severity::Info, 1));
    let slow = check(&settings, "near", "slow");
    assert_eq!((&*slow.owner, slow.severity, slow.gate), ("network", Severity::Critical, false));
    assert_eq!((main.pending, slow.pending), (WhilePending::Blocks, WhilePending::Blocks));

    let timing = |name| {
        let timing = probe(&settings, name).timing;
        (timing.interval.as_secs(), timing.timeout.as_secs(), timing.retry_interval.as_secs())
    };
    assert_eq!((timing("main"), timing("far"), timing("near")), ((60, 20, 60), (60, 20, 10), (5, 5, 5)));

    let labels = |labels: &std::collections::BTreeMap<String, String>| {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels(&probe(&settings, "main").labels), "region=eu tier=gold");
    assert_eq!(labels(&probe(&settings, "near").labels), "region=eu tier=silver");
    assert_eq!(labels(&slow.labels), "rack=r1 tier=bronze");
}

#[test]
fn a_title_of_a_probe_is_that_of_its_health_check_and_a_check_without_one_shows_its_name() {
    let settings = load_files(&[("main.yaml", MAIN), ("conf.d/orders.yaml", INCLUDED)]);
    let title = |probe, name| check(&settings, probe, name).title_of(probe).into_owned();
    assert_eq!(title("near", "health"), "Orders are accepted");
    assert_eq!(title("near", "slow"), "The port answers quickly");
    assert_eq!(title("far", "health"), "far/health");
    assert_eq!(check(&settings, "near", "health").summary, "Nobody can order.");
    assert_eq!(check(&settings, "near", "slow").summary, "");
}

#[test]
fn the_effective_configuration_names_the_source_of_each_value_and_reads_back() {
    let settings = load_files(&[("main.yaml", MAIN), ("conf.d/orders.yaml", INCLUDED)]);
    let text = settings.effective.to_string();
    // The folder of the test is a temporary one.
    let shown: Vec<_> = text
        .lines()
        .map(|line| match line.split_once("  # ") {
            Some((value, source)) => format!("{} # {}", value.trim(), source.rsplit('/').next().unwrap()),
            None => line.trim().to_owned(),
        })
        .collect();
    let from = |probe: &str| {
        shown.iter().position(|line| {
            *line == format!("- name: {probe} # orders.yaml:{}", if probe == "near" { 10 } else { 27 })
        })
    };
    let (near, far) =
        (from("near").unwrap_or_else(|| panic!("{text}")), from("far").unwrap_or_else(|| panic!("{text}")));
    let contains = |part: &[String], line: &str| assert!(part.iter().any(|shown| shown == line), "{line} in\n{text}");
    for line in
        ["owner: platform # main.yaml:4", "success_threshold: 1 # built in", "listen:", "service: shop # main.yaml:1"]
    {
        contains(&shown[..near], line);
    }
    for line in [
        "title: Orders are accepted # orders.yaml:11",
        "interval: 5s # orders.yaml:15",
        "timeout: 5s # main.yaml:6",
        "retry_interval: 5s # orders.yaml:7",
        "region: eu # main.yaml:8",
        "tier: silver # orders.yaml:8",
        "service: shop # main.yaml:1",
        "depends_on: [] # built in",
        "owner: night-shift # orders.yaml:16",
        "severity: info # orders.yaml:2",
        "severity: critical # orders.yaml:22",
        "p95: 1s # orders.yaml:22",
        "window: 5m # built in",
        "summary: Nobody can order. # orders.yaml:12",
        "owner: network # orders.yaml:24",
        "rack: r1 # orders.yaml:26",
        "enabled: true # built in",
    ] {
        contains(&shown[near..far], line);
    }
    for line in ["failure_threshold: 3 # main.yaml:7", "title: \"\" # built in", "owner: orders # orders.yaml:1"] {
        contains(&shown[far..], line);
    }
    let back: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(back["probes"].as_array().unwrap().len(), 3, "{text}");
    assert_eq!(back["probes"][1]["checks"][1]["owner"], "network", "{text}");
}

#[test]
fn a_health_check_that_nobody_listed_is_a_warning_after_two_failed_runs() {
    let health = |text: &str| {
        let settings = load_files(&[("a.yaml", text)]);
        let found = probe(&settings, "a").checks.iter().find(|check| check.kind == "health").cloned();
        found.map(|check| (check.severity, check.failure_threshold, check.gate))
    };
    let of = |more: &str| health(&format!("probes: [{{name: a, tcp: {{address: a:1}}{more}}}]\n"));
    assert_eq!(of(""), Some((Severity::Warning, 2, true)));
    assert_eq!(of(", health: true"), Some((Severity::Warning, 2, true)));
    assert_eq!(of(", checks: [{latency: {p95: 1s}}]"), Some((Severity::Warning, 2, true)));
    assert_eq!(of(", checks: [health]"), Some((Severity::Critical, 1, true)));
    assert_eq!(of(", severity: critical, failure_threshold: 5"), Some((Severity::Critical, 5, true)));
    assert_eq!(of(", severity: info"), Some((Severity::Info, 2, false)));
    assert_eq!(of(", health: false, checks: [{latency: {p95: 1s}}]"), None);
    let defaults = "defaults: {failure_threshold: 1, severity: critical}\nprobes: [{name: a, tcp: {address: a:1}}]\n";
    assert_eq!(health(defaults), Some((Severity::Critical, 1, true)));
}

#[test]
fn mistakes_in_inherited_values_are_reported_at_their_place() {
    let said = |text: &str| output_text(&[("a.yaml", text)], &[]);
    for (text, message) in [
        ("owner: a\ntitle: b\nprobes: []\n", "a.yaml:2:1: unknown key `title`"),
        (
            "runbook: nowhere\nprobes: []\n",
            "a.yaml:1:10: expected the whole address of a page (http:// or https://), or steps in Markdown",
        ),
        ("timeout: 31s\nprobes: []\n", "a.yaml:1:10: `timeout: 31s` is longer than the interval, which is 30s"),
        ("failure_threshold: 0\nprobes: []\n", "a.yaml:1:20: `failure_threshold` must be at least 1"),
        ("severity: high\nprobes: []\n", "a.yaml:1:11: "),
        ("labels: {job: x}\nprobes: []\n", "a.yaml:1:10: the label `job` says where Prometheus scraped"),
        ("defaults: {labels: {title: x}}\nprobes: []\n", "a.yaml:1:21: the label `title` is already used"),
        (
            "probes: [{name: a, tcp: {address: a:1}, health: false}]\n",
            "a.yaml:1:41: without its health check, this probe has no check",
        ),
        (
            "probes: [{name: a, tcp: {address: a:1}, health: false, checks: [health]}]\n",
            "a.yaml:1:41: `health: false` removes the health check, but `checks` lists one",
        ),
        (
            "probes: [{name: a, tcp: {address: a:1}, title: \"two\\nlines\"}]\n",
            "a.yaml:1:48: `title` must be one line of visible characters",
        ),
        ("probes: [{name: a, tcp: {address: a:1}, checks: [{health: {interval: 1s}}]}]\n", "unknown key `interval`"),
    ] {
        let said = said(text);
        assert!(said.contains(message), "{text}: {said}");
    }
}
