use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, from_value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::*;
use crate::{
    io::context::Context,
    model::{failure::Failure, observation::Incomplete, words::Reason},
    probe::Probe,
};

mod aborted;
mod cookies;
mod credentials;
mod encrypted;
mod kept;
mod leniency;
mod oauth2;
mod proxied;
mod redirects;

/// A server that answers every connection with the same bytes once a whole head has come, and keeps what was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answering(answer: impl Into<Vec<u8>>) -> Server {
    let answer = answer.into();
    serve(move |_| answer.clone()).await
}

async fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Server {
    serve_at("127.0.0.1", answer).await
}

async fn serve_at(host: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(one(stream, Arc::clone(&answer), Arc::clone(&seen)));
        }
    });
    Server { address, asked }
}

async fn one(mut stream: TcpStream, answer: Arc<impl Fn(&str) -> Vec<u8>>, seen: Arc<Mutex<Vec<String>>>) {
    let head = head_of(&mut stream).await;
    let bytes = answer(&head);
    seen.lock().unwrap().push(head);
    let _ = stream.write_all(&bytes).await;
    // What the probe still sends is read, so that no reset overtakes the answer.
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn probe(settings: Value) -> HttpProbe {
    let http: Http = from_value(settings).unwrap();
    let timing = Timing {
        interval: Duration::from_secs(10),
        retry_interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
    };
    http.validate(&timing).unwrap();
    http.build(vec![HttpFactRequest::Body], &Arc::default()).unwrap()
}

async fn run(settings: Value) -> Result<HttpFacts, Incomplete<HttpFacts>> {
    probe(settings).observe(&Context::new(Duration::from_secs(5), Arc::default())).await
}

async fn failure(settings: Value) -> Failure {
    run(settings).await.unwrap_err().failure
}

impl Server {
    fn url(&self) -> String {
        format!("http://{}/health?key=s3cret", self.address)
    }

    /// The heads of all requests so far.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn an_answer_is_read_to_its_end_and_its_facts_are_there() {
    let server = answering(OK).await;
    let context = Context::new(Duration::from_secs(5), Arc::default());
    let facts = probe(json!({"url": server.url(), "headers": {"X-Key": "v"}})).observe(&context).await.unwrap();
    let answered = facts.response.unwrap();
    assert_eq!((answered.status, answered.version, answered.body_size), (200, "HTTP/1.1", 2));
    assert_eq!(answered.body.unwrap(), "ok");
    assert_eq!(facts.remote, Some(server.address));
    let asked = server.asked().concat();
    assert!(asked.starts_with("GET /health?key=s3cret HTTP/1.1\r\n") && asked.contains("x-key: v\r\n"), "{asked}");
    let phases: Vec<_> = context.phases().into_iter().map(|(phase, _)| phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Request, Phase::Response]);
}

#[tokio::test]
async fn an_unexpected_status_fails_with_what_was_seen_and_without_the_query() {
    let server = answering("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
    let broken = run(json!({"url": server.url()})).await.unwrap_err();
    assert_eq!(broken.failure.reason, Reason::Status);
    assert!(broken.failure.detail.contains("503") && !broken.failure.detail.contains("s3cret"), "{}", broken.failure);
    assert_eq!(broken.facts.unwrap().response.unwrap().status, 503);
    run(json!({"url": server.url(), "expect_status": [200, "5xx"]})).await.unwrap();
}

#[tokio::test]
async fn each_way_of_not_answering_has_its_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let head = "HTTP/1.1 200 OK\r\n";
    let cases = [
        (json!({"url": format!("http://{closed}/")}), Reason::Refused),
        (json!({"url": "http://no-such-name.invalid/"}), Reason::Resolve),
        (json!({"url": format!("http://{closed}/"), "address_family": "ip6"}), Reason::Resolve),
        (json!({"url": answering("220 mail.example ESMTP\r\n").await.url()}), Reason::Protocol),
        (json!({"url": answering("").await.url()}), Reason::Protocol),
        (json!({"url": answering(head).await.url()}), Reason::Protocol),
        (json!({"url": answering(format!("{head}content-length: 9\r\n\r\nshort")).await.url()}), Reason::Protocol),
        (json!({"url": answering(format!("{head}{}\r\n", "a: b\r\n".repeat(101))).await.url()}), Reason::TooLarge),
        (json!({"url": answering(format!("{head}a: {}\r\n\r\n", "b".repeat(70_000))).await.url()}), Reason::TooLarge),
        (json!({"url": answering(OK).await.url(), "body_limit": "1B"}), Reason::TooLarge),
        (json!({"url": answering(packed(1 << 20)).await.url()}), Reason::TooLarge),
        (json!({"url": answering(OK).await.url(), "http_version": 2}), Reason::Protocol),
    ];
    for (settings, reason) in cases {
        let failure = failure(settings.clone()).await;
        assert_eq!(failure.reason, reason, "{settings}: {failure}");
    }
}

