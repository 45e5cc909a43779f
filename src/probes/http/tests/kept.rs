use super::*;

/// A server that answers `lives` requests on a connection before it closes it; gives its URL and a count of connections.
async fn lasting(lives: usize) -> (String, Arc<Mutex<usize>>, Arc<tokio::sync::Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (count, closed) = (Arc::new(Mutex::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (seen, gone) = (Arc::clone(&count), Arc::clone(&closed));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *seen.lock().unwrap() += 1;
            let gone = Arc::clone(&gone);
            tokio::spawn(async move {
                for _ in 0..lives {
                    if head_of(&mut stream).await.is_empty() {
                        break;
                    }
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
                drop(stream);
                gone.notify_one();
            });
        }
    });
    (url, count, closed)
}

async fn once(probe: &HttpProbe) -> Result<HttpFacts, Incomplete<HttpFacts>> {
    probe.observe(&Context::new(Duration::from_secs(5), Arc::default())).await
}

#[tokio::test]
async fn a_connection_is_kept_only_when_asked() {
    for (keep_alive, connections) in [(true, 1), (false, 3)] {
        let (url, count, _) = lasting(10).await;
        let probe = probe(json!({"url": url, "keep_alive": keep_alive}));
        for _ in 0..3 {
            let facts = once(&probe).await.unwrap();
            assert_eq!(facts.response.unwrap().body.unwrap(), "ok");
            assert!(facts.remote.is_some());
        }
        assert_eq!(*count.lock().unwrap(), connections, "keep_alive: {keep_alive}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_without_a_failure() {
    let (url, count, _) = lasting(1).await;
    let probe = probe(json!({"url": url, "keep_alive": true}));
    for _ in 0..3 {
        once(&probe).await.unwrap();
    }
    assert_eq!(*count.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_kept_connection_ends_with_its_probe() {
    let (url, _, closed) = lasting(10).await;
    let probe = probe(json!({"url": url, "keep_alive": true}));
    once(&probe).await.unwrap();
    drop(probe);
    tokio::time::timeout(Duration::from_secs(5), closed.notified()).await.expect("the server sees the end");
}

/// A server that changes its certificate: the first connections see a good one, the later ones an expired one.
#[tokio::test]
async fn a_kept_connection_is_replaced_in_time_for_its_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), crate::io::tls::fixture::authority("a"));
    let tls = authority.trusted_in(folder.path());
    let good = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server(|_| {})));
    let ended = authority.server(|params| params.not_after = rcgen::date_time_ymd(2021, 3, 4));
    let ended = tokio_rustls::TlsAcceptor::from(Arc::new(ended));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        for count in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = if count == 0 { good.clone() } else { ended.clone() };
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let settings = json!({"url": url, "tls": tls, "keep_alive": true});
    let http: Http = from_value(settings).unwrap();
    let probe = http.build(vec![HttpFactRequest::Certificates], &Arc::default()).unwrap();
    for run in 1..=10 {
        let facts = once(&probe).await.unwrap();
        assert!(facts.certificates.is_some() && facts.tls_version == Some("1.3"), "run {run}");
    }
    let broken = once(&probe).await.unwrap_err();
    assert_eq!(broken.failure.reason, Reason::Certificate, "{}", broken.failure);
}

#[tokio::test]
async fn a_connection_has_a_maximum_age() {
    let (url, count, _) = lasting(10).await;
    let probe = probe(json!({"url": url, "keep_alive": true, "max_connection_age": "300ms"}));
    once(&probe).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    once(&probe).await.unwrap();
    assert_eq!(*count.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_request_is_not_repeated_after_the_head_of_its_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head_of(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        head_of(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await.unwrap();
        drop(stream);
        listener.accept().await.unwrap();
    });
    let probe = probe(json!({"url": url, "keep_alive": true}));
    once(&probe).await.unwrap();
    let broken = once(&probe).await.unwrap_err();
    assert_eq!(broken.failure.reason, Reason::Protocol, "{}", broken.failure);
    assert_eq!(broken.facts.unwrap().response.unwrap().body_size, 5);
    assert!(!server.is_finished(), "a second connection was opened");
}
