use std::{
    io::Write,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Value, from_value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A server that gives each request the same answer, and keeps what was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

async fn answering(answer: impl Into<Vec<u8>>) -> Server {
    let answer: Arc<[u8]> = answer.into().into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let (seen, count) = (Arc::clone(&asked), Arc::clone(&connections));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen)));
        }
    });
    Server { address, asked, connections }
}

async fn serve(mut stream: TcpStream, answer: Arc<[u8]>, seen: Arc<Mutex<Vec<String>>>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
            // A TLS handshake begins so, and this server doesn't know it.
            if head == [22] {
                let _ = stream.write_all(&answer).await;
            }
        }
        seen.lock().unwrap().push(String::from_utf8_lossy(&head).to_lowercase());
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn page(kind: &str, body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("content-type: {kind}\r\n"), body)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn probe(url: &str, more: Value) -> MetricsProbe {
    let mut settings = json!({"url": url});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let settings: Metrics = from_value(settings).unwrap();
    let wants = vec!["a".parse().unwrap()];
    settings.build(wants, &Arc::default()).unwrap()
}

fn at(server: &Server) -> String {
    format!("http://{}/metrics?token=hunter2", server.address)
}

async fn scrape(probe: &MetricsProbe) -> Result<Page, Failure> {
    let cx = Context::new(Duration::from_secs(5), Arc::default());
    probe.observe(&cx).await.map_err(|broken| broken.failure)
}

#[tokio::test]
async fn both_formats_are_read_and_only_requested_series_are_kept() {
    let server = answering(page("text/plain; version=0.0.4", b"a{x=\"1\"} 5\nb 6\n")).await;
    let seen = scrape(&probe(&at(&server), json!({}))).await.unwrap();
    assert_eq!((seen.format, seen.samples, seen.series.len()), (Format::Text, 2, 1));
    let server = answering(page("application/openmetrics-text; version=1.0.0", b"a 5\n# EOF\n")).await;
    let seen = scrape(&probe(&at(&server), json!({}))).await.unwrap();
    assert_eq!((seen.format, seen.series[0].value), (Format::OpenMetrics, 5.0));
    assert_eq!(serde_json::to_value(&seen).unwrap()["series"], json!({"a": 5.0}));
}

