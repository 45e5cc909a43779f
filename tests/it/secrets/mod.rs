//! Secrets in every place that takes one show up in no log line, page, state or output, at the loudest log level.

mod echoed;

use std::{fs, io::Write, net::TcpStream, process::Stdio};

use crate::harness::{
    daemon::{Daemon, Home, output_text},
    service::{Service, http_response},
    wait_until,
};

/// Each begins alike, so that one look finds any of them; also as they travel in base64.
const MARK: &str = "hunter2";

const PROBES: &str = "
    - name: basic
      http: {url: \"${SHOP}\", basic_auth: {username: monitor, password: \"${PASSWORD}\"}}
      checks: [{response: {expect: [{name: greeting, text: well}]}}]
    - name: basic-file
      http: {url: \"${SHOP}\", basic_auth: {username: monitor, password_file: \"${HOME_FOLDER}/password\"}}
    - name: bearer
      http: {url: \"${SHOP}\", bearer_token: \"${file:${HOME_FOLDER}/token}\"}
    - name: bearer-file
      http: {url: \"${SHOP}\", bearer_token_file: \"${HOME_FOLDER}/token\"}
    - name: header
      http: {url: \"${SHOP}\", headers: {X-Api-Key: \"${KEY:-none}\"}, method: POST, body: \"${BODY}\"}
    - name: proxy
      http: {url: \"http://shop.invalid/\", proxy: \"${PROXY}\"}
    - name: tunnel
      http: {url: \"https://shop.invalid/\", proxy: \"${PROXY}\"}
    - name: port
      tcp: {address: \"${ADDRESS}\", send: \"${BODY}\", expect: welcome}
    - name: numbers
      metrics: {url: \"${SHOP}\", headers: {X-Api-Key: \"${KEY}\"}, bearer_token: \"${TOKEN}\"}
    - name: db
      postgres: {dsn: \"${DSN}\"}
    - name: db-words
      postgres: {dsn: \"host=127.0.0.1 port=1 user=monitor password=${PASSWORD}\"}
    - name: db-parts
      postgres: {host: 127.0.0.1, port: 1, user: monitor, password: \"${PASSWORD}\"}
    - name: db-file
      postgres: {dsn_file: \"${HOME_FOLDER}/dsn\"}
    ";

fn home(service: &Service) -> Home {
    // `${..}` inside `${file:..}` is not resolved: the path is written out.
    let home = Home::new(&[]);
    let probes = PROBES.replace("${file:${HOME_FOLDER}/token}", &format!("${{file:{}}}", home.path("token").display()));
    home.configure(&[&probes]);
    home.write("password", format!("{MARK}-password-file\n"));
    home.write("token", format!("{MARK}-token-file\n"));
    home.write("dsn", format!("postgres://monitor:{MARK}-dsn-file@127.0.0.1:1/db"));
    home.with("SHOP", service.url())
        .with("ADDRESS", service.address.to_string())
        .with("PASSWORD", format!("{MARK}-password"))
        .with("TOKEN", format!("{MARK}-token"))
        .with("KEY", format!("{MARK}-key"))
        .with("BODY", format!("{MARK}-body\r\n\r\n"))
        .with("PROXY", format!("http://monitor:{MARK}-proxy@{}", service.address))
        .with("DSN", format!("postgres://monitor:{MARK}-dsn@127.0.0.1:1/db?sslmode=disable"))
}

/// In no form in which it might stand there.
fn assert_clean(place: &str, text: &str) {
    for mark in [MARK, "aHVudGVyMi", "odW50ZXIy", "h1bnRlcjI"] {
        let line = text.lines().find(|line| line.contains(mark));
        assert!(line.is_none(), "{mark} in {place}: {line:?}");
    }
}

fn assert_doors_clean(daemon: &Daemon) {
    let checks = daemon.checks();
    let details = checks.keys().map(|check| format!("/api/v1/checks/{check}"));
    let fixed = ["/", "/metrics", "/config", "/ready", "/api/v1/status", "/api/v1/checks"].map(str::to_owned);
    for path in fixed.into_iter().chain(details) {
        assert_clean(&path, &daemon.get(&path).text());
    }
    assert_clean("the log", &daemon.log());
}

/// Everything has run once.
fn settled(daemon: &Daemon) {
    wait_until("every probe has run", || match daemon.get("/-/ready") {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.text()),
    });
}

#[test]
fn no_secret_shows_wherever_it_came_from() {
    let service = Service::start();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let heads = std::sync::Arc::clone(&seen);
    service.set_behaviour(move |stream, head, _| {
        *heads.lock().unwrap() += head;
        stream.write_all(&http_response("200 OK", "", b"well\n"))
    });
    let home = home(&service);
    let daemon = home.serve_with(&["--log.level", "trace"]);
    settled(&daemon);
    assert_doors_clean(&daemon);
    // The other end did get them: otherwise there was nothing to leak.
    let heads = seen.lock().unwrap().clone();
    let basic = "Basic bW9uaXRvcjpodW50ZXIy";
    for secret in ["Bearer hunter2-token\r", "Bearer hunter2-token-file\r", "hunter2-key", "hunter2-body", basic] {
        assert!(heads.contains(secret), "{secret} was not sent: {heads}");
    }

    // The same while everything fails, with an answer that is not to be trusted.
    service.set_behaviour(|stream, _, _| {
        stream.write_all(&http_response("401 Unauthorized", "Location: /\r\n", b"who are you?"))
    });
    wait_until("everything fails", || {
        let passing = daemon.checks().into_iter().filter(|(_, seen)| seen.status == "pass").collect::<Vec<_>>();
        if passing.is_empty() { Ok(()) } else { Err(format!("{passing:?}")) }
    });
    assert_doors_clean(&daemon);

    // And while the configuration is read again, and found wrong.
    let good = fs::read_to_string(home.path("readiness.yaml")).unwrap();
    home.write("readiness.yaml", good.replace("basic_auth: {username", "basic_auht: {username"));
    assert_eq!(daemon.ask("POST", "/-/reload").status, 500);
    assert_doors_clean(&daemon);
    home.write("readiness.yaml", good);
    // A client that speaks no HTTP is told of at the level debug only.
    let mut client = TcpStream::connect(daemon.address).unwrap();
    client.write_all(b"EHLO example\r\n\r\n").unwrap();
    daemon.wait_for_log(&["level=debug", "a connection failed"]);
    let log = daemon.log();
    daemon.terminate();
    assert_clean("the log", &log);
    assert_clean("the state", &fs::read_to_string(home.path("state/state.json")).unwrap());
}

#[test]
fn no_command_shows_a_secret() {
    let service = Service::start();
    let home = home(&service);
    let probes = [
        "basic",
        "basic-file",
        "bearer",
        "bearer-file",
        "header",
        "proxy",
        "tunnel",
        "port",
        "numbers",
        "db",
        "db-words",
        "db-parts",
        "db-file",
    ];
    let formats = ["table", "json", "junit", "markdown", "prometheus"].map(|format| vec!["check", "--format", format]);
    let explain = probes.map(|probe| vec!["explain", probe]);
    for arguments in formats.into_iter().chain(explain).chain([vec!["validate"], vec!["grants"]]) {
        let mut command = home.command(&[&*arguments, &["--log.level", "trace"]].concat());
        let output = command.stdout(Stdio::piped()).output().unwrap();
        let (text, error) = output_text(&output);
        assert_clean(&format!("{arguments:?}"), &text);
        assert_clean(&format!("{arguments:?}, standard error"), &error);
        assert_ne!(output.status.code(), Some(2), "{arguments:?}: {error}");
    }
}

#[test]
fn a_secret_in_a_wrong_place_is_not_quoted_by_the_error() {
    let home = Home::new(&[]).with("PASSWORD", format!("{MARK}-password"));
    for probe in [
        "- name: a\n  http: {url: \"http://monitor:${PASSWORD}@127.0.0.1/\"}",
        "- name: a\n  http: {url: \"${PASSWORD}\"}",
        "- name: a\n  tcp: {address: \"${PASSWORD}\"}",
        "- name: a\n  postgres: {dsn: \"${PASSWORD}\"}",
        "- name: a\n  postgres: {dsn: \"postgres://x:${PASSWORD}@h:port/\"}",
        "- name: a\n  http: {url: \"http://127.0.0.1/\", proxy: \"socks5://x:${PASSWORD}@y\"}",
        "- name: a\n  http: {url: \"http://127.0.0.1/\", headers: {X: \"${PASSWORD}\\n\"}}",
        "- name: a\n  interval: \"${PASSWORD}\"\n  tcp: {address: \"127.0.0.1:1\"}",
    ] {
        home.configure(&[probe]);
        let output = home.run(&["validate"]);
        assert_eq!(output.status.code(), Some(2), "{probe}: {output:?}");
        assert_clean(probe, &output_text(&output).1);
    }
}

/// A line with a mistake often holds a secret beside it. The terminal of the operator shows the line; the log and the
/// answer to a reload name the place only.
#[test]
fn a_refused_reload_quotes_no_line_of_the_configuration() {
    let home = Home::new(&["- name: a\n  tcp: {address: \"127.0.0.1:1\"}"]);
    let daemon = home.serve();
    let secret = format!("{MARK}-literal");
    for mistake in [
        format!("http: {{url: \"http://127.0.0.1:1/\", bearer_tokn: {secret}}}"),
        format!("http: {{url: \"http://127.0.0.1:1/\", bearer_token: {secret}"),
        format!("http: {{url: \"htp://user:{secret}@127.0.0.1:1/\"}}"),
        format!("http: {{url: \"http://127.0.0.1:1/\", bearer_token: *{secret}}}"),
        format!("http: {{url: \"http://127.0.0.1:1/\", bearer_token: !{secret} x}}"),
        format!("http: {{url: \"http://127.0.0.1:1/\", bearer_token: [{secret}]}}"),
        format!("http: {{url: \"http://127.0.0.1:1/\", bearer_token: \"{secret}\\q\"}}"),
        format!("htp: {{url: x, password: {secret}}}"),
        format!("postgres: {{dsn: \"postgres://u:{secret}@127.0.0.1:1/x\", bogus: 1}}"),
    ] {
        home.configure(&[&format!("- name: a\n  {mistake}\n")]);
        let answer = daemon.ask("POST", "/-/reload");
        let text = answer.text();
        assert!(answer.status != 200 && text.contains("readiness.yaml:"), "{mistake}: {} {text}", answer.status);
        assert_clean(&mistake, &text);
    }
    daemon.wait_for_log(&["the new configuration is invalid", "readiness.yaml:"]);
    assert_clean("log", &daemon.log());
}