#[tokio::test]
async fn dropping_a_run_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let context = Context::new(Duration::from_secs(60), Arc::default());
    let probe = probe(json!({"url": url}));
    let start = Instant::now();
    tokio::time::timeout(Duration::from_millis(400), probe.observe(&context)).await.unwrap_err();
    let (mut stream, _) = listener.accept().await.unwrap();
    head_of(&mut stream).await;
    let end = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await.expect("the connection is closed");
    assert!(end.is_err(), "something was sent after the timeout, {:?} after the start", start.elapsed());
}

fn packed(zeros: usize) -> Vec<u8> {
    use std::io::Write;
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(&vec![0; zeros + 1]).unwrap();
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
    answer.extend(to.finish().unwrap());
    answer
}

#[tokio::test]
async fn a_compressed_body_is_counted_after_decompression() {
    let server = answering(packed(999)).await;
    let facts = run(json!({"url": server.url(), "body_limit": "1kB"})).await.unwrap();
    assert_eq!(facts.response.unwrap().body_size, 1_000);
}

/// Runs against a listener until the timeout and gives the phase that it was in.
async fn phase_at_timeout(settings: Value) -> Phase {
    let context = Context::new(Duration::from_millis(600), Arc::default());
    // Connecting notices by itself that its time is up, and then says more.
    if let Ok(end) = tokio::time::timeout(context.timeout, probe(settings).observe(&context)).await {
        assert_eq!(end.unwrap_err().failure.reason, Reason::Timeout);
    }
    context.phases().last().unwrap().0
}

