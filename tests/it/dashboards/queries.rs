//! A real Prometheus evaluates every query. It scrapes two real daemons: the demo without faults, and a shop with many
//! faults, so that the panels that list faults have rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use regex::{Captures, Regex};
use serde_json::Value;

use super::model::{Dashboard, all, folder, targets, text};
use crate::{
    demo::{Demo, address},
    harness::{
        certificates::Authority,
        daemon::{Daemon, Home},
        free_port,
        nginx::Nginx,
        prometheus::{Labels, Prometheus},
        until,
    },
};

/// One probe for each family that the demo does not expose, one that is down, and backups that were never made. The
/// demo has a probe `api`, too, because two daemons may use the same name. One probe has labels with the names of other
/// labels.
const SHOP: &str = "
    - name: api
      http: {url: \"http://127.0.0.1:${NOBODY}/health\"}
      checks:
        - health: {owner: team-shop, runbook: \"https://runbooks.example.com/api\"}
          title: The shop is open
          summary: Nobody can order.
        - latency: {p95: 400ms, window: 5m}
        - error_rate: {max: 5%, window: 5m}
    - name: site
      tcp: {address: \"localhost:${TLS}\", address_family: ip4, tls: {ca: \"${HOME_FOLDER}/ca.pem\"}}
      labels: {status: odd, alertname: odd, le: \"1\", percentile: \"p95\", namespace: odd}
      checks: [{certificate: {min_remaining: {warn: 30d, fail: 7d}}}]
    - name: numbers
      metrics: {url: \"http://127.0.0.1:${PLAIN}/metrics\"}
      checks:
        - pool: {used: used, size: size, waiting: waiting, max_utilization: 90%, max_waiting: 5}
        - name: level
          value: {series: level, min: 1, max: {warn: 5, fail: 9}}
        - name: pace
          value: {series: level, rate: true, max: 5, window: 2s}
    - name: nightly
      backups: {files: \"${HOME_FOLDER}/nightly-*.dump\"}
      checks: [{freshness: {max_age: 26h}}]
    - name: weekly
      backups: {files: \"${HOME_FOLDER}/weekly-*.dump\", stable_for: 0s}
      checks: [{freshness: {max_age: {warn: 1ms, fail: 8d}}}]
    ";

/// The daemons, their targets, and the Prometheus that scrapes the daemons.
struct Scene {
    prometheus: Prometheus,
    _demo: Demo,
    _shop: Daemon,
    _watched: [Nginx; 2],
}

impl Scene {
    async fn start() -> Self {
        let authority = Authority::new();
        let plain = Nginx::start("location = /metrics { return 200 'used 3\\nsize 10\\nwaiting 1\\nlevel 6\\n'; }");
        let tls = Nginx::start_tls(|folder| authority.certify(folder, "localhost", 24 * 20));
        let home = Home::new(&[SHOP]).with("NOBODY", free_port().to_string());
        let home = home.with("TLS", tls.port.to_string()).with("PLAIN", plain.port.to_string());
        authority.write(&home.path("ca.pem"));
        home.write("weekly-1.dump", "whole");
        let shop = home.serve();
        let demo = Demo::start(&["--calm"]);
        let metrics = demo.wait("addresses", 10, |said| address(said, "metrics"));
        let demo_address = metrics.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
        let jobs = [("demo", demo_address), ("shop", shop.address.to_string())];
        let prometheus = Prometheus::configured(&configuration(&jobs)).await;
        Self { prometheus, _demo: demo, _shop: shop, _watched: [plain, tls] }
    }

    /// The variables of a dashboard with the values of Grafana for a selection of everything.
    async fn everything(&self, dashboard: &Dashboard) -> Result<BTreeMap<String, String>, String> {
        let mut chosen = BTreeMap::new();
        for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
            let name = text(variable, "name");
            let values = self.values(variable, &chosen).await?;
            // Without a word for all values, Grafana lists them.
            let all = variable["allValue"].as_str().map_or_else(|| several(&values), str::to_owned);
            chosen.insert(name, all);
        }
        Ok(chosen)
    }

    /// The values that a variable offers.
    async fn values(&self, variable: &Value, chosen: &BTreeMap<String, String>) -> Result<BTreeSet<String>, String> {
        let query = filled(&text(variable, "query"), chosen);
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (series, label) = inside.rsplit_once(", ").unwrap();
        let values = self.prometheus.label_values(series, label).await?;
        if values.is_empty() { Err(format!("{query} has no values")) } else { Ok(values) }
    }
}

/// Starts a Prometheus that scrapes each target under the name of its job and evaluates the shipped rules. As in a
/// cluster, the targets have additional labels. Aggregated vectors lack these labels, so each operator needs a matching
/// clause.
fn configuration(jobs: &[(&str, String)]) -> String {
    let rules = folder().join("../alerts/rules/*.yaml");
    let jobs = jobs.iter();
    let jobs = jobs.map(|(job, target)| {
        let labels = format!("{{namespace: shops, pod: {job}-0}}");
        format!("- {{job_name: {job}, honor_labels: true, static_configs: [{{targets: [\"{target}\"], labels: {labels}}}]}}\n")
    });
    format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 1s}}\n\
         rule_files: [\"{}\"]\nscrape_configs:\n{}",
        rules.display(),
        jobs.collect::<String>()
    )
}

/// Several selected values in the syntax of Grafana for a regular expression.
fn several(values: &BTreeSet<String>) -> String {
    // Grafana also escapes for the string around the expression.
    let escaped: Vec<_> = values.iter().map(|value| regex::escape(value).replace('\\', "\\\\")).collect();
    format!("({})", escaped.join("|"))
}

/// A query with its variables filled in.
fn filled(query: &str, chosen: &BTreeMap<String, String>) -> String {
    let variable = Regex::new(r"\$(\w+)").unwrap();
    let value = |found: &Captures<'_>| match &found[1] {
        "__rate_interval" => "5s".to_owned(),
        "__range" => "60s".to_owned(),
        name => chosen.get(name).unwrap_or_else(|| panic!("{query}: there is no variable {name}")).clone(),
    };
    variable.replace_all(query, value).into_owned()
}

/// The legend of a row; `None` if the legend contains a label that the row lacks.
fn legend(format: &str, row: &Labels) -> Option<String> {
    let label = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let whole = label.captures_iter(format).all(|found| row.get(&found[1]).is_some_and(|value| !value.is_empty()));
    whole.then(|| label.replace_all(format, |found: &Captures<'_>| row[&found[1]].clone()).into_owned())
}

/// Errors of a panel; none once its data is available.
async fn panel_problem(scene: &Scene, panel: &Value, chosen: &BTreeMap<String, String>) -> Option<String> {
    let (mut columns, mut legends) = (BTreeSet::new(), BTreeSet::new());
    for target in targets(panel) {
        let query = filled(&target.expression, chosen);
        let rows = match scene.prometheus.rows(&query, !target.instant).await {
            Ok(rows) if rows.is_empty() => return Some(format!("no rows: {query}")),
            Ok(rows) => rows,
            Err(error) => return Some(format!("{error}: {query}")),
        };
        columns.extend(["Value".to_owned(), format!("Value #{}", target.reference)]);
        for row in rows {
            columns.extend(row.iter().filter(|(_, value)| !value.is_empty()).map(|(label, _)| label.clone()));
            if target.table {
                // Several queries result in one row only if their rows have the same labels.
                if row.contains_key("__name__") {
                    return Some(format!("rows keep the name of the metric: {query}"));
                }
                continue;
            }
            let Some(legend) = legend(&target.legend, &row) else {
                return Some(format!("{} can't be filled by {row:?}", target.legend));
            };
            if !legends.insert(legend.clone()) {
                return Some(format!("two rows are called {legend}"));
            }
        }
    }
    let transformations = panel["transformations"].as_array().into_iter().flatten();
    let named = transformations.filter_map(|step| step["options"]["renameByName"].as_object());
    let missing: Vec<_> = named.flat_map(|names| names.keys()).filter(|name| !columns.contains(*name)).collect();
    (!missing.is_empty()).then(|| format!("no column {missing:?} in {columns:?}"))
}

/// All parts of a dashboard without the expected data.
async fn problems(scene: &Scene, dashboard: &Dashboard) -> Result<(), Vec<String>> {
    let chosen = scene.everything(dashboard).await.map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    for panel in dashboard.charts() {
        let problem = panel_problem(scene, panel, &chosen).await;
        problems.extend(problem.map(|problem| format!("{} {}: {problem}", dashboard.name, panel["title"])));
    }
    for annotation in dashboard.annotations() {
        let name = format!("{} annotation {}", dashboard.name, annotation["name"]);
        match annotation_problem(scene, annotation, &chosen).await {
            Ok(()) => {}
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Checks that the value of an annotation is a recent time in milliseconds and not in the future.
async fn annotation_problem(
    scene: &Scene,
    annotation: &Value,
    chosen: &BTreeMap<String, String>,
) -> Result<(), String> {
    let query = filled(&text(annotation, "expr"), chosen);
    let rows = scene.prometheus.rows(&query, true).await?;
    let row = rows.first().ok_or(format!("no rows: {query}"))?;
    legend(&text(annotation, "titleFormat"), row).ok_or(format!("{row:?} lacks what the title names"))?;
    let at = scene.prometheus.number(&query).await.ok_or("no value")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3;
    if (now - 600e3..now + 1e3).contains(&at) { Ok(()) } else { Err(format!("{at} at {now}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_has_rows_with_whole_and_distinct_legends_from_two_daemons() {
    let scene = Scene::start().await;
    for dashboard in all() {
        until(&format!("the data of {}", dashboard.name), async || problems(&scene, &dashboard).await).await;
    }
    narrows(&scene).await;
    says_what_is_wrong(&scene).await;
}

/// Checks that a selection of values restricts the rows.
async fn narrows(scene: &Scene) {
    for dashboard in all() {
        let mut chosen = scene.everything(&dashboard).await.unwrap();
        let instances = scene.values(dashboard.variable("instance"), &chosen).await.unwrap();
        assert_eq!(instances.len(), 2, "{instances:?}");
        let values = scene.values(dashboard.variable("job"), &chosen).await.unwrap();
        assert_eq!(values, ["demo", "shop"].map(str::to_owned).into());
        let mut several_rows = 0;
        for (what, expression) in dashboard.expressions() {
            let count = async |chosen: &BTreeMap<String, String>| {
                scene.prometheus.rows(&filled(&expression, chosen), false).await.unwrap().len()
            };
            let everything = count(&chosen).await;
            chosen.insert("instance".to_owned(), several(&instances));
            assert_eq!(count(&chosen).await, everything, "{what}: all of them by name");
            chosen.insert("instance".to_owned(), "nowhere".to_owned());
            assert_eq!(count(&chosen).await, 0, "{what}: none of them");
            chosen.insert("instance".to_owned(), ".+".to_owned());
            several_rows += usize::from(everything > 1);
        }
        assert!(several_rows > 5, "{}: {several_rows} with several rows", dashboard.name);
    }
}

/// Checks that the first table lists the faults of the shop and nothing of the demo.
async fn says_what_is_wrong(scene: &Scene) {
    let all = all();
    let overview = all.iter().find(|dashboard| dashboard.name == "overview").unwrap();
    let chosen = scene.everything(overview).await.unwrap();
    let panel = |title: &str| overview.charts().find(|panel| panel["title"] == title).unwrap();
    let ask = async |title: &str, chosen: &BTreeMap<String, String>| {
        scene.prometheus.rows(&filled(&targets(panel(title))[0].expression, chosen), false).await.unwrap()
    };
    let rows = ask("What is not well", &chosen).await;
    let listed: BTreeSet<_> =
        rows.iter().map(|row| [&*row["probe"], &*row["check"], &*row["status"]].join(" ")).collect();
    let wanted = [
        "api error_rate fail",
        "api health fail",
        "api latency unknown",
        "nightly freshness fail",
        "numbers level warn",
        "site certificate warn",
        "weekly freshness warn",
    ];
    assert_eq!(listed, wanted.map(str::to_owned).into());
    assert!(rows.iter().all(|row| row["job"] == "shop" && row["service"] == "shop"), "{rows:?}");
    let verdict = async |service: &str| {
        let mut chosen = chosen.clone();
        chosen.insert("service".to_owned(), service.to_owned());
        let query = filled(&targets(panel("Verdict"))[0].expression, &chosen);
        scene.prometheus.number(&query).await
    };
    assert_eq!((verdict("shop").await, verdict("orders").await), (Some(0.0), Some(1.0)));
    assert_eq!(verdict("nobody").await, None, "nothing known is not ready, but no data");
}
