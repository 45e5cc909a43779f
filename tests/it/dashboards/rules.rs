//! The dashboard model: requirements of a clean import, and the rules of Grafana's dashboard-linter.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use super::model::{Dashboard, all, strings, targets, text};

/// Panel types of Grafana that are not deprecated.
const TYPES: [&str; 5] = ["row", "stat", "state-timeline", "table", "timeseries"];

/// Units of Grafana in use.
const UNITS: [&str; 7] = ["none", "short", "s", "percentunit", "bytes", "cps", "dateTimeAsLocalNoDateIfToday"];

/// Calls a function for every panel of every dashboard.
fn each_panel(mut look: impl FnMut(&Dashboard, &Value, &str)) {
    for dashboard in all() {
        for panel in dashboard.panels() {
            look(&dashboard, panel, &format!("{} {}", dashboard.name, panel["title"]));
        }
    }
}

#[test]
fn the_files_are_formatted_as_a_machine_would() {
    for dashboard in all() {
        let canonical = serde_json::to_string_pretty(&dashboard.json).unwrap() + "\n";
        assert!(dashboard.text == canonical, "{}: indent it by two spaces, as jq does", dashboard.name);
    }
}

#[test]
fn a_dashboard_imports_as_it_is() {
    for dashboard in all() {
        let model = &dashboard.json;
        assert_eq!(dashboard.uid(), format!("readiness-{}", dashboard.name));
        assert_eq!(model["id"], Value::Null, "numbers belong to one Grafana");
        // Inputs are filled by hand only: provisioning leaves them unresolved.
        assert!(model["__inputs"].is_null() && model["__requires"].is_null(), "{}", dashboard.name);
        assert_eq!(model["schemaVersion"], 39, "{}", dashboard.name);
        assert_eq!(model["editable"], false, "{}", dashboard.name);
        assert_eq!(model["tags"], json!(["readiness-exporter"]));
        assert!(!text(model, "title").is_empty() && text(model, "description").ends_with('.'));
        let links = &model["links"][0];
        let kept = (&links["type"], &links["tags"], &links["includeVars"], &links["keepTime"]);
        assert_eq!(kept, (&json!("dashboards"), &json!(["readiness-exporter"]), &json!(true), &json!(true)));
    }
    let titles: BTreeSet<_> = all().iter().map(|dashboard| text(&dashboard.json, "title")).collect();
    assert_eq!(titles.len(), all().len());
}

#[test]
fn panels_have_their_own_number_and_place() {
    for dashboard in all() {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in dashboard.panels() {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{} {}", dashboard.name, panel["id"]);
            assert!(at("w") > 0 && at("h") > 0 && at("x") + at("w") <= 24, "{} {}", dashboard.name, panel["title"]);
            for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{}: {} lies on another panel", dashboard.name, panel["title"]);
            }
        }
    }
}

#[test]
fn panels_have_known_types_and_descriptions() {
    each_panel(|_, panel, what| {
        assert!(TYPES.contains(&&*text(panel, "type")), "{what}");
        assert!(!text(panel, "title").is_empty(), "{what}");
        if panel["type"] != "row" {
            assert!(text(panel, "description").ends_with('.'), "{what} has no description");
            assert!(!targets(panel).is_empty(), "{what} asks nothing");
            assert!(
                !text(&panel["fieldConfig"]["defaults"], "noValue").is_empty(),
                "{what}: what if there is nothing?"
            );
        }
    });
}

#[test]
fn panels_have_units_that_grafana_knows() {
    each_panel(|_, panel, what| {
        let config = &panel["fieldConfig"];
        if ["stat", "table", "timeseries"].contains(&&*text(panel, "type")) {
            assert!(UNITS.contains(&&*text(&config["defaults"], "unit")), "{what}");
        }
        let overrides = config["overrides"].as_array().into_iter().flatten();
        for property in overrides.flat_map(|rule| rule["properties"].as_array().unwrap()) {
            assert!(property["id"] != "unit" || UNITS.contains(&property["value"].as_str().unwrap()), "{what}");
        }
    });
}

#[test]
fn everything_asks_the_data_source_that_was_chosen() {
    let chosen = json!({"type": "prometheus", "uid": "${datasource}"});
    each_panel(|dashboard, panel, what| {
        if panel["type"] != "row" {
            let asked = panel["targets"].as_array().unwrap().iter().map(|target| &target["datasource"]);
            assert!(asked.chain([&panel["datasource"]]).all(|source| *source == chosen), "{what}");
        }
        let asked = dashboard.annotations().map(|annotation| &annotation["datasource"]);
        let more = dashboard.variables().iter().filter(|variable| variable["type"] == "query");
        assert!(asked.chain(more.map(|variable| &variable["datasource"])).all(|source| *source == chosen), "{what}");
        let variable = dashboard.variable("datasource");
        let is = (&variable["type"], &variable["query"], &variable["label"]);
        assert_eq!(is, (&json!("datasource"), &json!("prometheus"), &json!("Data source")));
    });
}

