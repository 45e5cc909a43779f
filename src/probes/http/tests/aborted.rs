//! Runs that end before the response is complete: the received part of it is reported.

use super::*;
use crate::model::observation::Facts;

/// Answers with these bytes and then neither sends more nor closes the connection.
async fn stalling(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            head_of(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            open.push(stream);
        }
    });
    url
}

async fn run_shortly(settings: Value) -> Incomplete<HttpFacts> {
    let context = Context::new(Duration::from_secs(1), Arc::default());
    probe(settings).observe(&context).await.unwrap_err()
}

#[tokio::test]
async fn a_timeout_reports_the_status_and_the_bytes_of_a_body_that_stalls() {
    let url = stalling("HTTP/1.1 503 Busy\r\ncontent-length: 99\r\nx-pod: 7\r\n\r\nstarting").await;
    let broken = run_shortly(json!({"url": url})).await;
    let text = "answered with status 503, expected 2xx; its body did not end within 1s (8 bytes received)";
    assert_eq!(broken.failure, Failure::new(Reason::Status, format!("{url} {text}")));
    let facts = broken.facts.unwrap();
    assert_eq!(facts.answer()[0].value, 503.0);
    assert!(facts.remote.is_some());
    let response = facts.response.unwrap();
    assert_eq!((response.status, response.is_complete, response.body_size), (503, false, 8));
    assert_eq!(response.headers["x-pod"], "7");

    // An expected status is not the fault.
    let broken = run_shortly(json!({"url": url, "expect_status": 503})).await;
    let text = "answered with status 503, but its body did not end within 1s (8 bytes received)";
    let expected = Failure::new(Reason::Timeout, format!("{url} {text}"));
    assert_eq!(broken.failure, expected.with_meaning("the response did not end within the timeout"));
    assert!(broken.facts.unwrap().answer().is_empty());
}

#[tokio::test]
async fn a_timeout_reports_a_redirect_that_was_followed_and_a_head_that_trickles() {
    let end = stalling("HTTP/1.1 200 OK\r\nx-slow").await;
    let location = end.clone();
    let server =
        serve(move |_| format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes())
            .await;
    let broken = run_shortly(json!({"url": server.url(), "follow_redirects": true})).await;
    let text = "not done within 1s (in phase request); 23 bytes came, but no complete head of a response";
    let expected = Failure::new(Reason::Timeout, text);
    assert_eq!(broken.failure, expected.with_meaning("the target did not answer the request within the timeout"));
    let facts = broken.facts.unwrap();
    assert_eq!((facts.redirects, facts.response.is_none()), (vec![end], true));

    // A redirect that will be followed is no unexpected status.
    let url = stalling("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 9\r\n\r\n").await;
    assert_eq!(run_shortly(json!({"url": url, "follow_redirects": true})).await.failure.reason, Reason::Timeout);
    assert_eq!(run_shortly(json!({"url": url})).await.failure.reason, Reason::Status);
}

#[tokio::test]
async fn a_broken_body_does_not_hide_an_unexpected_status() {
    let head = "HTTP/1.1 500 Oops\r\ncontent-length: 99\r\n";
    for (answer, limit, reason) in [
        (format!("{head}\r\nshort"), "1MiB", "closed the connection before its answer was complete"),
        (format!("{head}\r\nshort"), "4B", "larger than 4B"),
        (format!("{head}content-encoding: gzip\r\n\r\nshort"), "1MiB", "can't be decompressed"),
    ] {
        let server = answering(answer).await;
        let broken = run(json!({"url": server.url(), "body_limit": limit})).await.unwrap_err();
        assert_eq!(broken.failure.reason, Reason::Status, "{}", broken.failure);
        for part in ["answered with status 500, expected 2xx; ", reason] {
            assert!(broken.failure.detail.contains(part), "{}", broken.failure);
        }
        assert!(!broken.facts.unwrap().response.unwrap().is_complete);
    }
}

#[tokio::test]
async fn a_timeout_reports_the_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), crate::io::tls::fixture::authority("a"));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server(|_| {})));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let broken = run_shortly(json!({"url": url, "tls": authority.trusted_in(folder.path())})).await;
    assert_eq!(broken.failure.reason, Reason::Timeout, "{}", broken.failure);
    let facts = broken.facts.unwrap();
    assert_eq!(facts.certificates.unwrap().leaf.names, ["localhost"]);
    assert_eq!(facts.tls_version, Some("1.3"));
}
