//! Clients that take connections and do nothing with them.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{raw::daemon, vitals::Vitals};

/// As many connections as this process may open, ten thousand at most.
fn count() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    soft.saturating_sub(200).min(10_000)
}

#[test]
fn ten_thousand_idle_and_slow_connections_delay_nobody() {
    let (_service, _home, daemon) = daemon();
    let vitals = Vitals::watch(&daemon);
    let count = count();
    let start = Instant::now();
    let mut held: Vec<TcpStream> = Vec::with_capacity(count);
    let mut failed = 0;
    for n in 0..count {
        let Ok(mut stream) = TcpStream::connect_timeout(&daemon.address, Duration::from_secs(5)) else {
            failed += 1;
            continue;
        };
        let text: &[u8] = match n % 4 {
            0 => b"",
            1 => b"G",
            2 => b"GET /metrics HTTP/1.1\r\nHost: loca",
            _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        // The server may have shown it out already.
        let _ = stream.write_all(text);
        held.push(stream);
        // An answer proves that all before it have been accepted: else the length of the kernel's queue would be measured,
        // in front of a program that isn't optimised.
        if n % 50 == 0 {
            assert_eq!(daemon.get("/-/healthy").status, 200);
        }
    }
    println!("{} connections in {:?}, {failed} refused", held.len(), start.elapsed());
    assert!(failed <= count / 100, "{failed} of {count} connections were not accepted");
    let scrape = Instant::now();
    assert_eq!(daemon.get("/metrics").status, 200);
    assert!(scrape.elapsed() < Duration::from_secs(1), "a scrape took {:?}", scrape.elapsed());
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    assert!(open < 200, "the daemon keeps {open} file descriptors open");
    let signs = vitals.end();
    signs.assert_alive("idle connections");
    signs.assert_memory_below(96);
    drop(held);
    assert_eq!(daemon.check("shop/health").status, "pass");
}
