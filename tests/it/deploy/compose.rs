//! The chain of containers: read by compose itself, and its configuration run with the programs of this machine.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::tools::{output, root, text, tool};
use crate::harness::{
    daemon::{Home, program},
    free_port, reap, signal, wait_until,
};

/// What compose makes of the file.
fn services() -> Vec<(String, Value)> {
    let file = "deploy/compose/compose.yaml";
    let said = output(tool("docker-compose").args(["-f", file, "config", "--format", "json"]));
    let read: Value = serde_json::from_str(&said).unwrap();
    read["services"].as_object().unwrap().clone().into_iter().collect()
}

#[test]
fn compose_reads_the_file_and_every_image_is_one_version() {
    let services = services();
    let names: Vec<_> = services.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["alertmanager", "exporter", "grafana", "pager", "prometheus"]);
    for (name, service) in &services {
        let image = service["image"].as_str().unwrap();
        let tag = image.split_once(':').unwrap_or_else(|| panic!("{image} has no tag")).1.trim_start_matches('v');
        let numbers = tag.split('-').next().unwrap().split('.').filter(|part| part.parse::<u32>().is_ok()).count();
        assert_eq!(numbers, 3, "{image} is not one version");
        // That of ours is in the image.
        assert!(service["healthcheck"]["test"].is_array() || name == "exporter", "{name} is not checked");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is open to the network");
        }
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
    }
    let ours = &services.iter().find(|(name, _)| name == "exporter").unwrap().1;
    assert_eq!((&ours["read_only"], &ours["cap_drop"][0]), (&Value::Bool(true), &Value::from("ALL")));
    assert_eq!(ours["image"], concat!("readiness-exporter:", env!("CARGO_PKG_VERSION")));
    let arguments = ours["command"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    let parsed = readiness_exporter::cli::Cli::describe().try_get_matches_from(std::iter::once("x").chain(arguments));
    assert!(parsed.is_ok(), "{parsed:?}");
}

