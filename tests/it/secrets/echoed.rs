//! A target that says back whatever it is told: what quotes it has the secrets hidden.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
};

use super::{MARK, assert_clean, assert_doors_clean, settled};
use crate::harness::{
    daemon::{Home, output_text},
    service::{Service, http_response},
};

const PROBES: &str = "
    - name: bearer
      http: {url: \"${SHOP}a?token=${KEY}\", bearer_token: \"${TOKEN}\"}
      checks: &quoting
        - {name: auth, response: {expect: [{json: $.authorization, equals: ok}]}}
        - {name: header, response: {expect: [{header: x-echo, equals: ok}]}}
        - {name: path, response: {expect: [{json: $.path, equals: ok}]}}
        - {name: key, response: {expect: [{json: $.key, equals: ok}]}}
        - {name: cut, response: {expect: [{json: $.cut, equals: ok}]}}
        - {name: body, response: {expect: [{json: $.body, equals: ok}]}}
    - name: basic
      http: {url: \"${SHOP}\", basic_auth: {username: monitor, password: \"${TOKEN}\"}}
      checks: *quoting
    - name: written
      http: {url: \"${SHOP}\", headers: {Authorization: \"Token ${TOKEN}\", X-Key: \"${KEY}\"}, method: POST, body: \"${BODY}\"}
      checks: *quoting
    - name: bearer-file
      http: {url: \"${SHOP}\", bearer_token_file: \"${HOME_FOLDER}/token\"}
      checks: *quoting
    - name: basic-file
      http: {url: \"${SHOP}\", basic_auth: {username: monitor, password_file: \"${HOME_FOLDER}/token\"}}
      checks: *quoting
    - name: port
      tcp: {address: \"${ADDRESS}\", send: \"${BODY}\\r\\n\\r\\n\", expect: \"^welcome\"}
    - name: pools
      metrics: {url: \"${SHOP}pools\", bearer_token: \"${TOKEN}\"}
      checks: [{pool: {used: used, size: size, max_utilization: 90%}}]
    - name: pools-file
      metrics: {url: \"${SHOP}pools\", bearer_token_file: \"${HOME_FOLDER}/token\"}
      checks: [{pool: {used: used, size: size, max_utilization: 90%}}]
    - name: db
      postgres: {dsn: \"postgres://monitor:${TOKEN}@${DB}/db?sslmode=disable\"}
    - name: db-parts
      postgres: {dsn: \"postgres://monitor@${DB}/db?sslmode=disable\", password_file: \"${HOME_FOLDER}/token\"}
    ";

/// Answers a request with all that it holds, in every place that somebody may quote.
fn echo(stream: &mut TcpStream, head: &str) -> std::io::Result<()> {
    if !head.contains("HTTP/1.1") {
        return stream
            .write_all(format!("what is {head}?").as_bytes())
            .and_then(|()| stream.shutdown(std::net::Shutdown::Both));
    }
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    };
    let mut body = vec![0; value("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let authorization = value("authorization");
    if head.contains("/pools") {
        let page = format!("used{{pool=\"{authorization}\"}} 10\nsize{{pool=\"{authorization}\"}} 10\n");
        return stream.write_all(&http_response(
            "200 OK",
            "Content-Type: text/plain; version=0.0.4\r\n",
            page.as_bytes(),
        ));
    }
    let document = serde_json::json!({
        "authorization": authorization,
        "path": head.lines().next(),
        "key": value("x-key"),
        // Of which an excerpt shows a part.
        "cut": format!("{}{authorization}", "-".repeat(40)),
        "body": String::from_utf8_lossy(&body),
    });
    let headers = format!("X-Echo: {}\r\n", head.trim().replace("\r\n", " "));
    stream.write_all(&http_response("200 OK", &headers, document.to_string().as_bytes()))
}

/// A server that refuses a password and says which.
fn database() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let refuse = |mut stream: TcpStream| -> std::io::Result<()> {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer)?;
        // AuthenticationCleartextPassword.
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
        let read = stream.read(&mut buffer)?;
        let password = String::from_utf8_lossy(&buffer[5..read - 1]);
        let fields = format!("SFATAL\0VFATAL\0C28P01\0Mthe password {password} is wrong\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        stream.write_all(&[b"E", &length[..], fields.as_bytes()].concat())
    };
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(refuse(stream))));
    address
}

#[test]
fn what_a_target_says_back_shows_no_secret_on_any_page_or_in_the_log() {
    let service = Service::start();
    service.set_behaviour(|stream, head, _| echo(stream, head));
    let long = format!("{MARK}-{}", "0123456789".repeat(9));
    let home = Home::new(&[PROBES])
        .with("SHOP", service.url())
        .with("ADDRESS", service.address.to_string())
        .with("DB", database())
        .with("TOKEN", format!("{long}-token"))
        .with("KEY", format!("{MARK}-key"))
        .with("BODY", format!("secret={MARK}-body&x={MARK}-more"));
    home.write("token", format!("{long}-file\n"));
    let daemon = home.serve_with(&["--log.level", "trace"]);
    settled(&daemon);
    assert_doors_clean(&daemon);
    // It did say it back, and what is not secret is quoted.
    for (check, finding) in [
        ("bearer/auth", "$.authorization is \"Bearer <hidden>"),
        ("bearer/header", "x-echo is \"GET /a?token=<hidden> HTTP/1.1 "),
        ("bearer/path", "$.path is \"GET /a?token=<hidden> HTTP/1.1\""),
        ("basic/auth", "$.authorization is \"Basic <hidden>"),
        ("written/auth", "$.authorization is \"<hidden>"),
        ("written/key", "$.key is \"<hidden>\", expected \"ok\""),
        ("written/body", "$.body is \"<hidden>\", expected \"ok\""),
        ("bearer-file/auth", "$.authorization is \"Bearer <hidden>"),
        ("bearer-file/cut", "Bearer <hidden>"),
        ("basic-file/auth", "$.authorization is \"Basic <hidden>"),
        ("port/health", "does not match the answer \"what is <hidden>"),
        ("db/health", "the password <hidden> is wrong"),
        ("db-parts/health", "the password <hidden> is wrong"),
    ] {
        let seen = daemon.check(check);
        assert!(
            seen.status.starts_with("fail") && seen.summary.contains(finding),
            "{check}: {seen:?} lacks {finding:?}"
        );
    }
    let metrics = daemon.get("/metrics").text();
    for probe in ["pools", "pools-file"] {
        let series = format!("readiness_pool_connections{{probe=\"{probe}\",check=\"pool\",pool=\"Bearer <hidden>\"");
        assert!(metrics.contains(&series), "{series} is not in {metrics}");
    }
    daemon.terminate();
    assert_clean("the state", &fs::read_to_string(home.path("state/state.json")).unwrap());

    for probe in ["bearer", "basic", "written", "bearer-file", "basic-file", "port", "pools", "db", "db-parts"] {
        let output = home.command(&["explain", probe, "--log.level", "trace"]).stdout(Stdio::piped()).output().unwrap();
        let (text, error) = output_text(&output);
        assert!(text.contains("<hidden>"), "explain {probe}: {text}");
        assert_clean(&format!("explain {probe}"), &text);
        assert_clean(&format!("explain {probe}, standard error"), &error);
    }
}
