//! Hostile targets of `http` probes, in HTTP/1.1.

use std::{io::Write, process::Command, time::Duration};

use flate2::{Compression, write::GzEncoder};

use super::flood::{Attack, Siege};
use crate::harness::{probe_under_test::ProbeUnderTest, service::Service};

const BAD: &str = "
    - name: bad
      http: {url: \"http://${TARGET}/\"}
      interval: 400ms
      timeout: 300ms
      checks:
        - response: {expect: [{json: $.status, equals: ok}]}
    ";

const WELL: &[u8] =
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}";

const GZIP: &str = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The header of a gzip member, and an empty stored block.
pub(super) const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
pub(super) const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];

pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn with(head: &str, rest: &[u8]) -> Vec<u8> {
    [head.as_bytes(), rest].concat()
}

#[test]
fn no_target_of_an_http_probe_holds_up_the_daemon_by_its_encoding() {
    let siege = Siege::lay(BAD, WELL);
    let bomb = with(GZIP, &gzip(&vec![b'a'; 64 << 20]));
    let attacks = vec![
        Attack::endless("endless empty gzip blocks", &["fail too_large"], with(GZIP, &GZIP_HEADER), EMPTY_BLOCK),
        Attack::endless("endless empty gzip members", &["fail too_large", "fail timeout"], GZIP, gzip(b"")),
        Attack::once("a gzip bomb", &["fail too_large"], bomb),
        Attack::endless(
            "endless gzip header",
            &["fail too_large"],
            with(GZIP, &[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255]),
            "a",
        ),
        Attack::endless("endless chunks of a byte", &["fail timeout", "fail too_large"], CHUNKED, "1\r\na\r\n"),
        Attack::endless("an endless chunk extension", &["fail protocol"], with(CHUNKED, b"1;a="), "a"),
        Attack::endless("endless trailers", &["fail protocol"], with(CHUNKED, b"0\r\n"), "a: b\r\n"),
    ];
    siege.endure("bad/health", attacks, 100);
}

#[test]
fn no_target_of_an_http_probe_holds_up_the_daemon_before_its_body() {
    let siege = Siege::lay(BAD, WELL);
    let attacks = vec![
        Attack::endless("endless interim responses", &["fail protocol"], "", "HTTP/1.1 100 Continue\r\n\r\n"),
        Attack::endless(
            "endless early hints",
            &["fail protocol"],
            "",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        ),
        Attack::endless("endless headers", &["fail too_large"], "HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        Attack::endless("an endless header", &["fail too_large"], "HTTP/1.1 200 OK\r\na: ", "b"),
        Attack::endless("endless empty lines", &["fail too_large", "fail protocol"], "", "\r\n"),
        Attack::drip("a slow head", &["fail timeout"], "HTTP/1.1 200 OK\r\na: ", b'b', Duration::from_millis(20)),
        Attack::drip("a slow body", &["fail timeout"], "HTTP/1.1 200 OK\r\n\r\n", b'b', Duration::from_millis(20)),
    ];
    siege.endure("bad/health", attacks, 100);
}

#[test]
fn a_json_body_is_not_read_on_the_thread_that_serves() {
    let siege = Siege::lay(BAD, WELL);
    let json =
        |body: String| format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let lists = format!("[{}0]", "[],".repeat(300_000));
    let many: String = (0..100_000).map(|n| format!("\"{n}\":0,")).collect();
    let attacks = vec![
        Attack::once("a million JSON values", &["unknown too_large"], json(lists)),
        Attack::once("a hundred thousand JSON members", &["fail body"], json(format!("{{{many}\"a\":0}}"))),
        Attack::once("deep JSON", &["fail parse"], json("[".repeat(100_000))),
    ];
    siege.endure("bad/response", attacks, 150);
}

/// curl does not notice that a compressed body was cut short, and takes one member with nothing after it: there the
/// verdict is that of `gzip -t`.
#[tokio::test]
async fn a_compressed_body_is_whole_where_curl_and_gzip_say_so() {
    let service = Service::start();
    let noise: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for size in
        [0, 8 << 10, 16 << 10, 64 << 10, 128 << 10].into_iter().flat_map(|n: usize| [n.saturating_sub(1), n, n + 1])
    {
        for text in [&vec![b'a'; size], &noise[..size]] {
            let whole = gzip(text);
            let cut = whole[..whole.len() - 1].to_vec();
            let damaged = {
                let mut damaged = whole.clone();
                *damaged.last_mut().unwrap() ^= 1;
                damaged
            };
            for (name, body) in [("whole", whole), ("cut", cut), ("damaged", damaged)] {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                service.set_response(with(&head, &body));
                let mut curl = Command::new("curl");
                curl.args([
                    "--silent",
                    "--compressed",
                    "--max-time",
                    "5",
                    "--noproxy",
                    "*",
                    "--output",
                    "/dev/null",
                    &service.url(),
                ]);
                let theirs = curl.status().expect("curl is needed: run tests/setup").success() && name != "cut";
                let watch = ProbeUnderTest::new(&format!("http: {{url: \"{}\"}}", service.url()));
                let seen = watch.run().await;
                assert_eq!(seen.reason().is_none(), theirs, "{size} bytes, {name}: {:?}", seen.report.failure);
            }
        }
    }
}
