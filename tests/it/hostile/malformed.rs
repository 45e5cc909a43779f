//! Malformed and ambiguous requests: each is refused or answered at once, as one request and no other.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::{
    raw::{connect, converse, daemon, flood, read_to_end},
    vitals::Vitals,
};

const PATIENCE: Duration = Duration::from_millis(1_500);
/// Status of a connection that is closed without an answer.
const CLOSED: u16 = 0;

/// Requests, and the statuses that are right for each.
fn table() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    const REFUSED: &[u16] = &[400, CLOSED];
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let with = |headers: &str| format!("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes();
    let post = |rest: &str| format!("POST /-/reload HTTP/1.1\r\nHost: evil.example\r\n{rest}").into_bytes();
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n").into_bytes();
    vec![
        ("an empty method", line(" / HTTP/1.1"), REFUSED),
        ("an unknown method", line("BREW /-/healthy HTTP/1.1"), &[405]),
        ("a method in lower case", line("get /-/healthy HTTP/1.1"), &[405]),
        ("a method with a bracket", line("GE(T /-/healthy HTTP/1.1"), REFUSED),
        ("a method of 8 KiB", line(&format!("{} / HTTP/1.1", "A".repeat(8 << 10))), &[405, 400, CLOSED]),
        ("CONNECT", line("CONNECT evil.example:443 HTTP/1.1"), &[400, 404, 405]),
        ("TRACE", line("TRACE / HTTP/1.1"), &[405]),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1"), &[404, 405]),
        ("DELETE of a check", line("DELETE /api/v1/checks/shop/health HTTP/1.1"), &[405]),
        ("no version", line("GET /-/healthy"), REFUSED),
        ("HTTP/0.9", b"GET /-/healthy\r\n\r\n".to_vec(), REFUSED),
        ("HTTP/2.0", line("GET /-/healthy HTTP/2.0"), REFUSED),
        ("HTTP/1.2", line("GET /-/healthy HTTP/1.2"), REFUSED),
        ("HTTP/11", line("GET /-/healthy HTTP/11"), REFUSED),
        ("a blank within the target", line("GET /-/hea lthy HTTP/1.1"), REFUSED),
        ("a tab before the target", line("GET\t/-/healthy HTTP/1.1"), REFUSED),
        ("NUL in the target", get("/-/\0healthy"), REFUSED),
        ("NUL in a header's name", with("X\0: y\r\n"), REFUSED),
        ("NUL in a header's value", with("X: y\0z\r\n"), REFUSED),
        ("a control character in a value", with("X: y\x01z\r\n"), REFUSED),
        ("a bare CR in a value", with("X: y\rZ: z\r\n"), REFUSED),
        ("a folded header", with("X: y\r\n z\r\n"), REFUSED),
        ("a blank before the colon", with("X : y\r\n"), REFUSED),
        ("a header without a colon", with("nonsense\r\n"), REFUSED),
        ("a header without a name", with(": y\r\n"), REFUSED),
        ("a blank before the first header", b"GET /-/healthy HTTP/1.1\r\n Host: localhost\r\n\r\n".to_vec(), REFUSED),
        ("a header of 64 KiB", with(&format!("X: {}\r\n", "x".repeat(64 << 10))), &[431, CLOSED]),
        ("200 headers", with(&"X: y\r\n".repeat(200)), &[431]),
        ("a target of 64 KiB", get(&format!("/{}", "x".repeat(64 << 10))), &[414, 431, CLOSED]),
        ("a query of 14 KiB", get(&format!("/?{}", "q=a&".repeat(3_500))), &[200]),
        ("a query of 64 KiB", get(&format!("/?q={}", "x".repeat(64 << 10))), &[414, 431, CLOSED]),
        ("two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n\r\na"), REFUSED),
        ("a list of lengths", post("Content-Length: 1, 2\r\n\r\na"), REFUSED),
        ("a negative length", post("Content-Length: -1\r\n\r\n"), REFUSED),
        ("a length with a sign", post("Content-Length: +1\r\n\r\na"), REFUSED),
        ("a length in hexadecimal", post("Content-Length: 0x1\r\n\r\na"), REFUSED),
        ("a length beyond 64 bits", post("Content-Length: 99999999999999999999999\r\n\r\n"), REFUSED),
        ("the largest length", post("Content-Length: 18446744073709551615\r\n\r\n"), &[400, 413, 431, CLOSED]),
        ("a length of 1 GiB", post("Content-Length: 1073741824\r\n\r\n"), &[413]),
        (
            "length and chunks",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            &[400, 413, CLOSED],
        ),
        (
            "chunks and length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
            &[400, 413, CLOSED],
        ),
        ("chunked twice", post("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), &[400, 413, CLOSED]),
        (
            "chunked, then another coding",
            post("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
            &[400, 413, CLOSED],
        ),
        ("a coding with a tab", post("Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"), &[400, 413, CLOSED]),
        ("an unknown coding", post("Transfer-Encoding: identity\r\n\r\n"), &[400, 413, CLOSED]),
        (
            "chunks in HTTP/1.0",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            &[400, 405, 413, CLOSED],
        ),
        ("a chunk of negative size", post("Transfer-Encoding: chunked\r\n\r\n-1\r\n"), &[400, 413, CLOSED]),
        (
            "a chunk beyond 64 bits",
            post("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
            &[400, 413, CLOSED],
        ),
        (
            "chunk extensions",
            post(&format!("Transfer-Encoding: chunked\r\n\r\n{}", "1;a=b\r\nx\r\n".repeat(5_000))),
            &[413, CLOSED],
        ),
        (
            "a chunk extension of 1 MiB",
            post(&format!("Transfer-Encoding: chunked\r\n\r\n1;{}", "a".repeat(1 << 20))),
            &[413, CLOSED],
        ),
        (
            "trailers without end",
            post(&format!("Transfer-Encoding: chunked\r\n\r\n0\r\n{}", "X: y\r\n".repeat(20_000))),
            &[413, CLOSED],
        ),
        ("two hosts", with("Host: evil.example\r\n"), &[400]),
        ("the target of a proxy", get("http://evil.example/config"), &[403]),
        ("the target of another scheme", get("gopher://localhost/config"), &[200, 400, 403, 404]),
        ("a foreign host", b"GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(), &[403]),
        ("no host", b"GET /config HTTP/1.1\r\n\r\n".to_vec(), &[400, 403]),
        ("a foreign host for a reload", post("Content-Length: 0\r\n\r\n"), &[403]),
        ("a path above the root", get("/../../etc/passwd"), &[404]),
        ("a path above the runbooks", get("/runbooks/../../Cargo.toml"), &[404]),
        ("an encoded path above the runbooks", get("/runbooks/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), &[404]),
        ("a path above the assets", get("/assets/../../../etc/passwd"), &[404]),
        ("a path above the checks", get("/api/v1/checks/../../../config"), &[404]),
        ("an encoded path above the checks", get("/api/v1/checks/%2e%2e/%2e%2e"), &[404]),
        ("an incomplete percent sign", get("/api/v1/checks/%/%f"), &[404]),
        ("percent signs that are no UTF-8", get("/api/v1/checks/%ff%fe/%c0%af"), &[404]),
        ("an encoded NUL", get("/api/v1/checks/shop%00/health"), &[404]),
        ("an encoded line end", get("/runbooks/%0d%0aX:%20y"), &[404]),
        ("a filter that is no UTF-8", get("/?q=%ff%fe&status=%ff"), &[200]),
        ("a filter of signs", get("/api/v1/checks?q=%00%0a%3Cscript%3E%F0%9F%92%A3"), &[200]),
        (
            "bytes beyond ASCII in the target",
            [b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice()].concat(),
            &[400, 404, CLOSED],
        ),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20), REFUSED),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), REFUSED),
        ("random bytes", (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), REFUSED),
        ("endless Accept", with(&format!("Accept: {}\r\n", "a/b;q=0.1,".repeat(1_200))), &[200]),
        ("endless Accept-Encoding", with(&format!("Accept-Encoding: {}\r\n", "gzip;q=0,".repeat(1_200))), &[200]),
        ("Expect", post("Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"), &[403]),
        ("an unknown expectation", with("Expect: nonsense\r\n"), &[200, 417]),
    ]
}

#[test]
fn malformed_requests_are_refused_at_once_each_as_one_request() {
    let (_service, _home, daemon) = daemon();
    let table = table();
    assert!(table.len() >= 50, "{}", table.len());
    let vitals = Vitals::watch(&daemon);
    let mut wrong = Vec::new();
    for (name, mut bytes, expected) in table {
        // What follows must not be taken for a part of it, nor be answered if it was refused.
        if !expected.contains(&CLOSED) && !name.contains("Expect") {
            let head = String::from_utf8_lossy(&bytes).replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            bytes = head.into_bytes();
        }
        let end = converse(daemon.address, &bytes, PATIENCE);
        let first = end.statuses().first().copied().unwrap_or(CLOSED);
        let is_answered = first != CLOSED || end.is_closed;
        if !expected.contains(&first) || !is_answered || end.took > PATIENCE + Duration::from_secs(1) {
            wrong.push(format!("{name}: {first}, expected {expected:?}: {end:?}"));
        }
        if end.text.contains("root:") || end.text.contains("[package]") {
            wrong.push(format!("{name} shows a file"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    vitals.end().assert_alive("malformed requests");
    assert_eq!(daemon.check("shop/health").status, "pass");
}

#[test]
fn a_request_hidden_in_the_body_of_another_is_never_answered() {
    let (_service, _home, daemon) = daemon();
    let hidden = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (name, head) in [
        ("length and chunks", format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len() + 5)),
        ("a blank before the colon", "Transfer-Encoding : chunked\r\n".to_owned()),
        ("an odd coding", "Transfer-Encoding: xchunked\r\n".to_owned()),
        ("a coding after a line feed", "X: y\n\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned()),
    ] {
        let request = format!("POST /-/reload HTTP/1.1\r\nHost: localhost\r\n{head}\r\n0\r\n\r\n{hidden}");
        let end = converse(daemon.address, request.as_bytes(), PATIENCE);
        assert!(!end.text.contains("readiness_build_info"), "{name}: {}", end.text);
    }
}

#[test]
fn requests_in_a_row_are_answered_in_order_and_no_more_are_read_than_are_answered() {
    let (_service, _home, daemon) = daemon();
    let vitals = Vitals::watch(&daemon);
    let one = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let end = converse(daemon.address, format!("{}{last}", one.repeat(500)).as_bytes(), PATIENCE);
    let statuses = end.statuses();
    assert!(end.is_closed && statuses.len() == 501 && statuses[500] == 404, "{statuses:?}");
    assert!(statuses[..500].iter().all(|status| *status == 200), "{statuses:?}");
    // A client that sends requests and reads no answer is not read from for ever.
    let mut stream = connect(daemon.address);
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let taken = (0..20_000).take_while(|_| stream.write_all(requests.as_bytes()).is_ok()).count();
    assert!(taken < 20_000, "the server reads on and on");
    drop(stream);
    let signs = vitals.end();
    signs.assert_alive("requests in a row");
    signs.assert_memory_below(96);
}

#[test]
fn heads_and_bodies_without_an_end_are_cut_off() {
    let (_service, _home, daemon) = daemon();
    let vitals = Vitals::watch(&daemon);
    let head = b"GET / HTTP/1.1\r\nHost: localhost\r\n";
    let post = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n";
    let attacks = [
        ("headers", head.as_slice(), b"X: y\r\n".repeat(100)),
        ("one header", b"GET / HTTP/1.1\r\nX: ".as_slice(), b"x".repeat(4_096)),
        ("a target", b"GET /".as_slice(), b"x".repeat(4_096)),
        ("line ends", b"\r\n".as_slice(), b"\r\n".repeat(2_048)),
        ("a body in chunks", post.as_slice(), b"5\r\nhello\r\n".repeat(400)),
        ("a body with a length", long.as_slice(), b"x".repeat(4_096)),
    ];
    let start = Instant::now();
    for (name, first, again) in attacks.iter().cycle().take_while(|_| start.elapsed() < Duration::from_secs(1)) {
        let (sent, took) = flood(daemon.address, first, again, Duration::from_secs(12));
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        assert!(sent < 16 << 20, "{name}: {sent} bytes");
    }
    // A body that is announced and never comes delays no answer, to either method.
    for request in ["POST /-/reload", "GET /-/healthy"] {
        let start = Instant::now();
        let mut stream = connect(daemon.address);
        let text = format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx");
        stream.write_all(text.as_bytes()).unwrap();
        let end = read_to_end(stream, start, Duration::from_millis(700));
        assert_eq!(end.statuses(), [200], "{request}: {end:?}");
    }
    let signs = vitals.end();
    signs.assert_alive("endless requests");
    signs.assert_memory_below(96);
}

#[test]
fn a_request_that_changes_state_names_one_origin() {
    let (_service, _home, daemon) = daemon();
    let (origin, site) = (format!("Origin: http://{}\r\n", daemon.address), "Sec-Fetch-Site: same-origin\r\n");
    for (headers, status) in [
        (format!("{origin}{site}"), 200),
        (format!("{origin}{origin}"), 400),
        (format!("{origin}Origin: http://evil.example\r\n"), 400),
        (format!("{site}{site}"), 400),
        (format!("{site}Sec-Fetch-Site: cross-site\r\n"), 400),
    ] {
        let request =
            format!("POST /-/reload HTTP/1.1\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n", daemon.address);
        let end = converse(daemon.address, request.as_bytes(), Duration::from_secs(5));
        assert_eq!(end.statuses(), [status], "{headers}: {end:?}");
    }
    let hostless = b"GET /config HTTP/1.1\r\nConnection: close\r\n\r\n";
    let end = converse(daemon.address, hostless, Duration::from_secs(5));
    assert_eq!(end.statuses(), [403], "without Host, as under an unknown name: {end:?}");
}
