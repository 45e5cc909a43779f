//! The server, tested over real sockets.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use readiness_exporter::{
    board::Board,
    model::words::{Category, Reason, Severity, Status},
    server::ReloadReport,
    settings,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{board, http::TestServer};

#[tokio::test]
async fn every_address_answers_as_it_should() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let html = "Accept: text/html\r\n";
    let json = "Accept: application/json\r\n";
    for (method, path, headers, status) in [
        ("GET", "/metrics", "", 200),
        ("GET", "/metrics?x=1", "", 200),
        ("GET", "/metrics", "Accept: image/png\r\n", 406),
        ("GET", "/", "", 200),
        ("GET", "/", html, 200),
        ("GET", "/", json, 406),
        ("GET", "/ready", html, 503),
        ("GET", "/-/healthy", json, 200),
        ("GET", "/-/ready", "", 503),
        ("GET", "/config", "", 200),
        ("GET", "/api/v1/status", json, 200),
        ("GET", "/api/v1/status", html, 406),
        ("GET", "/api/v1/checks", "", 200),
        ("GET", "/api/v1/checks?status=nonsense", "", 400),
        ("GET", "/api/v1/checks/api/latency", "", 200),
        ("GET", "/api/v1/checks/api/lat%65ncy", "", 200),
        ("GET", "/api/v1/checks/api/none", "", 404),
        ("GET", "/api/v1/checks/api", "", 404),
        ("GET", "/api/v2", "", 404),
        ("GET", "/nothing", "", 404),
        ("GET", "//", "", 404),
        ("GET", "/../etc/passwd", "", 404),
        ("POST", "/metrics", "", 405),
        ("DELETE", "/api/v1/checks", "", 405),
        ("GET", "/-/reload", "", 405),
        ("POST", "/metrics", "Content-Length: 100000\r\n", 413),
        ("POST", "/-/reload", "Transfer-Encoding: chunked\r\n", 413),
    ] {
        let answer = door.ask(method, path, headers).await;
        assert_eq!(answer.status, status, "{method} {path} {headers}: {}", answer.text());
        let media = answer.header("content-type").unwrap();
        if path.starts_with("/api/") {
            assert_eq!(media, "application/json", "{path}");
            assert_eq!(answer.json()["error"].is_string(), status >= 400, "{path}");
        } else if status >= 400 && path != "/ready" {
            assert_eq!(media, "text/plain; charset=utf-8", "{path}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        assert_eq!(length, answer.body.len(), "{path}");
        if status == 405 {
            let allowed = if path == "/-/reload" { "POST, PUT" } else { "GET, HEAD" };
            assert_eq!(answer.header("allow"), Some(allowed));
        }
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    for path in ["/ready", "/-/healthy", "/config", "/api/v1/status", "/api/v1/checks/api/health", "/nothing"] {
        let (get, head) = (door.get(path).await, door.ask("HEAD", path, "").await);
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    for path in ["/", "/metrics"] {
        let head = door.ask("HEAD", path, "").await;
        assert!(head.status == 200 && head.body.is_empty() && head.header("content-length") != Some("0"), "{path}");
    }
}

#[tokio::test]
async fn ready_lists_the_checks_that_prevent_readiness() {
    let now = Timestamp::now();
    let board = board::busy(now);
    let door = TestServer::open(board.clone()).await;
    let answer = door.get("/ready").await.json();
    assert_eq!(answer["ready"], false);
    let blockers: HashSet<_> =
        answer["blockers"].as_array().unwrap().iter().map(|b| b["check"].as_str().unwrap()).collect();
    for check in ["payments/health", "nightly-dump/freshness", "api-metrics/present", "reports/health"] {
        assert!(blockers.contains(check), "{check} in {blockers:?}");
    }
    // Informational, warning and disabled checks don't prevent readiness.
    for check in ["reports/latency", "orders-db/pool", "api-metrics/throughput", "api/health"] {
        assert!(!blockers.contains(check), "{check} in {blockers:?}");
    }
    board.replace_probes(vec![(board::probe("one", "tcp", &[], vec![]), vec![])], |_| false, now);
    let ready = door.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["blocking"], &ready.json()["more"]), (200, &0.into(), &Value::Null));
    assert_eq!(door.get("/-/ready").await.status, 503, "nothing has run yet");
    board.record("one", board::report(now, vec![]), 0.0);
    assert_eq!(door.get("/-/ready").await.status, 200);
}

#[tokio::test]
async fn a_gate_with_thousands_of_reasons_says_the_worst_and_counts_the_rest() {
    let (now, probes) = (Timestamp::now(), 10_000);
    let board = std::sync::Arc::new(Board::default());
    let check = || board::check("health", "health", Category::Health, Severity::Critical);
    let lay = |n| (board::probe(&format!("service-{n}"), "http", &[], vec![check()]), vec![]);
    board.replace_probes((0..probes).map(lay).collect(), |_| false, now);
    board.record("service-7777", board::failed(now, Reason::Refused, "refused", 0), 0.0);
    let door = TestServer::open(board).await;
    for path in ["/ready", "/api/v1/status"] {
        let answer = door.get(path).await;
        assert!(answer.body.len() < 200_000, "{path}: {} bytes", answer.body.len());
        let answer = answer.json();
        let listed = answer["blockers"].as_array().unwrap();
        assert_eq!((listed.len(), &answer["blocking"]), (100, &probes.into()), "{path}");
        assert_eq!((&listed[0]["check"], &listed[0]["status"]), (&"service-7777/health".into(), &"fail".into()));
        assert_eq!(answer["more"], "and 9900 more: /api/v1/checks lists all of them", "{path}");
    }
}

#[tokio::test]
async fn the_api_contains_details_that_must_not_become_labels() {
    let board = board::busy(Timestamp::now());
    let door = TestServer::open(board.clone()).await;
    let status = door.get("/api/v1/status").await.json();
    assert_eq!(status["checks"]["fail"], board::count(&board, Status::Fail));
    assert_eq!(status["configuration"]["last_reload_successful"], true);

    let failing = door.get("/api/v1/checks?status=fail").await.json();
    let failing = failing["checks"].as_array().unwrap();
    assert_eq!(failing.len(), board::count(&board, Status::Fail));
    assert!(failing.iter().all(|check| check["status"] == "fail"));
    let found = door.get("/api/v1/checks?q=REFUSED&category=health").await.json();
    assert_eq!(found["checks"].as_array().unwrap().len(), 1);

    let check = door.get("/api/v1/checks/payments/health").await.json();
    assert_eq!(check["summary"], "connect: 10.0.4.17:7443 refused the connection");
    assert_eq!(check["reason"], "refused");
    assert_eq!(check["probe"]["last_run"]["failure"]["reason"], "refused");
    assert_eq!(check["history"].as_array().unwrap().len(), 60);
    assert_eq!(check["history"][59]["status"], "fail");
    assert_eq!(check["history"][0]["status"], "pass");
    let latency = door.get("/api/v1/checks/api/latency").await.json();
    let limit = json!({"measure": "p95", "bound": "max", "level": "warn", "unit": "seconds", "value": 0.3});
    assert_eq!(latency["limits"][0], limit);
    assert_eq!(latency["measures"][0]["fail"], 1.0);
    assert!(latency["probe"]["last_run"]["phases"]["connect"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn the_configuration_is_shown_as_yaml() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let text = door.get("/config").await.text();
    assert!(text.contains("service: eventcore") && text.contains("<secret>"), "{text}");
}

#[tokio::test]
async fn the_configuration_and_a_reload_need_a_host_name_that_is_known_and_the_refusal_says_how_to_add_one() {
    let settings = settings::Server {
        listen: Vec::new(),
        lifecycle: true,
        external_url: Some("https://ready.example.com/team".to_owned()),
        allowed_hosts: vec!["monitor".to_owned()],
    };
    let door = TestServer::of(board::busy(Timestamp::now()), settings).await;
    let ask = |line: &str, host: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let door = &door;
        async move { door.send(&request).await }
    };
    for host in ["127.0.0.1", "[::1]:10980", "localhost:1", "monitor:10980", "Ready.Example.com"] {
        assert_eq!(ask("GET /config", host).await.status, 200, "{host}");
    }
    for line in ["GET /config", "HEAD /config", "POST /-/reload", "PUT /-/reload"] {
        let answer = ask(line, "rebound.evil.example:10980").await;
        assert_eq!(answer.status, 403, "{line}");
        let explains = ["server.allowed_hosts", "server.external_url"].iter().all(|key| answer.text().contains(key));
        assert!(explains || line.starts_with("HEAD"), "{}", answer.text());
    }
    for path in ["/", "/metrics", "/ready", "/-/healthy", "/-/ready", "/api/v1/status", "/runbooks/"] {
        let status = ask(&format!("GET {path}"), "any.example").await.status;
        assert!(status == 200 || status == 503 && path.ends_with("ready"), "{path}: {status}");
    }
}

#[tokio::test]
async fn a_reload_is_asked_for_and_its_error_is_told() {
    let mut door = TestServer::open(board::busy(Timestamp::now())).await;
    let mut reloads = std::mem::replace(&mut door.reloads, tokio::sync::mpsc::channel(1).1);
    let operator = tokio::spawn(async move {
        reloads.recv().await.unwrap().send(Ok(ReloadReport::default())).unwrap();
        reloads.recv().await.unwrap().send(Err("line 3: no such kind".to_owned())).unwrap();
    });
    assert_eq!(door.ask("POST", "/-/reload", "").await.status, 200);
    let refused = door.ask("PUT", "/-/reload", "Content-Length: 0\r\n").await;
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("line 3: no such kind"), "{}", refused.text());
    operator.await.unwrap();
    assert_eq!(door.ask("POST", "/-/reload", "").await.status, 503, "nobody is there to reload");
    for foreign in [
        "Sec-Fetch-Site: cross-site\r\n",
        // Another port of the same machine, and the header of browsers for a request to another site.
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
    ] {
        assert_eq!(door.ask("POST", "/-/reload", foreign).await.status, 403, "{foreign}");
    }
    assert_eq!(door.ask("POST", "/-/reload", "Origin: http://test\r\n").await.status, 503, "our own page may ask");
    let off = TestServer::with(board::busy(Timestamp::now()), false).await;
    let answer = off.ask("POST", "/-/reload", "").await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("--web.enable-lifecycle"), "{}", answer.text());
}

