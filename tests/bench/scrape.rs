//! CPU of a scrape of ten thousand series over a kept connection, after a change of the board and without one.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use super::exporter::{Exporter, Scraper, cpu_of, http_probes, target};

/// With 47 series each these are ten thousand.
const PROBES: usize = 212;
const KEPT: u32 = 2_000;
const CHANGED: u32 = 150;
/// Longer than the interval of the one probe that changes the board before each scrape.
const PACE: Duration = Duration::from_millis(150);
/// Microseconds for each sample after a change.
const EACH: f64 = 0.25;
/// Microseconds for the whole page without one.
const WHOLE: f64 = 50.0;

/// Prints it and tells whether the limits hold.
pub(crate) fn run() -> bool {
    let target = target();
    let probes = http_probes(PROBES, target, "1h");
    let quiet = Exporter::start(&probes);
    let busy =
        Exporter::start(&format!("{probes}  - {{name: busy, interval: 100ms, http: {{url: 'http://{target}/'}}}}\n"));
    quiet.wait("/-/ready");
    busy.wait("/-/ready");
    let mut page = quiet.scraper("/metrics", "");
    page.get();
    let samples = page.body().split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
    println!(
        "{samples} series; microseconds of CPU for a scrape, {KEPT} back to back without a change, {CHANGED} after one"
    );
    println!(
        "{:<18} {:>9} {:>8} {:>8} {:>8} {:>10} {:>11}",
        "page", "bytes", "memcpy", "floor", "kept", "changed", "per sample"
    );
    let background = cost_of(&busy, CHANGED, || sleep(PACE));
    let mut good = true;
    for (name, headers) in [
        ("text, gzip", "Accept-Encoding: gzip\r\n"),
        ("OpenMetrics, gzip", "Accept: application/openmetrics-text; version=1.0.0\r\nAccept-Encoding: gzip\r\n"),
        ("text", ""),
        ("OpenMetrics", "Accept: application/openmetrics-text; version=1.0.0\r\n"),
    ] {
        let mut scraper = quiet.scraper("/metrics", headers);
        scraper.get();
        let kept = cost_of(&quiet, KEPT, || ask(&mut scraper));
        let (floor, copy) = (floor(scraper.body()), copy(scraper.body()));
        let mut scraper = busy.scraper("/metrics", headers);
        let changed = cost_of(&busy, CHANGED, || {
            sleep(PACE);
            ask(&mut scraper);
        }) - background;
        let each = changed / samples as f64;
        // What the system takes to send a large page is not ours to save: there our part of it counts.
        let own = if headers.contains("gzip") { kept } else { kept - floor };
        let fits = each <= EACH && own <= WHOLE;
        good &= fits;
        println!(
            "{name:<18} {:>9} {copy:>8.1} {floor:>8.1} {kept:>8.1} {changed:>10.0} {each:>11.3}  {}",
            scraper.body().len(),
            if fits { "ok" } else { "MISSED" },
        );
    }
    println!(
        "limits: {EACH} for a sample after a change; {WHOLE} for a page without one, of a page as text over the floor"
    );
    good
}

fn ask(scraper: &mut Scraper) {
    assert_eq!(scraper.get(), 200);
}

/// Microseconds of the daemon's CPU for each time that something is done.
fn cost_of(exporter: &Exporter, times: u32, mut work: impl FnMut()) -> f64 {
    let before = exporter.cpu();
    (0..times).for_each(|_| work());
    (exporter.cpu() - before).as_secs_f64() * 1e6 / f64::from(times)
}

/// A bare thread that sends the same bytes for each request that it reads: its CPU for one, in microseconds.
fn floor(page: &[u8]) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let answer = [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", page.len()).as_bytes(), page].concat();
    let length = answer.len();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        let before = cpu_of(Path::new("/proc/thread-self"));
        while stream.read(&mut request).is_ok_and(|read| read > 0) {
            stream.write_all(&answer).expect("an answer");
        }
        cpu_of(Path::new("/proc/thread-self")) - before
    });
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut read = vec![0; length];
    for _ in 0..KEPT {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n").expect("a request");
        stream.read_exact(&mut read).expect("an answer");
    }
    drop(stream);
    server.join().expect("the floor ends").as_secs_f64() * 1e6 / f64::from(KEPT)
}

/// Copying the same bytes in memory, in microseconds.
fn copy(page: &[u8]) -> f64 {
    let mut to = vec![0; page.len()];
    let start = Instant::now();
    for _ in 0..KEPT {
        std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(page));
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(KEPT)
}
