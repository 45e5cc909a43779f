//! HTTP/2 at the daemon's own server, which speaks HTTP/1.1 only: no frame is ever read as one.

use std::time::{Duration, Instant};

use super::{
    raw::{converse, daemon, flood},
    vitals::Vitals,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame, RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn http2_is_refused_at_its_first_line_and_no_flood_of_frames_is_read() {
    let (_service, _home, daemon) = daemon();
    let vitals = Vitals::watch(&daemon);
    let get = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    // A header of 4 KiB that enters the table, then references to it, one byte each.
    let bomb = [&[0x40, 0x01, b'x', 0x7f, 0x81, 0x1f][..], &[b'y'; 4_096], &[0xbe; 12_000]].concat();
    let floods: [(&str, Vec<u8>); 10] = [
        ("rapid reset", [frame(1, 5, 1, &get), frame(3, 0, 1, &[0, 0, 0, 8])].concat().repeat(500)),
        ("CONTINUATION", [frame(1, 0, 1, &get), frame(9, 0, 1, &[0; 1_024]).repeat(16)].concat()),
        ("SETTINGS", frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(1_000)),
        ("PING", frame(6, 0, 0, &[7; 8]).repeat(1_000)),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1]).repeat(1_000)),
        ("empty DATA", frame(0, 0, 1, &[]).repeat(2_000)),
        ("HPACK bomb", frame(1, 5, 1, &bomb)),
        ("PRIORITY", frame(2, 0, 3, &[0, 0, 0, 1, 16]).repeat(1_000)),
        ("unknown frames", frame(0xee, 0, 0, &[0; 512]).repeat(32)),
        ("padding only", frame(0, 8, 1, &[255; 256]).repeat(64)),
    ];
    // Each takes a moment only: again and again, until the vital signs have been taken often enough.
    let start = Instant::now();
    for (name, frames) in floods.iter().cycle().take_while(|_| start.elapsed() < Duration::from_secs(1)) {
        let end = converse(daemon.address, &[PREFACE, frames].concat(), Duration::from_secs(5));
        assert!(end.is_closed && end.took < Duration::from_secs(1), "{name}: {end:?}");
        assert!(end.text.is_empty() || end.text.starts_with("HTTP/1.1 "), "{name}: no frame answers: {end:?}");
        let (sent, took) = flood(daemon.address, PREFACE, frames, Duration::from_secs(5));
        assert!(took < Duration::from_secs(2), "{name}: {sent} bytes in {took:?}");
    }
    let upgrade = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let end = converse(daemon.address, upgrade, Duration::from_secs(5));
    assert!(end.text.starts_with("HTTP/1.1 200 ") && !end.text.to_lowercase().contains("upgrade:"), "{end:?}");
    let signs = vitals.end();
    signs.assert_alive("HTTP/2 floods");
    signs.assert_memory_below(96);
    assert_eq!(daemon.check("shop/health").status, "pass");
}
