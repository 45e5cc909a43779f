use super::*;

async fn sent(settings: Value) -> String {
    let server = answering(OK).await;
    let mut settings = settings;
    settings["url"] = json!(server.url());
    run(settings).await.unwrap();
    server.asked().concat()
}

#[tokio::test]
async fn credentials_are_sent_and_read_anew_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for secret in ["one", "two"] {
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        let asked = sent(json!({"bearer_token_file": file})).await;
        assert!(asked.contains(&format!("authorization: Bearer {secret}\r\n")), "{asked}");
    }
    let asked = sent(json!({"basic_auth": {"username": "u", "password_file": file}})).await;
    assert!(asked.contains("authorization: Basic dTp0d28=\r\n"), "{asked}");
    let asked = sent(json!({"basic_auth": {"username": "u", "password": "two"}})).await;
    assert!(asked.contains("authorization: Basic dTp0d28=\r\n"), "{asked}");
    let url = answering(OK).await.url();
    let failure = failure(json!({"url": url, "bearer_token_file": folder.path().join("none")})).await;
    assert_eq!(failure.reason, Reason::NotFound);
}

#[tokio::test]
async fn headers_are_read_anew_from_their_files_and_never_displayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let thief = answering(OK).await;
    for secret in ["hunter2", "hunter3"] {
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        let location = format!("http://{}/", thief.address);
        let server = serve(move |_| {
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes()
        })
        .await;
        let settings = json!({"url": server.url(), "follow_redirects": true, "header_files": {"X-Api-Key": file}});
        let facts = run(settings).await.unwrap();
        assert!(server.asked()[0].contains(&format!("x-api-key: {secret}\r\n")), "{:?}", server.asked());
        assert!(!serde_json::to_string(&facts).unwrap().contains("hunter"));
    }
    assert!(!thief.asked().concat().contains("hunter"), "{:?}", thief.asked());
    std::fs::write(&file, "two\nlines").unwrap();
    let failure = failure(json!({"url": thief.url(), "header_files": {"X-Api-Key": file}})).await;
    assert!(failure.reason == Reason::Auth && failure.detail.contains("key has bytes"), "{failure}");
}

#[tokio::test]
async fn method_body_and_host_are_sent_as_configured() {
    let asked = sent(json!({"method": "PUT", "body": "{}", "host": "service.example:8080"})).await;
    assert!(asked.starts_with("PUT /health"), "{asked}");
    assert!(asked.contains("host: service.example:8080\r\n") && asked.contains("content-length: 2\r\n"), "{asked}");
    let asked = sent(json!({})).await;
    assert!(asked.contains("user-agent: readiness-exporter/") && asked.contains("connection: close"), "{asked}");
}

#[test]
fn no_secret_is_in_what_is_shown_of_the_settings() {
    let http: Http = from_value(json!({
        "url": "http://a.example/?key=hunter2", "headers": {"x-key": "hunter2"}, "body": "hunter2",
        "bearer_token": "hunter2", "proxy": "http://u:hunter2@b.example",
        "basic_auth": {"username": "u", "password": "hunter2"}
    }))
    .unwrap();
    let shown = format!("{http:?} {}", serde_json::to_string(&http).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    let invalid = http.validate(&crate::checks::fixture::TIMING).unwrap_err();
    assert!(!invalid.message.contains("hunter2"), "{invalid}");
}

#[tokio::test]
async fn facts_hide_what_identifies_somebody() {
    let server = answering("HTTP/1.1 200 OK\r\nset-cookie: id=hunter2\r\ncontent-length: 7\r\n\r\nhunter2").await;
    let shown = serde_json::to_string(&run(json!({"url": server.url()})).await.unwrap()).unwrap();
    assert!(!shown.contains("hunter2") && !shown.contains("s3cret") && shown.contains("<hidden>"), "{shown}");
}
