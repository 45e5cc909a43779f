//! The guide on two daemons: one page for a fault, and none for a failover.

use std::{fs, net::SocketAddr, path::Path, time::Instant};

use serde_json::Value;

use super::{Chain, Pace};
use crate::{
    faults::Bystanders,
    harness::{free_port, markdown::code_in, nginx::Nginx, pager::Notification},
};

fn guide() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/guides/redundancy.md")).unwrap()
}

/// The proxy of the guide with these daemons, and its address.
fn proxy(first: &str, second: &str) -> (Nginx, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let blocks = code_in(&guide(), "nginx");
    let (upstreams, ready) = (&blocks[0], &blocks[1]);
    let text = upstreams
        .replace("location / {", &format!("{ready}\nlocation / {{"))
        .replace("readiness-a.example.com:10980", first)
        .replace("readiness-b.example.com:10980", second)
        .replace("127.0.0.1:10990", &address.to_string());
    assert!(!text.contains("example.com") && text.contains(&address.to_string()), "{text}");
    (Nginx::start_with("return 404;", &text, |_| {}), address)
}

#[test]
fn two_daemons_behind_the_proxy_of_the_guide_page_once_and_a_failover_repeats_nothing() {
    let bystanders = Bystanders::new();
    let down = format!(
        "\n    - name: down\n      interval: 1s\n      tcp: {{address: \"127.0.0.1:{}\"}}\n      checks: [{{health: {{severity: critical}}}}]\n",
        free_port()
    );
    let (home_a, home_b) = (bystanders.beside(&down), bystanders.beside(&down));
    let listen = format!("127.0.0.1:{}", free_port());
    let (a, b) = (home_a.serve_with(&["--web.listen-address", &listen]), home_b.serve());
    let (replica_a, replica_b) = (a.address, b.address);
    let (_nginx, target) = proxy(&replica_a.to_string(), &replica_b.to_string());

    let prometheus: Value = serde_saphyr::from_str(&code_in(&guide(), "yaml prometheus")[0]).unwrap();
    let replicas = prometheus["scrape_configs"][1].to_string();
    let replicas = replicas
        .replace("readiness-a.example.com:10980", &replica_a.to_string())
        .replace("readiness-b.example.com:10980", &replica_b.to_string());
    let relabel = prometheus["alerting"]["alert_relabel_configs"].to_string();
    let chain = Chain::relabelled(Pace::wanted(), &[target], &format!("- {replicas}"), "groups: []", &relabel);

    let told = chain.next(target, 0).expect("a page");
    assert_eq!((told.alerts[0].name(), told.alerts[0].label("probe")), ("ReadinessProbeDown", "down"), "{told:#?}");

    // The first replica dies: a ticket, and the page stays as it is.
    a.kill();
    let lost = chain.next(replica_a, 0).expect("a ticket about the replica");
    assert_eq!((lost.alerts[0].name(), &*lost.receiver), ("ReadinessExporterDown", "tickets"), "{lost:#?}");
    let all = chain.after_evaluations(15, Instant::now(), target);
    assert!(all.len() == 1 && all[0].is_firing(), "{all:#?}");

    // It comes back.
    let a = home_a.serve_with(&["--web.listen-address", &listen]);
    let back = chain.next(replica_a, 1).expect("an all-clear for the replica");
    assert!(!back.is_firing(), "{back:#?}");
    let all = chain.after_evaluations(15, Instant::now(), target);
    assert_eq!(all.len(), 1, "{all:#?}");

    // Nobody watches any more: that is a page.
    a.kill();
    b.kill();
    let blind = chain.next(target, 1).expect("a page about the exporter");
    let is_page = |notification: &Notification| notification.receiver == "pager" && notification.is_firing();
    assert!(is_page(&blind) && blind.alerts.iter().any(|alert| alert.name() == "ReadinessExporterDown"), "{blind:#?}");
}
