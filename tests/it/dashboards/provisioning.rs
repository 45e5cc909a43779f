//! The files from which Grafana provisions itself: with the folder grafana/ at /etc/grafana they point to what exists.

use std::fs;

use serde_json::{Value, json};

use super::model::folder;

fn read(name: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(folder().join("provisioning").join(name)).unwrap()).unwrap()
}

#[test]
fn the_dashboards_are_loaded_from_the_folder_in_which_they_are() {
    let file = read("dashboards/readiness.yaml");
    let provider = &file["providers"][0];
    assert_eq!((&file["apiVersion"], &provider["type"]), (&json!(1), &json!("file")));
    let path = provider["options"]["path"].as_str().unwrap();
    let inside = path.strip_prefix("/etc/grafana/").unwrap();
    assert!(folder().join(inside).join("overview.json").is_file(), "{path}");
    assert!(provider["updateIntervalSeconds"].as_u64().unwrap() > 10, "Grafana looks no more often");
}

#[test]
fn the_data_source_is_the_kind_that_the_dashboards_ask_for() {
    let file = read("datasources/prometheus.yaml");
    let source = &file["datasources"][0];
    assert_eq!(
        (&file["apiVersion"], &source["type"], &source["isDefault"]),
        (&json!(1), &json!("prometheus"), &json!(true))
    );
}
