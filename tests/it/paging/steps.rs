//! A check with two limits: what gets worse is told once more, as what it is then, and only as that.

use std::{collections::BTreeSet, time::Instant};

use super::{Chain, Pace};
use crate::{
    faults::{
        Calm,
        metrics_page::{served, shows_a_page},
    },
    harness::pager::Notification,
};

#[test]
fn a_warning_that_becomes_a_failure_is_muted_by_it() {
    let (service, home) = served();
    let daemon = home.serve();
    drop(Calm::of(&daemon));
    let at = daemon.address;
    let chain = Chain::watching(Pace::wanted(), &[at]);

    shows_a_page(&service, 8);
    let warning = chain.next(at, 0).expect("a ticket");
    assert_eq!((&*warning.receiver, warning.alerts.len()), ("orders-tickets", 1), "{warning:#?}");
    let alert = &warning.alerts[0];
    assert_eq!(
        (alert.name(), alert.label("status"), alert.label("severity")),
        ("ReadinessPoolSaturated", "warn", "warning")
    );
    let description = alert.annotation("description");
    assert!(description.contains("80%") && description.contains("limit 70%"), "{description}");

    shows_a_page(&service, 10);
    let failure = chain.next(at, 1).expect("a page");
    assert_eq!((&*failure.receiver, failure.alerts.len()), ("orders-pager", 1), "{failure:#?}");
    let alert = &failure.alerts[0];
    assert_eq!(
        (alert.name(), alert.label("status"), alert.label("severity")),
        ("ReadinessPoolSaturated", "fail", "critical")
    );
    // Not even that the warning would be over is told while it is worse than that.
    let during = chain.after_evaluations(10, Instant::now(), at);
    assert_eq!(during.len(), 2, "{during:#?}");

    shows_a_page(&service, 3);
    chain.next(at, 3).expect("an all-clear on both");
    let after = chain.about(at).split_off(2);
    assert!(after.len() == 2 && !after.iter().any(Notification::is_firing), "{after:#?}");
    let receivers: BTreeSet<_> = after.iter().map(|notification| &*notification.receiver).collect();
    assert!(receivers.into_iter().eq(["orders-pager", "orders-tickets"]), "{after:#?}");
}
