//! The alert rules: what they ask for exists, whom they page for is complete, and promtool's tests of them hold.

mod real;
mod relabelled;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use readiness_exporter::{
    catalogue,
    model::{
        metric,
        words::{Alert, Category},
    },
};
use regex::Regex;
use serde_json::Value;

/// What the contract promises of the things that can be checked by now.
const PROMISED: [&str; 20] = [
    "ReadinessProbeDown",
    "ReadinessLatencyHigh",
    "ReadinessErrorRateHigh",
    "ReadinessThroughputOutOfBounds",
    "ReadinessValueOutOfBounds",
    "ReadinessPoolSaturated",
    "ReadinessCertificateExpiring",
    "ReadinessBackupStale",
    "ReadinessBackupMissed",
    "ReadinessCheckFailing",
    "ReadinessCheckUnknown",
    "ReadinessCheckStale",
    "ReadinessExporterDown",
    "ReadinessExporterRestarting",
    "ReadinessConfigReloadFailed",
    "ReadinessProbeOverrun",
    "ReadinessPanicked",
    "ReadinessStateWriteFailing",
    "ReadinessCheckGone",
    "ReadinessHeartbeat",
];

/// One alerting rule; several may have one name.
struct Rule {
    alert: String,
    expression: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    text: Value,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("alerts").join(name)
}

/// The YAML files of a folder, in their order.
fn files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.iter().all(|path| path.extension().is_some_and(|end| end == "yaml")), "{files:?}");
    files
}

fn read(path: &PathBuf) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every entry of every group.
fn entries() -> Vec<Value> {
    let list = |value: &Value, key: &str| value[key].as_array().unwrap().clone();
    files("rules").iter().flat_map(|path| list(&read(path), "groups")).flat_map(|group| list(&group, "rules")).collect()
}

fn rules() -> Vec<Rule> {
    let map = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let alerts = entries().into_iter().filter(|entry| entry["alert"].is_string());
    alerts
        .map(|text| Rule {
            alert: text["alert"].as_str().unwrap().to_owned(),
            expression: text["expr"].as_str().unwrap().to_owned(),
            labels: map(&text["labels"]),
            annotations: map(&text["annotations"]),
            text,
        })
        .collect()
}

/// The names of all alerts in the order of the rules, each once.
fn names() -> Vec<String> {
    let mut names: Vec<_> = rules().into_iter().map(|rule| rule.alert).collect();
    names.dedup();
    names
}

fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new("promtool").args(arguments).args(files).output();
    let output = output.expect("promtool is of Debian's package prometheus: tests/setup installs it");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_finds_nothing_to_mend_in_the_rules() {
    promtool(&["check", "rules", "--lint-fatal"], &files("rules"));
}

#[test]
fn every_alert_does_what_its_tests_say() {
    promtool(&["test", "rules"], &files("tests"));
}

