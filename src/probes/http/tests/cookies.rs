use super::*;

#[tokio::test]
async fn a_redirect_that_needs_a_cookie_is_followed_with_it() {
    let server = serve(|head| match head.contains("cookie: seen=1\r\n") {
        true => OK.into(),
        false => b"HTTP/1.1 302 Found\r\nset-cookie: seen=1; Path=/; HttpOnly\r\nlocation: /health\r\n\r\n".to_vec(),
    })
    .await;
    let facts = run(json!({"url": server.url(), "follow_redirects": true})).await.unwrap();
    assert_eq!(facts.redirects.len(), 1);
    assert!(!serde_json::to_string(&facts).unwrap().contains("seen=1"));
    // The next run starts without cookies.
    let probe = probe(json!({"url": server.url(), "follow_redirects": true}));
    for _ in 0..2 {
        let facts = probe.observe(&Context::new(Duration::from_secs(5), Arc::default())).await.unwrap();
        assert_eq!(facts.redirects.len(), 1);
    }
    let failure = failure(json!({"url": server.url(), "follow_redirects": true, "cookies": false})).await;
    assert!(failure.detail.contains("`cookies: false` ignores"), "{failure}");
}

#[tokio::test]
async fn a_cookie_stays_with_its_host_and_joins_the_configured_ones() {
    let other = serve_at("127.0.0.2", |_| OK.into()).await;
    let location = format!("http://{}/", other.address);
    let server = serve(move |head| {
        let next = if head.starts_with("GET /health") { "/inside".to_owned() } else { location.clone() };
        format!("HTTP/1.1 302 Found\r\nset-cookie: own=1; Path=/\r\nset-cookie: b=2\r\nlocation: {next}\r\n\r\n").into()
    })
    .await;
    let settings = json!({"url": server.url(), "follow_redirects": true, "headers": {"Cookie": "user=me"}});
    run(settings).await.unwrap();
    let own = server.asked();
    assert!(own[0].contains("cookie: user=me\r\n") && own[1].contains("cookie: user=me; own=1; b=2\r\n"), "{own:?}");
    assert!(!other.asked().concat().contains("cookie"), "{:?}", other.asked());
}
