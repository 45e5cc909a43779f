//! Hostile targets of `metrics` probes.

use std::{fmt::Write, time::Duration};

use super::{
    flood::{Attack, Siege},
    http::{EMPTY_BLOCK, GZIP_HEADER, gzip, with},
};

const BAD: &str = "
    - name: bad
      metrics: {url: \"http://${TARGET}/metrics\"}
      interval: 400ms
      timeout: 300ms
      checks:
        - present: {series: [a]}
        - value: {series: \"{__name__=~\\\".+\\\"}\", max: 1000000000}
    ";

const WELL: &[u8] =
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n";

const GZIP: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n";
const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Which of the two comes first depends on the machine.
const LARGE: &[&str] = &["fail too_large", "fail timeout"];

#[test]
fn no_target_of_a_metrics_probe_holds_up_the_daemon_on_the_wire() {
    let siege = Siege::lay(BAD, WELL);
    let attacks = vec![
        Attack::endless("endless interim responses", &["fail protocol"], "", "HTTP/1.1 100 Continue\r\n\r\n"),
        Attack::endless("endless empty gzip blocks", LARGE, with(GZIP, &GZIP_HEADER), EMPTY_BLOCK),
        Attack::endless("endless empty gzip members", LARGE, GZIP, gzip(b"")),
        Attack::endless("endless chunks of a byte", LARGE, CHUNKED, "1\r\n\n\r\n"),
        Attack::endless("endless trailers", &["fail protocol"], with(CHUNKED, b"0\r\n"), "a: b\r\n"),
        Attack::endless("endless headers", &["fail too_large"], "HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        Attack::drip("a slow page", &["fail timeout"], PLAIN, b'#', Duration::from_millis(20)),
    ];
    siege.endure("bad/health", attacks, 120);
}

#[test]
fn no_page_holds_up_the_daemon_or_takes_its_memory() {
    let siege = Siege::lay(BAD, WELL);
    let labels: String = (0..5_000).fold("a{".to_owned(), |mut line, n| {
        let _ = write!(line, "l{n}=\"\",");
        line
    });
    let series: String = (0..60_000).fold(String::new(), |mut page, n| {
        let _ = writeln!(page, "a{{path=\"/orders/{n}\",method=\"GET\"}} 1");
        page
    });
    let attacks = vec![
        Attack::endless("endless blank lines", LARGE, PLAIN, "\n"),
        Attack::once("a bomb of blank lines", LARGE, with(GZIP, &gzip(&vec![b'\n'; 64 << 20]))),
        Attack::endless("one endless line", LARGE, PLAIN, "a"),
        Attack::once("a line with 5000 labels", LARGE, with(PLAIN, format!("{labels}}} 1\n").as_bytes())),
        Attack::endless("families without end", LARGE, PLAIN, "# TYPE orders_total counter\n"),
        Attack::endless("one series without end", LARGE, PLAIN, "a 1\n"),
        Attack::once("60000 series", LARGE, with(GZIP, &gzip(series.as_bytes()))),
    ];
    siege.endure("bad/health", attacks, 150);
}