#[test]
fn every_alert_is_tested_to_fire_and_to_stay_silent_for_each_of_its_severities() {
    let mut fires: BTreeSet<String> = BTreeSet::new();
    let mut silent: BTreeSet<String> = BTreeSet::new();
    let mut statuses: BTreeSet<(String, String)> = BTreeSet::new();
    for path in files("tests") {
        let document = read(&path);
        for assertion in
            document["tests"].as_array().unwrap().iter().flat_map(|t| t["alert_rule_test"].as_array().unwrap())
        {
            let alert = assertion["alertname"].as_str().unwrap().to_owned();
            assert_eq!(path.file_stem().unwrap().to_str(), Some(&*alert), "each alert has a file of its own");
            let expected = assertion["exp_alerts"].as_array().cloned().unwrap_or_default();
            if expected.is_empty() { &mut silent } else { &mut fires }.insert(alert.clone());
            let status = |alert: &Value| alert["exp_labels"]["status"].as_str().unwrap_or("").to_owned();
            statuses.extend(expected.iter().map(|one| (alert.clone(), status(one))));
        }
    }
    let names: BTreeSet<_> = names().into_iter().collect();
    assert_eq!(fires, names);
    // What always fires is never silent.
    assert_eq!(silent, names.iter().filter(|name| *name != "ReadinessHeartbeat").cloned().collect());
    let status = Regex::new(r#"^check:readiness_status:held\{status="(\w+)""#).unwrap();
    let mut count = 0;
    for rule in rules() {
        if let Some(found) = status.captures(&rule.expression) {
            count += 1;
            assert!(statuses.contains(&(rule.alert.clone(), found[1].to_owned())), "{} of {}", &found[1], rule.alert);
        }
    }
    assert!(count > 15, "the rules select by status");
}

#[test]
fn every_promised_alert_exists_and_no_other() {
    assert_eq!(names(), PROMISED);
}

/// The value of the label `alert` by which a rule selects the checks that it reports.
fn selected(rule: &Rule) -> Option<String> {
    let matcher = Regex::new(r#"^check:readiness_status:held\{status="\w+",alert="([^"]+)"\}"#).unwrap();
    matcher.captures(&rule.expression).map(|found| found[1].to_owned())
}

#[test]
fn every_kind_of_check_is_reported_by_the_alert_that_it_declares() {
    let declared: BTreeSet<_> =
        catalogue::all().iter().flat_map(|kind| (kind.checks)()).map(|check| check.alert.as_str()).collect();
    let every: BTreeSet<_> = Alert::ALL.iter().map(|alert| alert.as_str()).collect();
    assert_eq!(declared, every, "no alert without a kind");
    // A run works or it doesn't: health never warns.
    for (status, but) in [("fail", None), ("warn", Some(Alert::ProbeDown.as_str()))] {
        let start = format!("check:readiness_status:held{{status=\"{status}\",alert=");
        let all = rules();
        let mut reporting: Vec<_> = all.iter().filter(|rule| rule.expression.starts_with(&start)).collect();
        reporting.sort_by_key(|rule| rule.alert.clone());
        assert!(reporting.iter().all(|rule| selected(rule).as_ref() == Some(&rule.alert)), "{status}");
        let names: Vec<_> = reporting.iter().map(|rule| &*rule.alert).collect();
        let expected: Vec<_> = declared.iter().copied().filter(|alert| Some(*alert) != but).collect();
        assert_eq!(names, expected, "{status}: one rule for each alert");
    }
}

#[test]
fn rules_select_by_alert_and_list_no_kinds() {
    let matcher = Regex::new(r#"\bkind\s*(=~|!~|!=|=)\s*""#).unwrap();
    for entry in entries() {
        let expression = entry["expr"].as_str().unwrap();
        assert!(!matcher.is_match(expression), "{expression}");
        let texts = entry["annotations"].as_object().into_iter().flat_map(|all| all.values());
        for text in texts.map(|text| text.as_str().unwrap()) {
            assert!(!text.contains("if eq $labels.kind"), "{text}");
        }
    }
    // ReadinessCheckStale reports a probe once, by the check that tells of ReadinessProbeDown.
    for kind in catalogue::all() {
        let checks = (kind.checks)();
        let of_health: Vec<_> = checks.iter().filter(|check| check.alert == Alert::ProbeDown).collect();
        assert!(matches!(&of_health[..], [check] if check.name == "health"), "{}", kind.name);
    }
}

#[test]
fn every_metric_and_label_of_the_rules_exists() {
    let metric = Regex::new(r"(\w+:)?readiness_\w+(:\w+)?").unwrap();
    // The selector of a recorded series follows a colon.
    let selector = Regex::new(r"(?:^|[^:\w])(readiness_\w+)\{([^}]*)\}").unwrap();
    let matcher = Regex::new(r"(\w+)\s*(?:=~|!~|!=|=)").unwrap();
    let grouping = Regex::new(r"\b(?:on|by|ignoring|group_left|group_right)\s*\(([^)]*)\)").unwrap();
    let recorded: BTreeSet<_> =
        entries().iter().filter_map(|entry| entry["record"].as_str().map(str::to_owned)).collect();
    let families: BTreeMap<&str, &[&str]> = metric::ALL.iter().map(|family| (family.name, family.labels)).collect();
    let every_label: BTreeSet<&str> =
        families.values().flat_map(|labels| labels.iter().copied()).chain(TARGET).collect();
    let mut seen = 0;
    for entry in entries() {
        let name = entry["alert"].as_str().or(entry["record"].as_str()).unwrap();
        let annotations = entry["annotations"].as_object().into_iter().flat_map(|all| all.values());
        for text in annotations.chain([&entry["expr"]]).map(|text| text.as_str().unwrap()) {
            for found in metric.find_iter(text).map(|found| found.as_str()) {
                seen += 1;
                assert!(families.contains_key(found) || recorded.contains(found), "{name}: no metric {found}");
            }
            for found in selector.captures_iter(text) {
                let labels = families[&found[1]];
                for label in matcher.captures_iter(&found[2]) {
                    let exists = labels.contains(&&label[1]) || TARGET.contains(&&label[1]);
                    assert!(exists, "{name}: {} has no label {}", &found[1], &label[1]);
                }
            }
            for label in grouping
                .captures_iter(text)
                .flat_map(|found| found[1].split(',').map(|l| l.trim().to_owned()).collect::<Vec<_>>())
            {
                let is_made = text.contains(&format!(", \"{label}\", \"$1\", "));
                assert!(label.is_empty() || is_made || every_label.contains(&*label), "{name}: no label {label}");
            }
        }
    }
    assert!(seen > 100, "the rules are read");
}

/// The labels that Prometheus adds to every series.
const TARGET: [&str; 2] = ["job", "instance"];

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_where_to_look() {
    let severities = ["critical", "warning", "info", "none"];
    let one_step_lower = r#"{{ if eq $labels.severity "critical" }}warning{{ else }}info{{ end }}"#;
    let join = Regex::new(r"group_left \(([^)]+)\)").unwrap();
    // The alerts of the checks select from the recorded status, which has these labels.
    let recorded = entries().into_iter().find(|entry| entry["record"] == "check:readiness_status:held").unwrap();
    let recorded = recorded["expr"].as_str().unwrap().to_owned();
    for Rule { alert, expression, labels, annotations, .. } in rules() {
        let is_held = expression.starts_with("check:readiness_status:held{");
        let joined: Vec<_> = join
            .captures(if is_held { &recorded } else { &expression })
            .iter()
            .flat_map(|f| f[1].split(", ").map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let is_about_a_check = is_held || expression.contains("readiness_check_info");
        if is_about_a_check {
            for label in ["severity", "category", "service", "owner", "runbook_url"] {
                assert!(joined.iter().any(|joined| joined == label), "{alert} lacks the label {label}");
            }
            let severity = labels.get("severity").map(String::as_str);
            let is_fail = expression.starts_with(r#"check:readiness_status:held{status="fail""#);
            assert_eq!(severity, (!is_fail).then_some(one_step_lower), "{alert}");
        } else {
            assert!(severities.contains(&&*labels["severity"]), "{alert}");
            assert!(Category::ALL.iter().any(|category| category.as_str() == labels["category"]), "{alert}");
        }
        // A value in a label makes a new alert of each evaluation.
        assert!(labels.values().all(|value| !value.contains("$value") && !value.contains("query")), "{alert}");
        let mut expected = vec!["dashboard_url", "description", "runbook_url"];
        expected.extend(is_about_a_check.then_some("status_url"));
        expected.push("summary");
        expected.extend(is_about_a_check.then_some("title"));
        assert_eq!(annotations.keys().collect::<Vec<_>>(), expected, "{alert}");
        if is_about_a_check {
            let page = "/checks/{{ $labels.probe | urlquery }}/{{ $labels.check | urlquery }}";
            assert!(annotations["status_url"].ends_with(page), "{alert}: {}", annotations["status_url"]);
            assert!(annotations["status_url"].contains("$externalLabels.status_url"), "{alert}");
        }
        let summary = &annotations["summary"];
        assert!(summary.ends_with('.') && !summary.contains("{{") && !summary.contains('\n'), "{alert}: {summary}");
        let runbook = &annotations["runbook_url"];
        assert!(
            runbook.contains("$externalLabels.runbooks_url") && runbook.contains(&format!("/{alert}")),
            "{alert}: {runbook}"
        );
        assert_eq!(runbook.contains("with $labels.runbook_url"), is_about_a_check, "{alert}: {runbook}");
        assert!(annotations["dashboard_url"].starts_with("{{ $externalLabels.grafana_url }}/d/readiness-"), "{alert}");
    }
}

/// How long a rule waits, by the key that says so.
fn seconds(rule: &Rule, key: &str) -> u32 {
    let text = rule.text[key].as_str().unwrap_or("0s");
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u32>().unwrap() * if unit == "m" { 60 } else { 1 }
}

#[test]
fn a_warning_waits_longer_than_a_failure_and_health_pages_at_once() {
    let all = rules();
    let with = |status: &str| {
        let start = format!("check:readiness_status:held{{status=\"{status}\",alert=");
        let mine = all.iter().filter(move |rule| rule.expression.starts_with(&start));
        mine.map(|rule| (rule.alert.clone(), seconds(rule, "for"))).collect::<BTreeMap<_, _>>()
    };
    let (fails, warns) = (with("fail"), with("warn"));
    assert_eq!(fails["ReadinessProbeDown"], 0);
    for (alert, waits) in &warns {
        assert!(*waits > fails[alert], "{alert}");
    }
    // ReadinessProbeDown must fire before the alerts that it inhibits.
    assert!(fails.iter().all(|(alert, waits)| *waits > 0 || alert == "ReadinessProbeDown"), "{fails:?}");
}

/// An alert that fires after its check has passed is notified as firing, with a finding of the past.
#[test]
fn no_alert_outlives_its_check_and_the_state_of_every_firing_check_is_held() {
    let all = rules();
    for rule in &all {
        assert!(rule.text["keep_firing_for"].is_null(), "{}", rule.alert);
    }
    let selected = all.iter().filter(|rule| rule.expression.starts_with("check:readiness_status:held{")).count();
    assert_eq!(selected, 2 * Alert::ALL.len() - 1 + 1, "fail and warn of every alert, no warn of health, and unknown");
    let down = all.iter().find(|rule| rule.alert == "ReadinessExporterDown").unwrap();
    assert!(seconds(down, "for") >= 120, "a restart is shorter");
}

/// How the README words the severity of an alert, from its rules.
fn severity(alert: &str) -> &'static str {
    let mine: Vec<_> = rules().into_iter().filter(|rule| rule.alert == alert).collect();
    match mine[0].labels.get("severity").map(String::as_str) {
        None if mine.len() == 1 => "the check's",
        None => "the check's; for a warning one step lower",
        Some("critical") => "critical",
        Some("warning") => "warning",
        Some("info") => "info",
        Some("none") => "none",
        Some(_) => "one step below the check's",
    }
}

#[test]
fn the_readme_lists_every_alert_with_its_severity() {
    let readme = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let rows = readme
        .lines()
        .skip_while(|line| !line.starts_with("| alert |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let listed: Vec<_> = rows.map(cells).map(|row| (row[0].clone(), row[2].clone())).collect();
    let expected: Vec<_> = names().iter().map(|name| (format!("`{name}`"), severity(name).to_owned())).collect();
    assert_eq!(listed, expected);
}