#[tokio::test]
async fn the_connection_is_kept_and_a_new_one_made_when_it_is_gone() {
    let server = answering(page("text/plain", b"a 5\n")).await;
    let probe = probe(&at(&server), json!({}));
    for _ in 0..3 {
        scrape(&probe).await.unwrap();
    }
    assert_eq!(*server.connections.lock().unwrap(), 1);
    let closing = answering(answer("200 OK", "connection: close\r\n", b"a 5\n")).await;
    let probe = self::probe(&at(&closing), json!({}));
    for _ in 0..3 {
        scrape(&probe).await.unwrap();
    }
    assert_eq!(*closing.connections.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_timeout_keeps_the_status_of_the_answer() {
    let whole = page("text/plain", b"a 5\n");
    let server = answering(&whole[..whole.len() - 2]).await;
    let cx = Context::new(Duration::from_millis(500), Arc::default());
    let broken = probe(&at(&server), json!({})).observe(&cx).await.unwrap_err();
    assert_eq!(broken.failure.reason, Reason::Timeout, "{}", broken.failure);
    assert_eq!(broken.facts.unwrap().status, Some(200));
}

#[tokio::test]
async fn the_connection_has_a_maximum_age() {
    let server = answering(page("text/plain", b"a 5\n")).await;
    let probe = probe(&at(&server), json!({"max_connection_age": "300ms"}));
    scrape(&probe).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    scrape(&probe).await.unwrap();
    assert_eq!(*server.connections.lock().unwrap(), 2);
}

#[tokio::test]
async fn headers_and_tokens_are_sent_and_read_at_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "one\n").unwrap();
    let server = answering(page("text/plain", b"a 5\n")).await;
    let probe = probe(&at(&server), json!({"headers": {"X-Scope": "team"}, "bearer_token_file": file}));
    scrape(&probe).await.unwrap();
    std::fs::write(&file, "two\n").unwrap();
    scrape(&probe).await.unwrap();
    let asked = server.asked.lock().unwrap().clone();
    for (asked, token) in asked.iter().zip(["one", "two"]) {
        assert!(asked.starts_with("get /metrics?token=hunter2 http/1.1\r\n"), "{asked}");
        for line in ["x-scope: team", &format!("authorization: bearer {token}"), "accept-encoding: gzip"] {
            assert!(asked.contains(&format!("\r\n{line}\r\n")), "{asked}");
        }
        assert!(
            asked.contains("accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_user_and_a_password_are_sent() {
    let server = answering(page("text/plain", b"a 5\n")).await;
    scrape(&probe(&at(&server), json!({"basic_auth": {"username": "u", "password": "p"}}))).await.unwrap();
    let asked = server.asked.lock().unwrap().concat();
    assert!(asked.contains("\r\nauthorization: basic dtpw\r\n"), "{asked}");
}

#[tokio::test]
async fn each_way_of_failing_has_its_reason() {
    let limit = json!({"body_limit": "1MiB", "sample_limit": 1000, "line_limit": "64KiB"});
    let bomb = gzip(&vec![b'#'; 8 << 20]);
    let lines = gzip(&b"a_comment 1\n".repeat(200_000));
    let cut = answer("200 OK", "content-type: text/plain\r\n", b"a 1\nb 2\n");
    let cases = [
        (page("text/html", b"<!doctype html><html></html>"), Reason::Parse, "this looks like an HTML page"),
        (page("application/json", b"{\"status\": \"up\"}"), Reason::Parse, "this looks like JSON"),
        (page("text/plain", b"a 1\nb{x=\"y"), Reason::Parse, "line 2, column 6"),
        (page("application/openmetrics-text", b"a 1\n"), Reason::Parse, "the page breaks off"),
        (page("text/plain", b""), Reason::Empty, "without a single sample"),
        (page("text/plain", b"# nothing\n"), Reason::Empty, "without a single sample"),
        (
            page("text/plain", &vec![b'\n'; 2 << 20]),
            Reason::TooLarge,
            "the page is larger than 1MiB; raise `body_limit`",
        ),
        (answer("200 OK", "content-encoding: gzip\r\n", &bomb), Reason::TooLarge, "longer than 64KiB"),
        (
            answer("200 OK", "content-type: text/plain\r\n", &[b'a'; 70 << 10]),
            Reason::TooLarge,
            "longer than 64KiB; raise `line_limit`",
        ),
        (
            page("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily", b"\n\x01a"),
            Reason::Protocol,
            "the protobuf format",
        ),
        (page("application/openmetrics-text; version=2.0.0", b"a 1\n# EOF\n"), Reason::Protocol, "OpenMetrics 2.0"),
        (
            page("text/html; charset=utf-8", b"ok\n"),
            Reason::Parse,
            "; the server declares `Content-Type: text/html; charset=utf-8`",
        ),
        (answer("200 OK", "content-encoding: gzip\r\n", &lines), Reason::TooLarge, "more than 1000 samples"),
        (answer("200 OK", "content-encoding: gzip\r\n", b"a 1\n"), Reason::Parse, "the page can't be decompressed"),
        (
            answer("200 OK", "content-encoding: br\r\n", b"\x0b\x01\x80a 1\n\x03"),
            Reason::Parse,
            "`Content-Encoding: br`, and the probe accepts gzip only",
        ),
        (answer("503 Service Unavailable", "", b""), Reason::Status, "answered with status 503, expected 200"),
        (answer("302 Found", "location: /login\r\n", b""), Reason::Status, "redirects are not followed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Reason::Protocol, "not HTTP"),
        (cut[..cut.len() - 3].to_vec(), Reason::Timeout, ""),
    ];
    for (bytes, reason, text) in cases {
        let server = answering(bytes).await;
        let probe = probe(&at(&server), limit.clone());
        // Only the page that is cut short uses its time up.
        let patience = if reason == Reason::Timeout { Duration::from_millis(300) } else { Duration::from_secs(10) };
        let result = tokio::time::timeout(patience, scrape(&probe)).await;
        let failure = result.unwrap_or_else(|_| Err(Failure::new(Reason::Timeout, ""))).unwrap_err();
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.detail.contains(text), "{failure} / {text}");
        assert!(!failure.detail.contains("hunter2"), "{failure}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, reason) in [
        (format!("http://{nobody}/?token=hunter2"), Reason::Refused),
        ("http://name.invalid/?token=hunter2".to_owned(), Reason::Resolve),
    ] {
        let failure = scrape(&probe(&url, limit.clone())).await.unwrap_err();
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(!failure.detail.contains("hunter2"), "{failure}");
    }
}

#[tokio::test]
async fn a_port_in_the_clear_is_not_taken_for_an_encrypted_one() {
    let server = answering(page("text/plain", b"a 5\n")).await;
    let failure = scrape(&probe(&format!("https://{}/", server.address), json!({}))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Tls, "{failure}");
    assert!(failure.detail.contains("is this a TLS port?"), "{failure}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let timing = crate::checks::fixture::TIMING;
    let key = |more: Value| {
        let mut settings = json!({"url": "http://a.example/metrics"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        from_value::<Metrics>(settings).unwrap().validate(&timing).err().map(|error| error.key.unwrap())
    };
    assert_eq!(key(json!({})), None);
    assert_eq!(key(json!({"basic_auth": {"username": "u", "password": "p"}})), None);
    assert_eq!(key(json!({"basic_auth": {"username": "u"}})), Some("basic_auth"));
    assert_eq!(key(json!({"bearer_token": "x", "bearer_token_file": "/x"})), Some("url"));
    assert_eq!(key(json!({"bearer_token": "x", "headers": {"Authorization": "y"}})), Some("url"));
    assert_eq!(key(json!({"body_limit": "0B"})), Some("body_limit"));
    assert_eq!(key(json!({"line_limit": "0B"})), Some("line_limit"));
    assert_eq!(key(json!({"max_connection_age": "0s"})), Some("max_connection_age"));
    assert_eq!(key(json!({"headers": {"a b": "x"}})), Some("headers"));
    assert_eq!(key(json!({"headers": {"Accept-Encoding": "br"}})), Some("headers"));
    assert_eq!(key(json!({"tls": {"server_name": "b.example"}})), Some("tls"));
    assert_eq!(key(json!({"tls": {"ca": "/x"}})), Some("tls"));
    assert!(from_value::<Metrics>(json!({"url": "http://a", "sample_limit": 0})).is_err());
}

/// The aim is about 130 ns a line in a release build; here it is only held that nothing is quadratic.
#[tokio::test]
async fn a_page_of_fifty_thousand_lines_is_read_at_once() {
    let line = |n: u32| {
        format!("http_requests_total{{method=\"GET\",path=\"/orders/{{id}}\",code=\"200\",pod=\"p-{n}\"}} {n}\n")
    };
    let body: String = (0..50_000).map(line).collect();
    let server = answering(page("text/plain", body.as_bytes())).await;
    let start = Instant::now();
    let seen = scrape(&probe(&at(&server), json!({}))).await.unwrap();
    assert_eq!(seen.samples, 50_000);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Responses of which two readers may see different ends, and what is said of each.
const AMBIGUOUS: [(&str, &str); 6] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n", "both"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n", "both"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\na 1\n", "several Content-Length"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 4, 40\r\n\r\na 1\n", "several Content-Length"),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\n", "several Content-Length"),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
];

#[tokio::test]
async fn a_response_whose_end_depends_on_the_reader_is_refused() {
    for (answer, text) in AMBIGUOUS {
        let server = answering(answer).await;
        let failure = scrape(&probe(&at(&server), json!({}))).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Protocol, "{answer}: {failure}");
        for part in [text, "RFC 9112, section 6.3", "correct the server"] {
            assert!(failure.detail.contains(part), "{failure} / {part}");
        }
    }
    // The same length twice is no contradiction.
    let server = answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\na 1\n").await;
    scrape(&probe(&at(&server), json!({}))).await.unwrap();
}

#[tokio::test]
async fn encodings_are_read_as_prometheus_reads_them() {
    let plain = b"a 5\n";
    let members = [gzip(b"a "), gzip(b"5\n")].concat();
    for (headers, body) in [
        ("content-encoding: gzip\r\n", &gzip(plain)[..]),
        ("content-encoding: gzip\r\n", &members),
        ("content-encoding: identity\r\n", plain),
        ("content-encoding: utf-8\r\n", plain),
        ("content-encoding: br\r\n", plain),
    ] {
        let server = answering(answer("200 OK", headers, body)).await;
        assert_eq!(scrape(&probe(&at(&server), json!({}))).await.unwrap().series[0].value, 5.0, "{headers}");
    }
}

#[tokio::test]
async fn the_times_of_samples_can_be_ignored() {
    let server = answering(page("text/plain", b"a 5 1\n")).await;
    let seen = scrape(&probe(&at(&server), json!({}))).await.unwrap();
    assert_eq!((seen.series.len(), seen.untimely.len(), seen.untimely_samples), (0, 1, 1));
    let seen = scrape(&probe(&at(&server), json!({"honor_timestamps": false}))).await.unwrap();
    assert_eq!((seen.series.len(), seen.untimely_samples), (1, 0));
}