#[tokio::test]
async fn too_large_a_head_is_refused() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    assert_eq!(door.ask("GET", "/ready", &format!("X: {}\r\n", "x".repeat(20_000))).await.status, 431);
    assert_eq!(door.ask("GET", "/ready", &"X: y\r\n".repeat(200)).await.status, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_clients_delay_no_scrape() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let mut slow = Vec::new();
    for n in 0..1_000 {
        let mut stream = timeout(Duration::from_secs(5), TcpStream::connect(door.address)).await.unwrap().unwrap();
        // A third sends nothing, a third stops within the head, a third requests pages and never reads them.
        let text: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHost: te",
            _ => b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n",
        };
        let _ = stream.write_all(text).await;
        slow.push(stream);
    }
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(door.get("/metrics").await.status, 200);
        worst = worst.max(start.elapsed());
    }
    println!("worst of 20 scrapes beside {} slow clients: {worst:?}", slow.len());
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}

#[tokio::test]
async fn the_stop_lets_answers_out_and_hurries_the_rest() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let mut idle = TcpStream::connect(door.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut first = [0; 64];
    assert!(idle.read(&mut first).await.unwrap() > 0);
    let mut stuck = TcpStream::connect(door.address).await.unwrap();
    stuck.write_all(b"GET / HT").await.unwrap();
    let start = Instant::now();
    door.stop.cancel();
    timeout(Duration::from_secs(5), door.serving).await.expect("the server ends").unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(TcpStream::connect(door.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_empty_board_is_served_too() {
    let door = TestServer::open(std::sync::Arc::new(Board::default())).await;
    for path in ["/metrics", "/", "/ready", "/-/ready", "/api/v1/status", "/api/v1/checks"] {
        assert_eq!(door.get(path).await.status, 200, "{path}");
    }
}

#[test]
fn a_scrape_needs_no_thread_that_a_probe_may_hang() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let (release, hold) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        // Like a read from a dead mount, this occupies the only thread for such work.
        tokio::task::spawn_blocking(move || hold.recv());
        let door = TestServer::open(board::busy(Timestamp::now())).await;
        for path in ["/metrics", "/", "/api/v1/checks", "/ready"] {
            let answer = timeout(Duration::from_secs(5), door.get(path)).await.expect(path);
            assert!(!answer.body.is_empty(), "{path}");
        }
    });
    drop(release);
}
