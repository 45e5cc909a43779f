//! The manifests, rendered by kustomize: they satisfy the published schemas and the restricted profile of Pod Security,
//! and agree with their sources.

use std::{fs, process::Command};

use readiness_exporter::settings::{self, Sources};
use serde_json::{Value, json};

use super::tools::{filter, output, root, text, tool};

/// Output of kustomize for a folder.
fn kustomized(folder: &str) -> String {
    output(tool("kubectl").args(["kustomize", &format!("deploy/kubernetes/{folder}")]))
}

pub(super) fn rendered(folder: &str) -> Vec<Value> {
    read(&kustomized(folder))
}

fn read(manifests: &str) -> Vec<Value> {
    let documents = manifests.split("\n---\n").map(|text| text.trim_start_matches("---\n"));
    documents.map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))).collect()
}

fn rules() -> String {
    output(Command::new(root().join("deploy/kubernetes/prometheus-rules")).arg("release=prom"))
}

#[test]
fn every_manifest_fits_the_published_schemas() {
    let alternative = text("deploy/kubernetes/monitoring/servicemonitor.yaml");
    let all = [kustomized("standalone"), kustomized("example"), kustomized("monitoring"), alternative, rules()];
    let all = all.join("\n---\n");
    let said = filter(tool("python3").arg("tests/it/deploy/manifests.py"), &all);
    assert_eq!(said, format!("{} manifests\n", read(&all).len()));
}

pub(super) fn one<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    let mut found = manifests.iter().filter(|manifest| manifest["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Requirements of the restricted profile, and more: no token, only volumes are writable, memory is limited.
fn assert_restricted(pod: &Value) {
    assert_eq!(pod["automountServiceAccountToken"], false);
    for open in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert!(pod[open].is_null(), "{open}");
    }
    for volume in list(&pod["volumes"]) {
        assert!(volume["configMap"].is_object() || volume["emptyDir"].is_object(), "{volume}");
    }
    let containers = [list(&pod["containers"]), list(&pod["initContainers"])].concat();
    assert!(!containers.is_empty());
    for container in containers {
        let (own, shared) = (&container["securityContext"], &pod["securityContext"]);
        let either = |key: &str| if own[key].is_null() { &shared[key] } else { &own[key] };
        assert_eq!(own["allowPrivilegeEscalation"], false, "{container}");
        assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}), "{container}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{container}");
        assert_eq!(either("runAsNonRoot"), true, "{container}");
        assert_eq!(either("seccompProfile"), &json!({"type": "RuntimeDefault"}), "{container}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
        let ports = list(&container["ports"]);
        assert!(ports.iter().all(|port| port["hostPort"].is_null()), "{container}");
    }
}

/// Checks that the image, its user and its flags exist.
fn assert_runs(container: &Value) {
    assert_eq!(container["image"], concat!("readiness-exporter:", env!("CARGO_PKG_VERSION")));
    let arguments = list(&container["args"]).iter().map(|argument| argument.as_str().unwrap());
    let parsed = readiness_exporter::cli::Cli::describe().try_get_matches_from(std::iter::once("x").chain(arguments));
    assert!(parsed.is_ok(), "{parsed:?}");
    assert_eq!(container["ports"], json!([{"name": "readiness", "containerPort": 10980}]));
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/-/healthy", "port": "readiness"}));
}

