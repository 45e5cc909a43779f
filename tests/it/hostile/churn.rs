//! A metrics page with new series at each scrape: it delays no other probe, its memory is bounded, and the state of the
//! other probes survives a restart.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use super::vitals::Vitals;
use crate::harness::{daemon::Home, service::Service};

const PROBES: &str = "
    - name: bad
      metrics: {url: \"${BAD}metrics\"}
      interval: 1500ms
      timeout: 1400ms
      checks:
        - throughput: {series: orders_total, min: 1, window: 5m}
    - name: well
      http: {url: \"${WELL}\", bearer_token: s3cr3t-t0ken-value}
      interval: 500ms
      timeout: 400ms
    ";

/// Series of each page: the fourth exceeds the limit of 100,000 for a window.
const SERIES: usize = 30_000;
/// Time of the attack, with at least one write of the state.
const ATTACK: Duration = Duration::from_secs(9);

#[test]
fn series_that_change_with_each_scrape_hold_up_no_neighbour_and_lose_no_state() {
    let (bad, well) = (Service::start(), Service::start());
    let scrapes = AtomicUsize::new(0);
    bad.set_behaviour(move |stream, _, _| {
        let scrape = scrapes.fetch_add(1, Ordering::Relaxed);
        let page = (0..SERIES).fold(String::new(), |mut page, n| {
            let _ = writeln!(page, "orders_total{{id=\"{scrape}-{n}\",path=\"/orders\"}} 1");
            page
        });
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length:";
        stream.write_all(format!("{head} {}\r\n\r\n{page}", page.len()).as_bytes())
    });
    let home = Home::new(&[PROBES]).with("BAD", bad.url()).with("WELL", well.url());
    let daemon = home.serve();
    let since = daemon.wait_for("well/health", "pass").since;
    let (vitals, start, before) = (Vitals::watch(&daemon), Instant::now(), daemon.runs("well"));
    while start.elapsed() < ATTACK {
        assert_eq!(daemon.check("well/health").status, "pass");
        std::thread::sleep(Duration::from_millis(100));
    }
    let throughput = daemon.wait_for("bad/throughput", "unknown limit");
    assert!(throughput.summary.contains("100000") && throughput.summary.contains("shorten `window`"), "{throughput:?}");
    let runs = daemon.runs("well") - before;
    let signs = vitals.end();
    println!("{runs} runs of the neighbour in {:?}", start.elapsed());
    signs.assert_alive("series that change with each scrape");
    signs.assert_memory_below(120);
    assert!(runs >= 12.0, "{runs} runs of the neighbour in {:?}", start.elapsed());
    daemon.terminate();
    let state = fs::metadata(home.path("state/state.json")).unwrap().len();
    println!("state file: {state} bytes");
    assert!(state < 3 << 20, "the state takes {state} bytes");
    let daemon = home.serve();
    daemon.wait_for_log(&["restored the state from before the restart"]);
    assert_eq!(daemon.wait_for("well/health", "pass").since, since);
}
