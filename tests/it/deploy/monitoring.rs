//! What the Prometheus operator and Grafana get: found by them, and made of what is kept in `grafana/`.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{
    kubernetes::{list, one, rendered},
    tools::{root, text},
};

#[test]
fn the_pod_monitor_finds_both_and_scrapes_the_port_that_they_have() {
    let monitoring = rendered("monitoring");
    let monitor = &one(&monitoring, "PodMonitor")["spec"];
    let wanted = &monitor["selector"]["matchExpressions"][0];
    for folder in ["standalone", "example"] {
        let manifests = rendered(folder);
        let template = &one(&manifests, "Deployment")["spec"]["template"];
        let label = &template["metadata"]["labels"][wanted["key"].as_str().unwrap()];
        assert!(list(&wanted["values"]).contains(label), "{folder}: {label}");
    }
    assert_eq!(monitor["podMetricsEndpoints"][0]["port"], "readiness");
}

#[test]
fn the_service_monitor_finds_the_service_and_scrapes_its_port() {
    let monitor: Value = serde_saphyr::from_str(&text("deploy/kubernetes/monitoring/servicemonitor.yaml")).unwrap();
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let manifests = rendered("standalone");
    let service = one(&manifests, "Service");
    assert!(!wanted.is_empty() && wanted.iter().all(|(key, value)| service["metadata"]["labels"][key] == *value));
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"]);
    // It is the alternative of the PodMonitor: with both, each daemon would be scraped twice.
    assert!(rendered("monitoring").iter().all(|manifest| manifest["kind"] != "ServiceMonitor"));
}

#[test]
fn both_monitors_keep_the_labels_of_the_page() {
    let monitoring = rendered("monitoring");
    let service_monitor: Value =
        serde_saphyr::from_str(&text("deploy/kubernetes/monitoring/servicemonitor.yaml")).unwrap();
    let endpoints = [
        list(&one(&monitoring, "PodMonitor")["spec"]["podMetricsEndpoints"]),
        list(&service_monitor["spec"]["endpoints"]),
    ];
    for endpoints in endpoints {
        assert!(!endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint["honorLabels"] == true));
    }
}

#[test]
fn dashboards_are_made_of_the_files_in_grafana() {
    let monitoring = rendered("monitoring");
    let mut rendered = BTreeSet::new();
    for map in monitoring.iter().filter(|manifest| manifest["kind"] == "ConfigMap") {
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        for (name, content) in map["data"].as_object().unwrap() {
            assert_eq!(content.as_str().unwrap(), text(&format!("grafana/dashboards/{name}")), "{name}");
            rendered.insert(name.clone());
        }
    }
    let files = fs::read_dir(root().join("grafana/dashboards")).unwrap();
    let files: BTreeSet<_> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(rendered, files);
}
