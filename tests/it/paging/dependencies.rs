//! An outage behind several dependents: one page about the cause.

use std::time::{Duration, Instant};

use super::{Chain, Pace};
use crate::{
    faults::{Bystanders, Calm},
    harness::{free_port, nginx::Nginx, wait_until},
};

/// A database with a high threshold, and services that fail with it at once. The database is checked more rarely.
fn probes(interval: &str) -> String {
    let mut text = "
    - name: db
      tcp: {address: \"127.0.0.1:${PORT}\"}
      interval: 3s
      retry_interval: 1s
      checks: [{health: {failure_threshold: 3, severity: critical}}]
"
    .to_owned();
    for n in 1..=4 {
        text.push_str(&format!(
            "    - name: page-{n}\n      http: {{url: \"http://127.0.0.1:${{PORT}}/\"}}\n      interval: {interval}\n      \
             depends_on: [{}]\n      checks: [{{health: {{severity: critical}}}}]\n",
            if n == 1 { "db".to_owned() } else { format!("page-{}", n - 1) }
        ));
    }
    text
}

#[test]
fn an_outage_behind_four_dependents_is_one_page_also_after_a_reload_and_a_restart() {
    let mut nginx = Nginx::start("return 200 well;");
    let bystanders = Bystanders::new();
    let home = bystanders.beside(&probes("500ms")).with("PORT", nginx.port.to_string());
    let listen = format!("127.0.0.1:{}", free_port());
    let daemon = home.serve_with(&["--web.listen-address", &listen]);
    drop(Calm::of(&daemon));
    let at = daemon.address;
    let chain = Chain::watching(Pace::wanted(), &[at]);
    let is_skipped = |daemon: &crate::harness::daemon::Daemon| {
        wait_until("every dependent is skipped", || {
            let checks = daemon.checks();
            let pages: Vec<_> = (1..=4).map(|n| checks[&format!("page-{n}/health")].clone()).collect();
            let good = pages.iter().all(|page| page.summary == "skipped while db fails");
            if good { Ok(()) } else { Err(format!("{pages:?}")) }
        });
    };

    nginx.stop();
    is_skipped(&daemon);
    let page = chain.next(at, 0).expect("a page");
    assert!(page.alerts.len() == 1 && page.alerts[0].label("probe") == "db", "{page:#?}");

    // A reload with dependents that are new to the daemon.
    bystanders.replace(&home, &probes("700ms"));
    daemon.signal("HUP");
    daemon.wait_for_log(&["configuration reloaded"]);
    is_skipped(&daemon);
    std::thread::sleep(Duration::from_secs(3));
    daemon.kill();
    let daemon = home.serve_with(&["--web.listen-address", &listen]);
    is_skipped(&daemon);
    let all = chain.after_evaluations(15, Instant::now(), at);
    assert!(all.len() == 1 && all[0].is_firing(), "{all:#?}");

    nginx.start_again();
    let over = chain.next(at, 1).expect("an all-clear");
    drop(Calm::of(&daemon));
    let all = chain.after_evaluations(10, Instant::now(), at);
    assert!(all.len() == 2 && !over.is_firing(), "{all:#?}");
}
