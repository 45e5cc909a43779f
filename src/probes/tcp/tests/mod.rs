mod dialogue;
mod starttls;

use std::time::Duration;

use serde_json::{Value, from_value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    io::context::Context,
    model::{observation::Incomplete, words::Reason},
    probe::Probe,
};

/// A server that sends a greeting, reads once, and sends an answer.
async fn server(greeting: &'static [u8], answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting).await;
            if !answer.is_empty() {
                let _ = stream.read_buf(&mut Vec::new()).await;
                let _ = stream.write_all(answer).await;
            }
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    address
}

async fn run(settings: Value) -> Result<TcpFacts, Incomplete<TcpFacts>> {
    run_for(Duration::from_secs(5), settings).await
}

async fn run_for(timeout: Duration, settings: Value) -> Result<TcpFacts, Incomplete<TcpFacts>> {
    let tcp: Tcp = from_value(settings).unwrap();
    tcp.validate(&crate::checks::fixture::TIMING).unwrap();
    let probe = tcp.build(vec![], &Arc::default()).unwrap();
    probe.observe(&Context::new(timeout, Arc::default())).await
}

#[tokio::test]
async fn a_run_passes_if_the_response_matches() {
    let greets = server(b"220 mail.example ESMTP\r\n", b"").await;
    let echoes = server(b"", b"+PONG\r\n").await;
    let floods = server(&[b'x'; 70_000], b"").await;
    let silent = server(b"", b"").await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let cases = [
        (json!({"address": greets}), None),
        (json!({"address": greets, "expect": "^220 .*SMTP"}), None),
        (json!({"address": greets, "expect": "^250"}), Some(Reason::Body)),
        (json!({"address": echoes, "send": "PING\r\n", "expect": r"^\+PONG\r\n$"}), None),
        (json!({"address": floods, "expect": "y"}), Some(Reason::TooLarge)),
        (json!({"address": silent, "expect": "y"}), Some(Reason::Body)),
        (json!({"address": closed}), Some(Reason::Refused)),
        (json!({"address": greets, "tls": {"insecure_skip_verify": true}}), Some(Reason::Tls)),
    ];
    for (settings, reason) in cases {
        let result = run(settings.clone()).await;
        let failure = result.err().map(|broken| broken.failure);
        assert_eq!(failure.as_ref().map(|failure| failure.reason), reason, "{settings}: {failure:?}");
    }
}

#[tokio::test]
async fn a_mismatch_quotes_little_of_the_answer() {
    let address = server(&[b'a'; 5_000], b"").await;
    let broken = run(json!({"address": address, "expect": "b"})).await.unwrap_err();
    assert!(broken.failure.detail.len() < 200, "{}", broken.failure);
    assert_eq!(broken.facts.unwrap().received, 5_000);
}

#[tokio::test]
async fn a_server_that_goes_silent_is_left_at_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp: Tcp = from_value(json!({"address": listener.local_addr().unwrap().to_string(), "expect": "x"})).unwrap();
    let probe = tcp.build(vec![], &Arc::default()).unwrap();
    let context = Context::new(Duration::from_millis(400), Arc::default());
    let broken = probe.observe(&context).await.unwrap_err();
    assert_eq!(broken.failure.reason, Reason::Timeout);
    assert_eq!(broken.failure.detail, "not done within 400ms (in phase response): expected `x`, and nothing came");
    assert_eq!(context.phases().last().unwrap().0, Phase::Response);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
}

#[test]
fn a_certificate_check_needs_an_encrypted_connection() {
    let bring =
        |settings: Value| from_value::<Tcp>(settings).unwrap().validate_requests(&[TcpFactRequest::Certificates]);
    assert!(bring(json!({"address": "a.example:1"})).unwrap_err().message.contains("add `tls: {}` or `starttls`"));
    bring(json!({"address": "a.example:1", "tls": {}})).unwrap();
    bring(json!({"address": "a.example:1", "starttls": "smtp"})).unwrap();
    bring(json!({"address": "a.example:1", "steps": [{"starttls": true}]})).unwrap();
}

/// A search in 64 KiB takes up to 50 ms with a pattern like this one, and each byte causes another search.
#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_takes_a_fifth_of_the_time_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let _ = stream.write_all(&[b'a'; 2_000]).await;
            while stream.write_all(b"a").await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
    });
    let others = tokio::spawn(async {
        let mut turns = 0;
        loop {
            turns += 1;
            tokio::task::yield_now().await;
            if turns == 20 {
                return;
            }
        }
    });
    let settings = json!({"address": address, "expect": "y[ab]{900}c"});
    let _ = tokio::time::timeout(Duration::from_millis(500), run(settings)).await;
    assert!(others.is_finished(), "the others had fewer than 20 turns in half a second");
}
