//! The words in the dashboards: metrics, labels, statuses, kinds of checks and links are those that exist.

use std::{collections::BTreeSet, fs};

use readiness_exporter::{
    catalogue,
    model::{
        metric::{self, limit_family, value_family},
        units::Unit,
        words::Status,
    },
};
use regex::Regex;
use serde_json::Value;

use super::model::{Dashboard, all, folder, strings, targets, text};

/// Metrics of the process and of Prometheus itself, with the labels that they have beside `job` and `instance`.
const FOREIGN: &[(&str, &[&str])] = &[
    ("process_cpu_seconds_total", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_start_time_seconds", &[]),
    ("process_open_fds", &[]),
    ("process_max_fds", &[]),
    ("process_threads", &[]),
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity"]),
    ("ALERTS_FOR_STATE", &["alertname", "severity"]),
];

/// The labels of a metric, if there is such a metric.
fn labels(metric: &str) -> Option<Vec<&'static str>> {
    let ours = metric::ALL.iter().find(|family| family.name == metric).map(|family| family.labels);
    let foreign = FOREIGN.iter().find(|(name, _)| *name == metric).map(|(_, labels)| *labels);
    Some([ours.or(foreign)?, &["job", "instance"]].concat())
}

/// Every selector: the metric, and what stands between its braces.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let selector = Regex::new(r"(\w*)\{([^}]*)\}").unwrap();
    selector.captures_iter(expression).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

/// Everything that is asked: panels, annotations and variables.
fn asked() -> Vec<(String, String)> {
    let variables = |dashboard: &Dashboard| {
        let queries = dashboard.variables().iter().filter(|variable| variable["type"] == "query");
        queries.map(|variable| (dashboard.name.clone(), text(variable, "query"))).collect::<Vec<_>>()
    };
    all().iter().flat_map(|dashboard| [dashboard.expressions(), variables(dashboard)].concat()).collect()
}

