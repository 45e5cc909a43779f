use tokio::io::copy_bidirectional;

use super::*;
use crate::io::tls::fixture::authority;

#[tokio::test]
async fn plain_requests_are_handed_to_the_proxy_whole() {
    let proxy = answering(OK).await;
    let via = format!("http://user:hunter2@{}", proxy.address);
    let settings = json!({"url": "http://no-such-name.invalid:8080/x?y", "proxy": via, "host": "service.example"});
    let facts = run(settings).await.unwrap();
    assert_eq!(facts.remote, Some(proxy.address));
    let asked = proxy.asked().concat();
    assert!(asked.starts_with("GET http://no-such-name.invalid:8080/x?y HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: service.example\r\n") && asked.contains("proxy-authorization: Basic "), "{asked}");
}

/// A proxy that opens tunnels to one place, whatever it is asked for.
async fn tunnelling(to: SocketAddr) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = head_of(&mut stream).await;
            seen.lock().unwrap().push(head);
            stream.write_all(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n").await.unwrap();
            let mut target = TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut stream, &mut target).await });
        }
    });
    Server { address, asked }
}

#[tokio::test]
async fn encrypted_requests_go_through_a_tunnel() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server(|_| {})));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let proxy = tunnelling(address).await;
    let facts = run(json!({
        "url": "https://localhost/", "tls": authority.trusted_in(folder.path()), "bearer_token": "hunter2",
        "proxy": format!("http://user:pass@{}", proxy.address)
    }))
    .await
    .unwrap();
    assert_eq!(facts.response.unwrap().status, 200);
    let asked = proxy.asked().concat();
    assert!(asked.starts_with("CONNECT localhost:443 HTTP/1.1\r\n") && !asked.contains("hunter2"), "{asked}");
    assert!(asked.contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n"), "{asked}");
}

#[tokio::test]
async fn headers_for_the_proxy_reach_only_the_proxy() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server(|_| {})));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut request = vec![0; 4096];
        let count = stream.read(&mut request).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    let proxy = tunnelling(address).await;
    let headers = json!({"Proxy-Authorization": "Bearer hunter2", "X-Team": "shop"});
    let via = format!("http://{}", proxy.address);
    let tls = authority.trusted_in(folder.path());
    run(json!({"url": "https://localhost/", "tls": tls, "proxy": via, "proxy_headers": headers})).await.unwrap();
    let sent =
        |asked: &str| asked.contains("proxy-authorization: Bearer hunter2\r\n") && asked.contains("x-team: shop");
    assert!(sent(&proxy.asked().concat()), "{:?}", proxy.asked());
    let asked = target.await.unwrap();
    assert!(!asked.contains("hunter2") && !asked.contains("x-team"), "{asked}");
    // Without a tunnel, the headers are in the request itself.
    let proxy = answering(OK).await;
    let via = format!("http://{}", proxy.address);
    run(json!({"url": "http://shop.invalid/", "proxy": via, "proxy_headers": headers})).await.unwrap();
    assert!(sent(&proxy.asked().concat()), "{:?}", proxy.asked());
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_says_why() {
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(20_000));
    for (answer, reason) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Reason::Auth),
        ("HTTP/1.1 503 Unavailable\r\n\r\n", Reason::Unreachable),
        ("HTTP/1.0 403 Forbidden\r\n\r\n", Reason::Permission),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", Reason::Protocol),
        ("HTTP/1.1 200 OK\r\n", Reason::Protocol),
        (&long, Reason::TooLarge),
    ] {
        let proxy = answering(answer).await;
        let via = format!("http://{}", proxy.address);
        let failure = failure(json!({"url": "https://localhost/", "proxy": via})).await;
        assert_eq!(failure.reason, reason, "{answer:.40}: {failure}");
        assert!(failure.detail.len() < 250, "{failure}");
    }
}