#[test]
fn the_standalone_daemon_is_restricted_and_its_probes_are_about_itself() {
    let manifests = rendered("standalone");
    let pod = &one(&manifests, "Deployment")["spec"]["template"]["spec"];
    assert_restricted(pod);
    let container = &pod["containers"][0];
    assert_runs(container);
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/-/ready");
    assert_eq!(one(&manifests, "ServiceAccount")["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], one(&manifests, "ServiceAccount")["metadata"]["name"]);
    // A change of the configuration changes the name of the ConfigMap, and thus restarts the pod.
    let config = one(&manifests, "ConfigMap");
    assert_eq!(pod["volumes"][0]["configMap"]["name"], config["metadata"]["name"]);
    assert_ne!(config["metadata"]["name"], "readiness-exporter");
}

#[test]
fn state_on_a_volume_requires_the_strategy_recreate() {
    let advice = "strategy: {type: Recreate, rollingUpdate: null}";
    for file in ["README.md", "standalone/deployment.yaml"] {
        let told = text(&format!("deploy/kubernetes/{file}"));
        assert!(told.split("PersistentVolumeClaim").skip(1).all(|after| after.contains(advice)), "{file}");
        assert!(told.contains("PersistentVolumeClaim"), "{file}");
    }
    // The patch must remove the other strategy, because a cluster rejects both together.
    let overlay = tempfile::tempdir().unwrap();
    let base = overlay.path().join("base");
    fs::create_dir(&base).unwrap();
    for entry in fs::read_dir(root().join("deploy/kubernetes/standalone")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), base.join(entry.file_name())).unwrap();
    }
    let head = "apiVersion: apps/v1, kind: Deployment, metadata: {name: readiness-exporter}";
    let patch = format!("resources: [base]\npatches:\n  - patch: |\n      {{{head}, spec: {{{advice}}}}}\n");
    fs::write(overlay.path().join("kustomization.yaml"), patch).unwrap();
    let manifests = read(&output(tool("kubectl").arg("kustomize").arg(overlay.path())));
    assert_eq!(one(&manifests, "Deployment")["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn the_network_policy_is_about_the_daemon_alone() {
    let manifests = rendered("standalone");
    let policy = &one(&manifests, "NetworkPolicy")["spec"];
    let labels = &one(&manifests, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let selected = policy["podSelector"]["matchLabels"].as_object().unwrap();
    assert!(!selected.is_empty(), "an empty selector takes every pod of the namespace");
    assert!(selected.iter().all(|(key, value)| labels[key] == *value));
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(
        list(&policy["ingress"])
            .iter()
            .chain(list(&policy["egress"]))
            .all(|rule| rule.get("to").or(rule.get("from")).is_some())
    );
    assert_eq!(one(&manifests, "Service")["spec"]["selector"], json!(selected));
}

#[test]
fn the_sidecar_starts_first_and_decides_nothing_for_the_application() {
    let manifests = rendered("example");
    let pod = &one(&manifests, "Deployment")["spec"]["template"]["spec"];
    assert_restricted(pod);
    let sidecar = &pod["initContainers"][0];
    assert_runs(sidecar);
    assert_eq!(sidecar["restartPolicy"], "Always");
    for gate in ["readinessProbe", "startupProbe"] {
        assert!(sidecar[gate].is_null(), "a {gate} would decide whether the application gets traffic");
    }
    // The container of the application is unchanged.
    let before = read(&text("deploy/kubernetes/example/orders.yaml"));
    assert_eq!(pod["containers"], before[0]["spec"]["template"]["spec"]["containers"]);
    assert_eq!(pod["volumes"][0]["configMap"]["name"], one(&manifests, "ConfigMap")["metadata"]["name"]);
}

#[test]
fn prometheus_rules_are_made_of_the_files_in_alerts() {
    let manifests = read(&rules());
    let files = fs::read_dir(root().join("alerts/rules")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    assert_eq!(manifests.len(), files.len());
    for (manifest, file) in manifests.iter().zip(files) {
        let rules: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(manifest["spec"], rules, "{}", file.display());
        assert_eq!(manifest["metadata"]["labels"]["release"], "prom");
    }
}

#[test]
fn every_configuration_under_deploy_loads() {
    for folder in ["standalone", "example"] {
        let path = root().join("deploy/kubernetes").join(folder).join("readiness.yaml");
        if let Err(problems) = settings::load(&Sources { path, ..Sources::default() }) {
            panic!("{problems}");
        }
    }
}
