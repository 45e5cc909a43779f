use super::*;

fn to(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked_and_only_so_far() {
    let server = serve(|head| {
        let next = |n| to(302, &format!("/{n}?key=s3cret"));
        match head.split(' ').nth(1).unwrap() {
            "/1?key=s3cret" => next(2),
            "/2?key=s3cret" => OK.to_owned(),
            _ => next(1),
        }
        .into_bytes()
    })
    .await;
    let failure = failure(json!({"url": server.url()})).await;
    assert!(failure.reason == Reason::Status && failure.detail.contains("`follow_redirects`"), "{failure}");
    let facts = run(json!({"url": server.url(), "follow_redirects": true})).await.unwrap();
    let base = format!("http://{}", server.address);
    assert_eq!(facts.redirects, [format!("{base}/1"), format!("{base}/2")]);
    let broken = run(json!({"url": server.url(), "follow_redirects": {"max": 1}})).await.unwrap_err();
    assert_eq!(broken.failure.detail, format!("redirected more than 1 times, at last to {base}/2"));
    assert_eq!(broken.facts.unwrap().response.unwrap().status, 302);
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = answering(to(301, "/again")).await;
    let failure = failure(json!({"url": server.url(), "follow_redirects": true})).await;
    assert!(failure.reason == Reason::Status && failure.detail.contains("more than 5 times"), "{failure}");
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let thief = answering(OK).await;
    let location = format!("http://{}/login", thief.address);
    let server = serve(move |head| {
        let own = head.starts_with("GET /health");
        if own { to(302, "/inside") } else { to(302, &location) }.into_bytes()
    })
    .await;
    let facts = run(json!({
        "url": server.url(), "follow_redirects": true, "bearer_token": "hunter2", "host": "service.example",
        "headers": {"Cookie": "hunter2", "X-Api-Key": "hunter2", "Accept": "text/html"}
    }))
    .await
    .unwrap();
    assert_eq!(facts.redirects.len(), 2);
    let own = server.asked();
    assert!(own.len() == 2 && own.iter().all(|head| head.matches("hunter2").count() == 3), "{own:?}");
    let stolen = thief.asked().concat();
    assert!(!stolen.contains("hunter2") && !stolen.contains("service.example"), "{stolen}");
    assert!(stolen.contains("accept: text/html\r\n") && stolen.contains(&thief.address.to_string()), "{stolen}");
}

#[tokio::test]
async fn who_is_sent_back_to_the_origin_comes_without_credentials() {
    let own = Arc::new(Mutex::new(String::new()));
    let back = Arc::clone(&own);
    let thief = serve(move |_| to(302, &back.lock().unwrap()).into_bytes()).await;
    let location = format!("http://{}/", thief.address);
    let server = serve(move |head| match head.starts_with("GET /delete-all") {
        true => OK.as_bytes().to_vec(),
        false => to(302, &location).into_bytes(),
    })
    .await;
    *own.lock().unwrap() = format!("http://{}/delete-all", server.address);
    run(json!({"url": server.url(), "follow_redirects": true, "bearer_token": "hunter2"})).await.unwrap();
    let asked = server.asked();
    assert!(asked[0].contains("hunter2") && !asked[1].contains("hunter2"), "{asked:?}");
}

#[tokio::test]
async fn a_body_is_not_carried_to_another_origin() {
    let thief = answering(OK).await;
    let url = format!("http://{}/", thief.address);
    let server = answering(to(307, &url)).await;
    let settings = json!({"url": server.url(), "follow_redirects": true, "method": "POST", "body": "hunter2"});
    let failure = failure(settings.clone()).await;
    assert!(failure.reason == Reason::Status && failure.detail.contains("carry the body"), "{failure}");
    assert!(thief.asked().is_empty());
    // 302 turns POST into GET, so there is no body left to carry.
    let server = answering(to(302, &url)).await;
    let mut settings = settings;
    settings["url"] = json!(server.url());
    run(settings).await.unwrap();
    assert!(thief.asked()[0].starts_with("GET "));
}

#[tokio::test]
async fn a_location_that_leads_nowhere_is_a_broken_protocol() {
    for location in ["ftp://a.example/", "http://u:p@a.example/", "http://[::1"] {
        let server = answering(to(302, location)).await;
        let failure = failure(json!({"url": server.url(), "follow_redirects": true})).await;
        assert_eq!(failure.reason, Reason::Protocol, "{location}: {failure}");
    }
}

/// A stand-in for the metadata service of a cloud: no test asks a real one.
const STAND_IN: &str = "127.0.0.2";

fn is_stand_in(address: std::net::IpAddr) -> bool {
    address.to_canonical().to_string() == STAND_IN
}

async fn forbidding(settings: Value, forbidden: fn(std::net::IpAddr) -> bool) -> Result<HttpFacts, Failure> {
    let probe = probe(settings).forbidding(forbidden);
    probe.observe(&Context::new(Duration::from_secs(5), Arc::default())).await.map_err(|broken| broken.failure)
}

#[tokio::test]
async fn no_redirect_leads_to_an_address_that_is_local_to_the_machine() {
    let near = serve_at(STAND_IN, |_| OK.into()).await;
    let port = near.address.port();
    for host in [STAND_IN.to_owned(), format!("[::ffff:{STAND_IN}]"), "2130706434".to_owned()] {
        let server = answering(to(302, &format!("http://{host}:{port}/latest/meta-data"))).await;
        let settings = json!({"url": server.url(), "follow_redirects": true});
        let failure = forbidding(settings, is_stand_in).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Status, "{host}");
        assert!(failure.detail.contains("link-local and metadata addresses"), "{failure}");
    }
    // Handed to a proxy, it would be asked by that.
    let proxy = answering(to(302, &format!("http://{STAND_IN}:{port}/"))).await;
    let via = format!("http://{}", proxy.address);
    let settings = json!({"url": "http://shop.invalid/", "proxy": via, "follow_redirects": true});
    assert!(forbidding(settings, is_stand_in).await.is_err());
    assert_eq!(proxy.asked().len(), 1);
    assert!(near.asked().is_empty(), "{:?}", near.asked());
}

#[tokio::test]
async fn a_name_that_has_such_an_address_is_refused_before_anything_is_sent() {
    let near = answering(OK).await;
    let location = format!("http://localhost:{}/", near.address.port());
    let server = serve_at("127.0.0.3", move |_| to(302, &location).into_bytes()).await;
    let settings = json!({"url": server.url(), "follow_redirects": true});
    let is_localhost = |address: std::net::IpAddr| ["127.0.0.1", "::1"].contains(&address.to_string().as_str());
    let failure = forbidding(settings.clone(), is_localhost).await.unwrap_err();
    assert!(failure.reason == Reason::Status && failure.detail.contains("localhost"), "{failure}");
    assert!(near.asked().is_empty());
    // The same redirect is followed where the address is an ordinary one.
    forbidding(settings, is_stand_in).await.unwrap();
    assert_eq!(near.asked().len(), 1);
}

#[tokio::test]
async fn a_configured_address_that_is_local_to_the_machine_may_redirect_to_others() {
    let other = serve_at(STAND_IN, |_| OK.into()).await;
    let location = format!("http://{}/", other.address);
    let server = serve_at(STAND_IN, move |head| {
        match head.starts_with("GET /own") {
            true => to(302, &location),
            false => to(302, "/own"),
        }
        .into_bytes()
    })
    .await;
    let settings = json!({"url": server.url(), "follow_redirects": true});
    let facts = forbidding(settings, is_stand_in).await.unwrap();
    assert_eq!((facts.redirects.len(), other.asked().len()), (2, 1));
}
