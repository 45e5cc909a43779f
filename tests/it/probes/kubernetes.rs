//! The recipe for Kubernetes: its probes against the answers of an API server and of kube-state-metrics.

use std::{fs, io::Write, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    daemon::{Home, output_text},
    markdown::code_in,
    service::{Service, http_response},
};

const TOKEN: &str = "a-token-of-a-service-account";

/// A cluster in which a number of replicas is available.
fn cluster(available: u32) -> Service {
    let service = Service::start();
    service.set_behaviour(move |stream, head, _| {
        let path = head.split(' ').nth(1).unwrap();
        let condition =
            |name: &str, status: bool| json!({"type": name, "status": if status { "True" } else { "False" }});
        let body = match path {
            "/metrics" => {
                let text = format!(
                    "kube_deployment_status_replicas_unavailable{{namespace=\"orders\",deployment=\"orders\"}} {}\n\
                     kube_pod_container_status_restarts_total{{namespace=\"orders\",pod=\"a\",container=\"b\"}} 1\n\
                     kube_job_status_failed{{namespace=\"orders\",job_name=\"nightly\"}} 0\n",
                    2 - available
                );
                let page = "Content-Type: text/plain; version=0.0.4\r\n";
                return stream.write_all(&http_response("200 OK", page, text.as_bytes()));
            }
            _ if !head.contains(&format!("Bearer {TOKEN}")) => {
                return stream.write_all(&http_response("401 Unauthorized", "", b"{}"));
            }
            "/apis/apps/v1/namespaces/orders/deployments/orders" => {
                let conditions = [condition("Available", available > 1), condition("Progressing", available > 1)];
                let mut status = json!({"replicas": 2, "updatedReplicas": 2, "conditions": conditions});
                // As Kubernetes, which leaves a zero out.
                if available > 0 {
                    status["availableReplicas"] = available.into();
                }
                json!({"kind": "Deployment", "status": status})
            }
            "/apis/cert-manager.io/v1/namespaces/orders/certificates/orders" => {
                json!({"kind": "Certificate", "status": {"conditions": [condition("Ready", available > 0)]}})
            }
            other => panic!("{other}"),
        };
        let headers = "Content-Type: application/json\r\n";
        stream.write_all(&http_response("200 OK", headers, body.to_string().as_bytes()))
    });
    service
}

/// The verdicts of the recipe, by check.
fn verdicts(block: usize, available: u32) -> Value {
    let service = cluster(available);
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/guides/kubernetes.md");
    let code = code_in(&fs::read_to_string(guide).unwrap(), "yaml").remove(block);
    let home = Home::new(&[]);
    let token = home.write("token", TOKEN);
    let lines = code.lines().filter(|line| !line.contains("ca.crt"));
    let code = lines
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("https://kubernetes.default.svc", service.url().trim_end_matches('/'))
        .replace("http://kube-state-metrics.kube-system.svc:8080/", &service.url())
        .replace("/var/run/secrets/kubernetes.io/serviceaccount/token", token.to_str().unwrap());
    home.write("readiness.yaml", code);
    let output = home.run(&["check", "--format", "json"]);
    let (text, error) = output_text(&output);
    let read: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}"));
    let checks = read["checks"].as_array().unwrap_or_else(|| panic!("{text}"));
    let name = |check: &Value| [&check["probe"], &check["check"]].map(|name| name.as_str().unwrap()).join("/");
    checks.iter().map(|check| (name(check), check["status"].clone())).collect()
}

#[test]
fn the_recipe_for_objects_of_the_api_passes_and_fails_as_it_says() {
    let good = verdicts(0, 2);
    assert!(good.as_object().unwrap().values().all(|status| status == "pass"), "{good}");
    let degraded = verdicts(0, 1);
    assert_eq!(
        (&degraded["orders-rollout/rollout"], &degraded["orders-rollout/health"]),
        (&json!("fail"), &json!("pass"))
    );
    let gone = verdicts(0, 0);
    assert_eq!(gone["orders-rollout/rollout"], "fail", "a missing field is no pass: {gone}");
    assert_eq!(gone["orders-certificate-secret/response"], "fail", "{gone}");
}

#[test]
fn the_recipe_for_kube_state_metrics_passes_and_fails_as_it_says() {
    let good = verdicts(1, 2);
    for check in ["health", "orders-unavailable", "orders-nightly-job", "orders-series"] {
        assert_eq!(good[format!("cluster/{check}")], "pass", "{good}");
    }
    assert_eq!(good["cluster/orders-restarts"], "pending", "a rate needs two scrapes: {good}");
    assert_eq!(verdicts(1, 1)["cluster/orders-unavailable"], "fail");
}
