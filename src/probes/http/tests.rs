use std::{
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
    http.acquire(vec![Want::Body], &Arc::default()).unwrap()
}

async fn run(settings: Value) -> Result<HttpFacts, Broken<HttpFacts>> {
    probe(settings).observe(&Context::new(Duration::from_secs(5), Arc::default())).await
}

async fn failure(settings: Value) -> Failure {
    run(settings).await.unwrap_err().failure
}

impl Server {
    fn url(&self) -> String {
        format!("http://{}/health?key=s3cret", self.address)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn an_answer_is_read_to_its_end_and_its_facts_are_there() {
    let server = answering(OK).await;
    let context = Context::new(Duration::from_secs(5), Arc::default());
    let facts = probe(json!({"url": server.url(), "headers": {"X-Key": "v"}})).observe(&context).await.unwrap();
    let answered = facts.response.unwrap();
    assert_eq!((answered.status, &*answered.version, answered.body_size), (200, "HTTP/1.1", 2));
    assert_eq!(answered.body.unwrap(), "ok");
    assert_eq!(facts.remote, Some(server.address));
    let asked = server.asked.lock().unwrap().join("");
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
    let context = Context::new(Duration::from_millis(100), Arc::default());
    let probe = probe(json!({"url": url}));
    let start = Instant::now();
    tokio::time::timeout(Duration::from_millis(100), probe.observe(&context)).await.unwrap_err();
    let (mut stream, _) = listener.accept().await.unwrap();
    head_of(&mut stream).await;
    let end = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await.expect("the connection is closed");
    assert!(end.is_err(), "something was sent after the timeout, {:?} after the start", start.elapsed());
}
