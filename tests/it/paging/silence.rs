//! Nothing is wrong, and nobody is told anything.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Chain, Pace, number};
use crate::demo::Demo;

#[test]
fn nobody_is_told_anything_while_nothing_is_wrong() {
    let demo = Demo::start(&["--calm"]);
    // From its first moment on, when everything is pending yet.
    let chain = Chain::watching(Pace::wanted(), &[demo.address()]);
    let lasts = Duration::from_secs(number("READINESS_SILENCE_SECONDS").unwrap_or(40));
    let (start, mut waited) = (Instant::now(), BTreeSet::new());
    while start.elapsed() < lasts {
        std::thread::sleep(Duration::from_secs(1));
        assert!(chain.notifications().is_empty(), "{:#?}", chain.notifications());
        waited.extend(chain.waiting());
    }
    // Somebody was there to hear it.
    assert_eq!(chain.number("count(readiness_check_status{status=\"pass\"} == 0)"), None);
    assert!(chain.number("count(readiness_check_status{status=\"pass\"} == 1)") > Some(10.0));
    let heartbeats = chain.pager.about("alertname", "ReadinessHeartbeat").len();
    println!("{heartbeats} heartbeats and nothing else in {:?}; near to it came {waited:?}", start.elapsed());
    demo.interrupt();
}