#[test]
fn every_metric_and_label_exists() {
    let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*""#).unwrap();
    let grouped = Regex::new(r"\b(?:by|on|group_left|without|ignoring) \(([^)]*)\)").unwrap();
    for (what, expression) in asked() {
        let mut known = BTreeSet::new();
        for (metric, inside) in selectors(&expression) {
            let labels = labels(&metric).unwrap_or_else(|| panic!("{what}: there is no metric {metric}"));
            for found in matcher.captures_iter(&inside) {
                assert!(labels.contains(&&found[1]), "{what}: {metric} has no label {}", &found[1]);
            }
            known.extend(labels);
        }
        for found in grouped.captures_iter(&expression) {
            for label in found[1].split(", ").filter(|label| !label.is_empty()) {
                assert!(known.contains(label), "{what}: nothing here has a label {label}");
            }
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let left_out = BTreeSet::from([
        // Counted from the statuses themselves, so that it can be narrowed to a service.
        "readiness_checks",
        // Its failures are shown, with their reasons.
        "readiness_probe_success",
        // Computed from the time of the backup, so that it grows while the probe can't look.
        "readiness_backup_age_seconds",
        // For the alerts: how long an outage goes on being seen.
        "readiness_check_window_seconds",
        // For the alerts, which state the reason in words.
        "readiness_check_reason_info",
        // No check has a measure of this unit yet, so no panel of it could be tried.
        "readiness_check_limit_timestamp_seconds",
        "readiness_check_value_timestamp_seconds",
    ]);
    let shown: BTreeSet<_> =
        asked().iter().flat_map(|(_, expression)| selectors(expression)).map(|(metric, _)| metric).collect();
    let missing: BTreeSet<_> =
        metric::ALL.iter().map(|family| family.name).filter(|name| !shown.contains(*name)).collect();
    assert_eq!(missing, left_out);
}

#[test]
fn no_metric_is_asked_without_saying_of_whom() {
    let outside = Regex::new(r"\{[^}]*\}").unwrap();
    let metric = Regex::new(r"\b(readiness|process|scrape)_\w+|\bup\b|\bALERTS\w*").unwrap();
    for (what, expression) in asked().into_iter().filter(|(_, expression)| !expression.starts_with("label_values(")) {
        // What is left of a selector is its name before an empty mark.
        let rest = outside.replace_all(&expression, "{}");
        for found in metric.find_iter(&rest) {
            assert!(rest[found.end()..].starts_with("{}"), "{what}: {}", found.as_str());
        }
    }
}

#[test]
fn statuses_and_kinds_are_those_of_the_program() {
    let status = Regex::new(r#"status=~?"([^"]*)""#).unwrap();
    let kind = Regex::new(r#"kind="([^"]*)""#).unwrap();
    for (what, expression) in asked() {
        for word in status
            .captures_iter(&expression)
            .flat_map(|found| found[1].split('|').map(str::to_owned).collect::<Vec<_>>())
        {
            assert!(Status::ALL.iter().any(|status| status.as_str() == word), "{what}: {word}");
        }
        for found in kind.captures_iter(&expression) {
            assert!(catalogue::all().iter().any(|kind| kind.name == &found[1]), "{what}: {}", &found[1]);
        }
    }
}

#[test]
fn tables_take_the_alert_of_a_check_from_its_label_and_link_to_its_runbook() {
    let mut tables = 0;
    for dashboard in all() {
        for panel in dashboard.charts().filter(|panel| columns(panel).contains("Own runbook")) {
            let what = format!("{} {}", dashboard.name, panel["title"]);
            let joined = targets(panel)
                .iter()
                .any(|target| target.expression.contains(", alert, runbook_url) readiness_check_info{"));
            assert!(joined && columns(panel).contains("Alert"), "{what} does not show the label");
            let rules = panel["fieldConfig"]["overrides"].as_array().unwrap().iter();
            let column: Vec<_> = rules.filter(|rule| rule["matcher"]["options"] == "Alert").collect();
            let properties = column.iter().flat_map(|rule| rule["properties"].as_array().unwrap());
            assert!(properties.clone().all(|property| property["id"] != "mappings"), "{what} maps kinds to alerts");
            let links: Vec<_> = properties.flat_map(|property| strings(property, "url")).collect();
            assert_eq!(links, ["http://${__data.fields.Instance}/runbooks/${__value.text}"], "{what}");
            tables += 1;
        }
    }
    assert_eq!(tables, 2);
}

#[test]
fn one_panel_for_each_unit_shows_every_value_against_its_limits() {
    let all = all();
    let check = all.iter().find(|dashboard| dashboard.name == "check").unwrap();
    let asked: BTreeSet<Vec<String>> = check
        .charts()
        .map(|panel| targets(panel).iter().flat_map(|target| selectors(&target.expression)).collect::<Vec<_>>())
        // Without a label that narrows to one measure.
        .filter(|found| found.iter().all(|(_, inside)| !inside.contains("measure=")))
        .map(|found| found.into_iter().map(|(metric, _)| metric).collect())
        .collect();
    for unit in [Unit::Seconds, Unit::Bytes, Unit::Ratio, Unit::PerSecond, Unit::Number] {
        let pair = vec![value_family(unit).name.to_owned(), limit_family(unit).name.to_owned()];
        assert!(asked.contains(&pair), "no panel of {pair:?}");
    }
}

#[test]
fn links_lead_to_dashboards_with_the_variables_of_the_link() {
    let all = all();
    let handed = Regex::new(r"[?&]var-(\w+)=|\$\{(\w+):queryparam\}").unwrap();
    let mut found = 0;
    for dashboard in &all {
        for url in strings(&dashboard.json, "url").into_iter().filter(|url| url.starts_with("/d/")) {
            let (uid, _) = url[3..].split_once('?').unwrap();
            let target = all.iter().find(|other| other.uid() == uid).unwrap_or_else(|| panic!("{url}"));
            assert!(url.contains("${__url_time_range}&${datasource:queryparam}"), "{url} keeps time and data source");
            for name in handed.captures_iter(url) {
                // A variable is handed on from one of the same name.
                if let Some(own) = name.get(2) {
                    dashboard.variable(own.as_str());
                }
                target.variable(name.get(1).or(name.get(2)).unwrap().as_str());
            }
            found += 1;
        }
    }
    assert!(found > 5, "{found} links between dashboards");
}

#[test]
fn alerts_lead_to_dashboards_with_the_variables_of_the_link() {
    let all = all();
    let url = Regex::new(r"/d/([a-z-]+)(\?\S*)?").unwrap();
    let handed = Regex::new(r"[?&]var-(\w+)=").unwrap();
    let mut found = 0;
    for file in fs::read_dir(folder().join("../alerts/rules")).unwrap() {
        let rules = fs::read_to_string(file.unwrap().path()).unwrap();
        for link in rules.lines().flat_map(|line| url.captures_iter(line)) {
            let target =
                all.iter().find(|dashboard| dashboard.uid() == &link[1]).unwrap_or_else(|| panic!("{}", &link[0]));
            for name in link.get(2).iter().flat_map(|query| handed.captures_iter(query.as_str())) {
                target.variable(&name[1]);
            }
            found += 1;
        }
    }
    assert!(found > 0, "alerts lead to dashboards");
}

#[test]
fn links_in_a_table_use_columns_that_it_shows() {
    let column = Regex::new(r"\$\{__data\.fields\.([^}]+)\}").unwrap();
    for dashboard in all() {
        for panel in dashboard.charts() {
            let columns = columns(panel);
            for url in strings(panel, "url") {
                for used in column.captures_iter(url) {
                    assert!(columns.contains(&used[1]), "{} {}: {}", dashboard.name, panel["title"], &used[1]);
                }
            }
            let rules = panel["fieldConfig"]["overrides"].as_array().into_iter().flatten();
            for rule in rules.filter(|rule| panel["type"] == "table" && rule["matcher"]["id"] == "byName") {
                let name = rule["matcher"]["options"].as_str().unwrap();
                assert!(columns.contains(name), "{} {}: no column {name}", dashboard.name, panel["title"]);
            }
            let sorted = panel["options"]["sortBy"].as_array().into_iter().flatten();
            for by in sorted {
                assert!(columns.contains(by["displayName"].as_str().unwrap()), "{} {by}", dashboard.name);
            }
        }
    }
}

/// The columns of a table by the names that they are shown with.
fn columns(panel: &Value) -> BTreeSet<String> {
    let steps = panel["transformations"].as_array().into_iter().flatten();
    let renamed = steps.filter_map(|step| step["options"]["renameByName"].as_object());
    renamed.flat_map(|names| names.values()).map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_query_brings_has_a_name_of_its_own() {
    for dashboard in all() {
        for panel in dashboard.charts() {
            let targets = targets(panel);
            let references: BTreeSet<_> = targets.iter().map(|target| &target.reference).collect();
            assert_eq!(references.len(), targets.len(), "{} {}", dashboard.name, panel["title"]);
            let unnamed =
                targets.iter().find(|target| !target.table && (target.legend.is_empty() || target.legend == "__auto"));
            assert!(unnamed.is_none(), "{} {}", dashboard.name, panel["title"]);
        }
    }
}
