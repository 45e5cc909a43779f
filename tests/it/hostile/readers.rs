//! Clients that ask for pages and don't read them, or break off in the middle.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    raw::connect,
    vitals::{Vitals, peak_bytes},
};
use crate::harness::{
    daemon::{Daemon, Home},
    service::Service,
    wait_until,
};

const READERS: usize = 120;
/// What all readers together may add to the memory: 16 MiB of pages, 64 KiB to send and the state of a decompressor for
/// each, and room for one page while it is made.
const MAX_GROWTH: u64 = 64 << 20;

/// A daemon with a healthy probe and many that are switched off: they take no CPU, and a page tells of each.
fn daemon(number: usize) -> (Service, Home, Daemon) {
    let service = Service::start();
    let mut probes = format!("- name: shop\n  tcp: {{address: \"{}\"}}\n  interval: 5s\n", service.address);
    for n in 0..number {
        probes += &format!(
            "- name: service-with-a-long-name-{n}\n  enabled: false\n  tcp: {{address: \"{}\"}}\n  checks: [{{latency: {{max: 100ms}}}}]\n",
            service.address
        );
    }
    let home = Home::new(&[&probes]);
    let daemon = home.serve();
    (service, home, daemon)
}

/// Asks for a page and reads the first byte of it, so that it has been made.
fn ask(daemon: &Daemon, path: &str, headers: &str) -> TcpStream {
    let mut stream = connect(daemon.address);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

fn scrape(daemon: &Daemon) -> (Duration, usize) {
    let start = Instant::now();
    let mut stream = ask(daemon, "/metrics", "Accept-Encoding: gzip\r\nConnection: close\r\n");
    let mut page = Vec::new();
    stream.read_to_end(&mut page).unwrap();
    (start.elapsed(), page.len())
}

#[test]
fn pages_that_nobody_reads_take_a_bounded_sum_of_memory() {
    let (_service, _home, daemon) = daemon(1_200);
    for path in ["/", "/metrics", "/api/v1/checks", "/config"] {
        assert_eq!(daemon.get(path).status, 200);
    }
    let (alone, length) = scrape(&daemon);
    let before = peak_bytes(daemon.pid());
    let vitals = Vitals::watch(&daemon);
    let name = "service-with-a-long-name-";
    let start = Instant::now();
    let readers: Vec<TcpStream> = (0..READERS)
        .map(|n| {
            let gzip = if n % 2 == 0 { "Accept-Encoding: gzip\r\n" } else { "" };
            let path = match n % 12 {
                0..6 => format!("/?meaningless={n}"),
                // A filter of its own that finds everything.
                6 => format!("/?q={}", &name[..name.len() - n / 12]),
                7 | 8 => format!("/metrics?n={n}"),
                9 => format!("/api/v1/checks?x={n}&q={}", &name[..name.len() - n / 12]),
                _ => format!("/config?n={n}"),
            };
            ask(&daemon, &path, gzip)
        })
        .collect();
    println!("{READERS} readers hold their pages after {:?}", start.elapsed());
    let (beside, seen) = scrape(&daemon);
    println!("a scrape took {alone:?} alone, {beside:?} beside them");
    assert!(seen > length / 2, "the scrape is whole: {seen} bytes, {length} alone");
    assert!(beside < Duration::from_secs(5).max(4 * alone), "{beside:?}");
    let signs = vitals.end();
    signs.assert_alive("slow readers");
    let growth = signs.peak_bytes.saturating_sub(before);
    println!("{READERS} readers add {} KiB to {} KiB", growth >> 10, before >> 10);
    assert!(growth < MAX_GROWTH, "{} MiB", growth >> 20);
    drop(readers);
}

#[test]
fn a_slow_reader_that_goes_on_gets_its_whole_page() {
    let (_service, _home, daemon) = daemon(300);
    let mut stream = ask(&daemon, "/?q=service", "Connection: close\r\n");
    let others: Vec<_> = (0..20).map(|n| ask(&daemon, &format!("/?q=service&x={n}"), "")).collect();
    std::thread::sleep(Duration::from_millis(300));
    let mut page = Vec::new();
    stream.read_to_end(&mut page).unwrap();
    let text = String::from_utf8_lossy(&page);
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_eq!(text.split_once("\r\n\r\n").unwrap().1.len().to_string(), length);
    assert!(text.ends_with("</html>") && text.contains("service-with-a-long-name-299"), "{}", text.len());
    drop(others);
}

#[test]
fn pages_that_are_broken_off_leave_nothing_behind() {
    let (_service, _home, daemon) = daemon(300);
    daemon.get("/metrics");
    let open = || fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let (files, before) = (open(), peak_bytes(daemon.pid()));
    let vitals = Vitals::watch(&daemon);
    for n in 0..300 {
        let path = ["/metrics", "/config", "/", "/ready"][n % 4];
        let gzip = if n % 3 == 0 { "Accept-Encoding: gzip\r\n" } else { "" };
        let mut stream = connect(daemon.address);
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{gzip}\r\n").as_bytes()).unwrap();
        if n % 2 == 0 {
            // Closed with bytes unread, which resets the connection; the others close while the page is made.
            stream.read_exact(&mut [0; 100]).unwrap();
        }
    }
    let signs = vitals.end();
    signs.assert_alive("pages that are broken off");
    let growth = signs.peak_bytes.saturating_sub(before);
    assert!(growth < MAX_GROWTH, "{} MiB", growth >> 20);
    wait_until("file descriptors are given back", || {
        let now = open();
        if now <= files + 2 { Ok(()) } else { Err(format!("{now} after {files}")) }
    });
    assert!(scrape(&daemon).1 > 1_000);
}
