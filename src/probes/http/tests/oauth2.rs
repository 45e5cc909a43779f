use super::*;

/// A token endpoint that issues `token-1`, `token-2` ... and accepts one client.
async fn token_endpoint(expires_in: Value) -> Server {
    let count = Mutex::new(0);
    serve(move |head| {
        let mut count = count.lock().unwrap();
        *count += 1;
        // `client` and `hunter2 &` in the form of RFC 6749, section 2.3.1.
        let is_known = head.contains("authorization: Basic Y2xpZW50Omh1bnRlcjIrJTI2\r\n");
        let (status, body) = match is_known {
            true => {
                let body =
                    json!({"access_token": format!("token-{count}"), "token_type": "Bearer", "expires_in": expires_in});
                (200, body)
            }
            false => (401, json!({"error": "invalid_client", "error_description": "unknown client"})),
        };
        let body = body.to_string();
        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
    .await
}

fn settings(target: &Server, endpoint: &Server) -> Value {
    let oauth2 = json!({
        "token_url": format!("http://{}/token?key=s3cret", endpoint.address), "client_id": "client",
        "client_secret": "hunter2 &", "scopes": ["read", "write"], "endpoint_params": {"audience": "shop"}
    });
    json!({"url": target.url(), "oauth2": oauth2})
}

async fn once(probe: &HttpProbe) -> Result<HttpFacts, Incomplete<HttpFacts>> {
    probe.observe(&Context::new(Duration::from_secs(5), Arc::default())).await
}

#[tokio::test]
async fn a_token_is_requested_once_and_sent_until_it_expires() {
    for (expires_in, tokens) in [(json!(3600), 1), (json!(null), 1), (json!(0), 3)] {
        let (target, endpoint) = (answering(OK).await, token_endpoint(expires_in).await);
        let probe = probe(settings(&target, &endpoint));
        for _ in 0..3 {
            once(&probe).await.unwrap();
        }
        assert_eq!(endpoint.asked().len(), tokens);
        let last = target.asked().pop().unwrap();
        assert!(last.contains(&format!("authorization: Bearer token-{tokens}\r\n")), "{last}");
        let asked = endpoint.asked().concat();
        assert!(asked.starts_with("POST /token?key=s3cret HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("content-type: application/x-www-form-urlencoded\r\n"), "{asked}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_in_the_same_run() {
    let target = serve(|head| match head.contains("Bearer token-1\r\n") {
        true => b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false => OK.into(),
    })
    .await;
    let endpoint = token_endpoint(json!(3600)).await;
    let probe = probe(settings(&target, &endpoint));
    // The first token is fresh, so that the status counts.
    assert_eq!(once(&probe).await.unwrap_err().failure.reason, Reason::Status);
    once(&probe).await.unwrap();
    assert_eq!((endpoint.asked().len(), target.asked().len()), (2, 2));

    let revoked = Arc::new(Mutex::new(false));
    let is_revoked = Arc::clone(&revoked);
    let target = serve(move |head| match head.contains("Bearer token-1\r\n") && *is_revoked.lock().unwrap() {
        true => b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false => OK.into(),
    })
    .await;
    let endpoint = token_endpoint(json!(3600)).await;
    let probe = self::probe(settings(&target, &endpoint));
    once(&probe).await.unwrap();
    *revoked.lock().unwrap() = true;
    once(&probe).await.unwrap();
    assert_eq!((endpoint.asked().len(), target.asked().len()), (2, 3));
}

#[tokio::test]
async fn a_token_endpoint_that_issues_no_token_is_told_in_words() {
    let target = answering(OK).await;
    let json = |status: u16, body: &str| format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cases = [
        (json(400, r#"{"error": "invalid_scope"}"#), Reason::Auth, "status 400: invalid_scope; check the client"),
        (json(503, "busy"), Reason::Status, "status 503"),
        (json(302, ""), Reason::Status, "status 302"),
        (json(200, "<html>"), Reason::Parse, "not the JSON of a token"),
        (json(200, r#"{"token_type": "bearer"}"#), Reason::Auth, "no `access_token`"),
        (json(200, r#"{"access_token": "hunter3", "token_type": "mac"}"#), Reason::Auth, "type `mac`"),
        (json(200, &"x".repeat(70_000)), Reason::TooLarge, "larger than 64KiB"),
        ("220 mail\r\n".to_owned(), Reason::Protocol, "not HTTP"),
    ];
    for (answer, reason, text) in cases {
        let endpoint = answering(answer).await;
        let failure = failure(settings(&target, &endpoint)).await;
        assert_eq!(failure.reason, reason, "{failure}");
        let start = format!("no token from http://{}/token: ", endpoint.address);
        assert!(failure.detail.starts_with(&start) && failure.detail.contains(text), "{failure}");
        assert!(!failure.detail.contains("hunter") && !failure.detail.contains("s3cret"), "{failure}");
    }
    let endpoint = Server { address: closed, asked: Arc::default() };
    assert_eq!(failure(settings(&target, &endpoint)).await.reason, Reason::Refused);
    // A wrong secret, and one in the body of the request.
    let endpoint = token_endpoint(json!(60)).await;
    for change in [json!({"client_secret": "wrong"}), json!({"auth_style": "body"})] {
        let mut settings = settings(&target, &endpoint);
        settings["oauth2"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let failure = failure(settings).await;
        assert!(failure.detail.contains("status 401: invalid_client (unknown client)"), "{failure}");
    }
    assert!(!endpoint.asked().pop().unwrap().contains("authorization"));
    assert!(target.asked().is_empty());
}

#[tokio::test]
async fn a_token_stays_with_its_origin_and_the_file_of_the_secret_is_read_for_each_token() {
    let thief = answering(OK).await;
    let location = format!("http://{}/", thief.address);
    let target =
        serve(move |_| format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes())
            .await;
    let endpoint = token_endpoint(json!(0)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "wrong\n").unwrap();
    let mut settings = settings(&target, &endpoint);
    settings["follow_redirects"] = json!(true);
    let oauth2 = settings["oauth2"].as_object_mut().unwrap();
    oauth2.remove("client_secret");
    oauth2.insert("client_secret_file".to_owned(), json!(file));
    let probe = probe(settings);
    assert_eq!(once(&probe).await.unwrap_err().failure.reason, Reason::Auth);
    std::fs::write(&file, "hunter2 &\n").unwrap();
    once(&probe).await.unwrap();
    assert!(!thief.asked().concat().contains("token-"), "{:?}", thief.asked());
}

#[test]
fn contradicting_settings_are_refused() {
    let token = json!({"token_url": "http://idp.example/t", "client_id": "a", "client_secret": "b"});
    let with = |key: &str, value: Value| {
        let mut token = token.clone();
        token[key] = value;
        token
    };
    for (extra, oauth2) in [
        (json!({"bearer_token": "t"}), token.clone()),
        (json!({"header_files": {"Authorization": "f"}}), token.clone()),
        (json!({}), with("client_secret_file", json!("f"))),
        (json!({}), with("client_id", json!(""))),
        (json!({}), with("scopes", json!(["a b"]))),
        (json!({}), with("endpoint_params", json!({"grant_type": "password"}))),
        (json!({}), with("tls", json!({"min_version": 1.3}))),
    ] {
        let mut settings = json!({"url": "http://a.example/", "oauth2": oauth2});
        settings.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let http: Http = from_value(settings.clone()).unwrap();
        assert!(http.validate(&crate::checks::fixture::TIMING).is_err(), "{settings}");
    }
    let shown = serde_json::to_string(&from_value::<OAuth2>(token).unwrap()).unwrap();
    assert!(shown.contains("<secret>") && !shown.contains("\"b\""), "{shown}");
}
