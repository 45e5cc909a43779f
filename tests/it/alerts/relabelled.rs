//! The alerts where Prometheus scrapes without `honor_labels`: each label of the page that the target has too is renamed
//! to `exported_…`. In Kubernetes that is `service`, which is then the name of the Service object.

use std::fs;

use regex::{Captures, Regex};
use serde_json::Value;

use super::{files, folder, promtool, read};

/// The labels of a target that a ServiceMonitor selected.
const TARGET: [(&str, &str); 5] = [
    ("namespace", "shops"),
    ("pod", "orders-0"),
    ("container", "readiness"),
    ("endpoint", "metrics"),
    ("service", "orders-metrics"),
];

#[test]
fn without_honor_labels_each_alert_is_the_same_but_for_its_service() {
    let copies = tempfile::tempdir().unwrap();
    let mut tests = Vec::new();
    let mut compared = 0;
    // The daemon's own alerts are made of series without a label that the target has, too.
    for path in files("tests").into_iter().filter(|path| fs::read_to_string(path).unwrap().contains("service=\"")) {
        let mut document = read(&path);
        for rules in document["rule_files"].as_array_mut().unwrap() {
            *rules = folder("tests").join(rules.as_str().unwrap()).to_str().unwrap().into();
        }
        for test in document["tests"].as_array_mut().unwrap() {
            compared += relabel(test);
        }
        let copy = copies.path().join(path.file_name().unwrap());
        fs::write(&copy, document.to_string()).unwrap();
        tests.push(copy);
    }
    assert!(compared > 40, "{compared} alerts have a service");
    promtool(&["test", "rules"], &tests);
}

#[test]
fn every_scrape_in_the_documents_honors_the_labels_of_the_page() {
    for file in ["deploy/compose/prometheus.yml", "README.md"] {
        let text = fs::read_to_string(folder("..").join(file)).unwrap();
        let scrapes = text.matches("- job_name: ").count();
        assert!(scrapes > 0 && text.matches("honor_labels: true").count() == scrapes, "{file}");
    }
}

/// Turns a test into one of the series and alerts as they are without `honor_labels`; returns the number of alerts.
fn relabel(test: &mut Value) -> usize {
    for series in test["input_series"].as_array_mut().unwrap() {
        series["series"] = relabelled(series["series"].as_str().unwrap()).into();
    }
    let assertions = test["alert_rule_test"].as_array_mut().unwrap().iter_mut();
    let expected = assertions.flat_map(|assertion| assertion["exp_alerts"].as_array_mut().into_iter().flatten());
    expected.map(expect_target).count()
}

/// A series as Prometheus stores it when labels of the target go first.
fn relabelled(series: &str) -> String {
    let label = Regex::new(r#"(\w+)="((?:[^"\\]|\\.)*)""#).unwrap();
    let rename = |found: &Captures<'_>| {
        let taken = TARGET.iter().any(|(name, _)| *name == &found[1]);
        format!("{}{}=\"{}\"", if taken { "exported_" } else { "" }, &found[1], &found[2])
    };
    let renamed = label.replace_all(series, rename);
    let target: String = TARGET.iter().map(|(name, value)| format!(",{name}=\"{value}\"")).collect();
    match renamed.strip_suffix('}') {
        Some(start) => format!("{start}{target}}}"),
        None => format!("{renamed}{{{}}}", &target[1..]),
    }
}

/// The same alert with the labels of the target; its service is that of the target.
fn expect_target(alert: &mut Value) {
    let own = alert["exp_labels"]["service"].as_str().unwrap().to_owned();
    for (name, value) in TARGET {
        alert["exp_labels"][name] = value.into();
    }
    let description = alert["exp_annotations"]["description"].as_str().unwrap();
    let rest = description.strip_prefix(&format!("{own}: ")).unwrap_or(description);
    alert["exp_annotations"]["description"] = format!("orders-metrics: {rest}").into();
}
