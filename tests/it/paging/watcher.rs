//! Who watches the watcher: the daemon itself is killed.

use std::time::Instant;

use super::{Chain, Pace, opens};
use crate::{
    faults::{Bystanders, Calm},
    harness::{free_port, pager::Notification},
};

#[test]
fn a_daemon_that_dies_during_a_fault_resolves_nothing() {
    let bystanders = Bystanders::new();
    let down =
        format!("\n    - name: down\n      interval: 1s\n      tcp: {{address: \"127.0.0.1:{}\"}}\n", free_port());
    let (daemon, other) = (bystanders.beside(&down).serve(), bystanders.beside("").serve());
    let at = daemon.address;
    let chain = Chain::watching(Pace::wanted(), &[at, other.address]);
    let told = chain.next(at, 0).expect("a page");
    assert!(told.is_firing() && told.alerts[0].name() == "ReadinessProbeDown", "{told:#?}");

    daemon.kill();
    let next = chain.next(at, 1).expect("a second page");
    assert!(next.is_firing() && next.alerts[0].name() == "ReadinessExporterDown", "{next:#?}");
    // Longer than the alert of the fault is held.
    let all = chain.after_evaluations(15, Instant::now(), at);
    assert!(all.len() == 2 && all.iter().all(Notification::is_firing), "{all:#?}");
}

#[test]
fn a_daemon_that_is_killed_is_one_page_and_its_return_pages_nothing() {
    let home = Bystanders::new().beside("");
    let address = format!("127.0.0.1:{}", free_port());
    let listen = ["--web.listen-address", &*address];
    let (daemon, other) = (home.serve_with(&listen), Bystanders::new().beside("").serve());
    for daemon in [&daemon, &other] {
        drop(Calm::of(daemon));
    }
    let (at, beside) = (daemon.address, other.address);
    let chain = Chain::watching(Pace::wanted(), &[at, beside]);

    daemon.kill();
    chain.next(at, 0).expect("a page");
    let during = chain.after_evaluations(10, Instant::now(), at);
    assert!(during.len() == 1 && during[0].alerts.len() == 1, "{during:#?}");
    let alert = &during[0].alerts[0];
    assert_eq!((alert.name(), alert.label("severity"), alert.is_firing()), ("ReadinessExporterDown", "critical", true));
    assert_eq!(during[0].receiver, "pager");
    assert!(alert.annotation("description").contains(&address), "{alert:#?}");
    // The one that is gone serves no runbook.
    let link = alert.annotation("runbook_url");
    assert!(link.starts_with(&format!("http://{beside}/")) && opens(link, alert.name()), "{alert:#?}");

    // All is pending for a moment, and then passes.
    let daemon = home.serve_with(&listen);
    chain.next(at, 1).expect("an all-clear");
    drop(Calm::of(&daemon));
    let all = chain.after_evaluations(10, Instant::now(), at);
    assert!(all.len() == 2 && !all[1].is_firing(), "{all:#?}");
    assert_eq!(all[1].alerts[0].name(), "ReadinessExporterDown");
    assert_eq!(chain.notifications().len(), 2, "{:#?}", chain.notifications());
}
