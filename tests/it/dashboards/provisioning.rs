//! The files from which Grafana provisions itself: mounted as the documents and compose say, they point to what exists.

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
fn the_documents_say_to_mount_what_compose_mounts_and_nothing_that_hides_grafanas_own() {
    let text = |path: &str| fs::read_to_string(folder().join("..").join(path)).unwrap();
    let compose: Value = serde_saphyr::from_str(&text("deploy/compose/compose.yaml")).unwrap();
    let mounts = compose["services"]["grafana"]["volumes"].as_array().unwrap().iter();
    let mounts: Vec<_> = mounts.filter_map(|mount| mount.as_str()?.strip_prefix("../../")?.split_once(':')).collect();
    assert_eq!(
        mounts.iter().map(|(from, _)| *from).collect::<Vec<_>>(),
        ["grafana/provisioning", "grafana/dashboards"]
    );
    let (readme, comment) = (text("README.md"), text("grafana/provisioning/dashboards/readiness.yaml"));
    for (from, to) in mounts {
        let to = to.trim_end_matches(":ro");
        assert!(to.starts_with("/etc/grafana/"), "{to} would hide grafana.ini");
        assert!(readme.contains(&format!("`{from}` at `{to}`")), "README: {from} at {to}");
        let comment = comment.replace("of this project mounted ", "").replace("\n# ", " ");
        assert!(comment.contains(&format!("{from} at {to}")), "{comment}");
    }
    assert!(!readme.contains("at `/etc/grafana`"));
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