#[test]
fn rules_routes_and_dashboards_are_mounted_from_where_they_are_kept() {
    let mut mounted = Vec::new();
    for (name, service) in services() {
        for mount in service["volumes"].as_array().into_iter().flatten().filter(|mount| mount["type"] == "bind") {
            let source = Path::new(mount["source"].as_str().unwrap());
            assert!(source.exists(), "{name}: {} is not there", source.display());
            assert_eq!(mount["read_only"], true, "{name}: {}", source.display());
            mounted.push(source.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    for kept in ["alerts/rules", "alerts/alertmanager.example.yaml", "grafana/dashboards", "grafana/provisioning"] {
        assert!(mounted.iter().any(|source| source == kept), "{kept} is not among {mounted:?}");
    }
    // Where the provisioning says that dashboards are is where they are mounted.
    let provider = text("grafana/provisioning/dashboards/readiness.yaml");
    assert!(provider.contains("path: /etc/grafana/dashboards\n"), "{provider}");
    assert!(text("deploy/compose/compose.yaml").contains("../../grafana/dashboards:/etc/grafana/dashboards:ro"));
}

/// Prometheus takes both, and what is only for the texts of alerts goes neither to Alertmanager nor to another store.
#[test]
fn the_external_labels_of_the_examples_stay_at_home() {
    let readme = text("README.md");
    let block = readme.split("```yaml\n").find(|block| block.starts_with("# prometheus.yml")).unwrap();
    let examples = [block.split("```").next().unwrap().to_owned(), text("deploy/compose/prometheus.yml")];
    for example in examples {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, &example).unwrap();
        output(Command::new(program("promtool", "prometheus")).args(["check", "config"]).arg(&file));
        let read: Value = serde_saphyr::from_str(&example).unwrap();
        let names: Vec<_> = read["global"]["external_labels"].as_object().unwrap().keys().map(String::as_str).collect();
        let dropped = serde_json::json!([{"action": "labeldrop", "regex": names.join("|")}]);
        assert_eq!(read["alerting"]["alert_relabel_configs"], dropped, "{example}");
        for other in read["remote_write"].as_array().into_iter().flatten() {
            assert_eq!(other["write_relabel_configs"], dropped, "{example}");
        }
        assert!(example.contains("write_relabel_configs: [{action: labeldrop, regex: "), "{example}");
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        Self(command.stdin(Stdio::null()).stderr(log).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal("TERM", &[self.0.id()]);
        reap(&mut self.0);
    }
}

/// The whole set but Grafana, from the files that the containers get: only addresses are others. The links are those
/// that a browser on this machine can open.
#[test]
fn the_configuration_of_the_chain_brings_a_fault_from_the_daemon_to_the_pager() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let place = |name: &str, text: String, changes: &[(&str, &str)]| {
        let changed = changes.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{name} has no {from}");
            text.replace(from, to)
        });
        fs::write(path(name), changed).unwrap();
    };
    let address = |port: u16| format!("127.0.0.1:{port}");
    let (pager, behind, alertmanager, prometheus) =
        (address(free_port()), address(free_port()), address(free_port()), address(free_port()));

    let daemon = Home::new(&["
        - name: gone
          tcp: {address: \"127.0.0.1:1\"}
          checks: [health]
        "])
    .serve();

    let conf = text("deploy/compose/pager.conf");
    place("nginx.conf", conf, &[("listen 80;", &format!("listen {pager};")), ("127.0.0.1:8081", &behind)]);
    let pages = Arc::new(Mutex::new(String::new()));
    let mut nginx = Command::new(program("nginx", "nginx-light"));
    let settings = format!("daemon off; pid {};", path("nginx.pid").display());
    nginx.arg("-p").arg(folder.path()).arg("-c").arg(path("nginx.conf")).args(["-g", &settings]).stdout(Stdio::piped());
    let mut nginx = Running::start(&mut nginx, &path("nginx.log"));
    let (lines, copy) = (BufReader::new(nginx.0.stdout.take().unwrap()).lines(), Arc::clone(&pages));
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| *copy.lock().unwrap() += &(line + "\n")));

    let routes = text("alerts/alertmanager.example.yaml");
    let receiver = format!("http://{pager}");
    place("alertmanager.yml", routes, &[("http://receiver.example", &receiver), ("group_wait: 10s", "group_wait: 1s")]);
    output(
        Command::new(program("amtool", "prometheus-alertmanager")).arg("check-config").arg(path("alertmanager.yml")),
    );
    let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    let mut command = Command::new(program("prometheus-alertmanager", "prometheus-alertmanager"));
    command
        .args([flag("config.file", &path("alertmanager.yml").display()), flag("storage.path", &path("am").display())]);
    command.args([flag("web.listen-address", &alertmanager), "--cluster.listen-address=".to_owned()]);
    let _alertmanager = Running::start(&mut command, &path("alertmanager.log"));

    std::os::unix::fs::symlink(root().join("alerts/rules"), path("rules")).unwrap();
    let scrapes = text("deploy/compose/prometheus.yml");
    let (watched, faster) = (daemon.address.to_string(), "interval: 1s");
    place(
        "prometheus.yml",
        scrapes,
        &[("exporter:10980", &watched), ("alertmanager:9093", &alertmanager), ("interval: 5s", faster)],
    );
    output(Command::new(program("promtool", "prometheus")).args(["check", "config"]).arg(path("prometheus.yml")));
    let mut command = Command::new(program("prometheus", "prometheus"));
    command.args([
        flag("config.file", &path("prometheus.yml").display()),
        flag("storage.tsdb.path", &path("tsdb").display()),
    ]);
    command.arg(flag("web.listen-address", &prometheus));
    let _prometheus = Running::start(&mut command, &path("prometheus.log"));

    let page = wait_until("the fault reaches the pager", || {
        let pages = pages.lock().unwrap().clone();
        let line = pages.lines().find(|line| line.contains(" /pager {")).map(str::to_owned);
        let logs =
            ["nginx.log", "alertmanager.log", "prometheus.log"].map(|log| fs::read_to_string(path(log)).unwrap());
        line.ok_or_else(|| format!("{pages}{}", logs.concat()))
    });
    let page: Value = serde_json::from_str(&page[page.find('{').unwrap()..]).unwrap();
    let alert = &page["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "ReadinessProbeDown");
    let link = alert["annotations"]["runbook_url"].as_str().unwrap();
    assert!(link.starts_with("http://localhost:10980/runbooks/ReadinessProbeDown?probe="), "{link}");
    assert!(alert["annotations"]["dashboard_url"].as_str().unwrap().starts_with("http://localhost:3000/d/"), "{alert}");
    assert!(alert["labels"].as_object().unwrap().keys().all(|label| !label.ends_with("_url")), "{alert}");
}
