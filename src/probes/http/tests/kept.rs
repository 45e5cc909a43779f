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