#[test]
fn variables_follow_the_time_range_and_take_several_values() {
    let label_values = Regex::new(r#"^label_values\([a-z_]+(\{[^}]+\})?, [a-z_]+\)$"#).unwrap();
    for dashboard in all() {
        let names: Vec<_> = dashboard.variables().iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"], "{}", dashboard.name);
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            let name = text(variable, "name");
            assert!(label_values.is_match(&text(variable, "query")), "{}: {}", dashboard.name, variable["query"]);
            assert_eq!((&variable["refresh"], &variable["multi"]), (&json!(2), &json!(true)), "{name}");
            assert_eq!(variable["query"], variable["definition"], "{name}");
            assert_eq!(text(variable, "label").to_lowercase(), name);
        }
        for name in ["job", "instance"] {
            assert_eq!(dashboard.variable(name)["allValue"], ".+", "{}", dashboard.name);
        }
    }
}

#[test]
fn every_selector_is_narrowed_to_the_chosen_jobs_and_instances() {
    let selector = Regex::new(r"\{([^}]*)\}").unwrap();
    for (what, expression) in all().iter().flat_map(Dashboard::expressions) {
        assert!(selector.is_match(&expression), "{what} selects nothing");
        for found in selector.captures_iter(&expression) {
            let narrowed = found[1].starts_with(r#"job=~"$job", instance=~"$instance""#);
            assert!(narrowed, "{what}: {}", &found[0]);
        }
    }
}

#[test]
fn counters_are_seen_as_rates_over_the_interval_that_fits() {
    let counter = Regex::new(r"(\w+)\(\w+_total\{[^}]*\}\[(\$__\w+)\]|\w+_total").unwrap();
    for (what, expression) in all().iter().flat_map(Dashboard::expressions) {
        for found in counter.captures_iter(&expression) {
            let function = found.get(1).map_or("", |name| name.as_str());
            let range = found.get(2).map_or("", |range| range.as_str());
            let fits = match function {
                "rate" => range == "$__rate_interval",
                // In a table, over the time range of the dashboard.
                "increase" => range == "$__rate_interval" || range == "$__range",
                _ => false,
            };
            assert!(fits, "{what}: {}", &found[0]);
        }
    }
}

#[test]
fn no_limit_is_typed_in() {
    // Zero and one separate "none" from "some", or values within a limit from values beyond it. They are not limits.
    each_panel(|_, panel, what| {
        let mut steps = Vec::new();
        thresholds(panel, &mut steps);
        assert!(steps.iter().all(|step| step.is_null() || *step == 0 || *step == 1), "{what}: {steps:?}");
    });
}

/// The values of all threshold steps below a value.
fn thresholds<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| thresholds(value, found)),
        Value::Object(map) => {
            if let Some(steps) = map.get("steps").and_then(Value::as_array) {
                found.extend(steps.iter().map(|step| &step["value"]));
            }
            map.values().for_each(|value| thresholds(value, found));
        }
        _ => {}
    }
}

#[test]
fn a_status_has_one_colour_everywhere() {
    let (green, orange, red, purple, grey) = ("green", "orange", "red", "purple", "#8e8e8e");
    let colours =
        [("pass", green), ("warn", orange), ("fail", red), ("unknown", purple), ("pending", grey), ("skipped", grey)];
    let mut seen = 0;
    each_panel(|_, panel, what| {
        let mut mappings = Vec::new();
        mapped(panel, &mut mappings);
        for mapping in mappings {
            let known = colours.iter().find(|(status, _)| mapping["text"] == *status);
            if let Some((status, colour)) = known.filter(|_| mapping["color"].is_string()) {
                assert_eq!(mapping["color"], *colour, "{what}: {status}");
                seen += 1;
            }
        }
    });
    assert!(seen >= 6 * 5, "{seen} mappings of a status");
}

/// Every object with a text and a colour below a value.
fn mapped<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| mapped(value, found)),
        Value::Object(map) => {
            if map.contains_key("text") && map.contains_key("color") {
                found.push(value);
            }
            map.values().for_each(|value| mapped(value, found));
        }
        _ => {}
    }
}

#[test]
fn nothing_in_a_dashboard_belongs_to_one_installation() {
    for dashboard in all() {
        for url in strings(&dashboard.json, "url").into_iter().filter(|url| !url.is_empty()) {
            let own = url.starts_with("/d/readiness-") || url.starts_with("http://${__") || url.starts_with("${__");
            assert!(own, "{}: {url}", dashboard.name);
        }
    }
}