#[tokio::test]
async fn a_timeout_is_met_in_each_phase() {
    // A full accept queue: what comes after it gets no answer to its SYN.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let waiting = Duration::from_millis(100);
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(waiting, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 10, "the queue never gets full");
    }
    let connecting = phase_at_timeout(json!({"url": format!("http://{address}/")}));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let insecure = json!({"insecure_skip_verify": true});
    let url = format!("https://{address}/");
    let encrypting = phase_at_timeout(json!({"url": url, "tls": insecure}));
    let requesting = phase_at_timeout(json!({"url": format!("http://{address}/")}));

    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", slow.local_addr().unwrap());
    let serving = async {
        let (mut stream, _) = slow.accept().await.unwrap();
        head_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1").await.unwrap();
        // Endless heads and bodies that trickle are the same to a timeout.
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the connection is closed after the timeout");
    };
    let reading = phase_at_timeout(json!({"url": url}));
    // All at once: each waits for its timeout.
    let (connecting, encrypting, requesting, reading, ()) =
        tokio::join!(connecting, encrypting, requesting, reading, serving);
    assert_eq!(
        [connecting, encrypting, requesting, reading],
        [Phase::Connect, Phase::Tls, Phase::Request, Phase::Response]
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused_at_their_key() {
    let url = "http://a.example/";
    let cases = [
        (json!({"url": url, "body_limit": "0B"}), "body_limit"),
        (json!({"url": url, "tls": {"min_version": "1.3"}}), "tls"),
        (json!({"url": url, "http_version": 2, "proxy": "http://b.example"}), "http_version"),
        (json!({"url": url, "host": "a b"}), "host"),
        (json!({"url": url, "basic_auth": {"username": "u"}}), "basic_auth"),
        (json!({"url": url, "basic_auth": {"username": "u:v", "password": "p"}}), "basic_auth"),
        (json!({"url": url, "bearer_token": "t", "headers": {"Authorization": "t"}}), "url"),
        (json!({"url": url, "headers": {"Host": "t"}}), "headers"),
        (json!({"url": url, "headers": {"a b": "t"}}), "headers"),
        (json!({"url": url, "headers": {"a": "t\n"}}), "headers"),
        (json!({"url": url, "headers": {"a": "t", "A": "u"}}), "headers"),
        (json!({"url": url, "headers": {"a": "t"}, "header_files": {"A": "f"}}), "header_files"),
        (json!({"url": url, "header_files": {"a b": "f"}}), "header_files"),
        (json!({"url": url, "header_files": {"Host": "f"}}), "header_files"),
        (json!({"url": url, "bearer_token": "t", "header_files": {"authorization": "f"}}), "header_files"),
        (json!({"url": url, "proxy_headers": {"a": "t"}}), "proxy_headers"),
        (json!({"url": url, "proxy": "http://b.example", "proxy_headers": {"host": "t"}}), "proxy_headers"),
        (
            json!({"url": url, "proxy": "http://u:p@b.example", "proxy_headers": {"Proxy-Authorization": "t"}}),
            "proxy_headers",
        ),
        (json!({"url": url, "max_connection_age": "1h"}), "max_connection_age"),
        (json!({"url": url, "keep_alive": true, "max_connection_age": "0s"}), "max_connection_age"),
        (json!({"url": "https://a.example", "tls": {"min_version": 1.3, "max_version": 1.2}}), "max_version"),
    ];
    for (settings, key) in cases {
        let http: Http = from_value(settings.clone()).unwrap();
        assert_eq!(http.validate(&crate::checks::fixture::TIMING).unwrap_err().key, Some(key), "{settings}");
    }
    for bad in [
        json!({"url": url, "follow_redirects": {"max": 0}}),
        json!({"url": url, "follow_redirects": {"max": 99}}),
        json!({"url": url, "http_version": 3}),
        json!({"url": url, "method": "TRACE"}),
        json!({"url": url, "metod": "GET"}),
    ] {
        assert!(from_value::<Http>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn wishes_that_can_never_be_met_are_refused() {
    let bring = |settings, want| from_value::<Http>(settings).unwrap().validate_requests(&[want]);
    bring(json!({"url": "http://a.example"}), HttpFactRequest::Certificates).unwrap_err();
    bring(json!({"url": "https://a.example"}), HttpFactRequest::Certificates).unwrap();
    bring(json!({"url": "http://a.example", "method": "HEAD"}), HttpFactRequest::Body).unwrap_err();
}

#[test]
fn an_idle_probe_is_small() {
    assert!(size_of::<HttpProbe>() < 800, "{} bytes", size_of::<HttpProbe>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_server_sends_is_an_answer_or_a_failure(
        head in "(HTTP/1.1 (200|301|101|999) \\PC{0,20}\r\n)?", bytes in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = answering([head.into_bytes(), bytes].concat()).await;
            let _ = run(json!({"url": server.url(), "follow_redirects": true})).await;
        });
    }
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
        let failure = failure(json!({"url": server.url()})).await;
        assert_eq!(failure.reason, Reason::Protocol, "{answer}: {failure}");
        for part in [text, "RFC 9112, section 6.3", "correct the server"] {
            assert!(failure.detail.contains(part), "{failure} / {part}");
        }
    }
    // The same length twice is no contradiction.
    let server = answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\na 1\n").await;
    run(json!({"url": server.url()})).await.unwrap();
}
