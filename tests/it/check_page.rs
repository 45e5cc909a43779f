//! The page of one check, from the server and from the daemon, and in a real browser.

use jiff::Timestamp;
use serde_json::json;

use crate::{
    harness::{
        board,
        browser::Browser,
        daemon::Home,
        http::TestServer,
        service::{Service, http_response},
        wait_until,
    },
    page::CONTRAST,
};

#[tokio::test]
async fn the_page_of_a_check_shows_values_limits_changes_dependencies_and_phases() {
    let board = board::busy(Timestamp::now());
    let door = TestServer::open(board).await;
    let page = door.get("/checks/nightly-dump/freshness").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let text = page.text();
    for part in [
        "<title>Fail: nightly-dump/freshness</title>",
        "The check blocks readiness.",
        "age in the last 60 runs: 5h to 1d7h; fail at 1d2h",
        "above 1d2h",
        "age is 1d7h, above the limit of 1d2h",
        "The last 60 runs with times",
        "team-orders",
        "https://runbooks.example.com/freshness",
        "../../reference/backups/freshness",
        "../../api/v1/checks/nightly-dump/freshness",
        "<td data-label=\"Phase\">connect</td>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // It was pending, then passed, then failed.
    assert_eq!(text.matches("<td data-label=\"Finding\">").count(), 2, "{text}");
    let skipped = door.get("/checks/reports/health").await.text();
    assert!(skipped.contains("skipped while payments fails"), "{skipped}");
    assert!(!text.contains("style=") && !text.contains("<script"), "{text}");
}

#[tokio::test]
async fn hostile_texts_stay_texts_and_an_unknown_check_is_not_found() {
    let board = board::busy(Timestamp::now());
    let door = TestServer::open(board).await;
    let name = url::form_urlencoded::byte_serialize(board::HOSTILE.as_bytes()).collect::<String>().replace('+', "%20");
    let page = door.get(&format!("/checks/{name}/health")).await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("<script>alert") && !page.text().contains("href=\"javascript"), "{}", page.text());
    let unknown = door.get("/checks/api/nothing").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("../../checks/api/latency"), "{}", unknown.text());
    for path in ["/checks/nothing/health", "/checks/%3Cscript%3E/x"] {
        let unknown = door.get(path).await;
        assert!(unknown.status == 404 && !unknown.text().contains("<script>"), "{path}: {}", unknown.text());
    }
    for path in ["/checks/api", "/checks/api/health/more", "/checks/"] {
        assert_eq!(door.get(path).await.status, 404, "{path}");
    }
    let reference = door.get("/reference/http/latency").await;
    assert!(reference.status == 200 && reference.text().contains("<table>"), "{}", reference.text());
    assert_eq!(door.get("/reference/http/nothing").await.status, 404);
}

const PROBES: &[&str] = &[
    "- {name: shop, http: {url: \"${SHOP}\"}, checks: [health, {latency: {p50: 400ms, window: 1m}}]}",
    "
    - name: orders
      http: {url: \"${SHOP}orders?token=${TOKEN}\"}
      depends_on: [shop]
      checks:
        - response: {expect: [{json: $.status, equals: ok}]}
          owner: team-orders
          runbook: |
            # Restart
            1. Run `systemctl restart orders`.
            2. See the [wiki](https://wiki.example.com/orders), [no](javascript:alert(1)) <script>alert(1)</script>
    ",
];

#[test]
fn the_daemon_shows_steps_configuration_and_history_also_after_a_restart() {
    let service = Service::start();
    let home = Home::new(PROBES).with("SHOP", service.url()).with("TOKEN", "hunter2hunter2");
    let daemon = home.serve();
    daemon.wait_for("orders/response", "pass");
    service.set_response(http_response("200 OK", "Content-Type: application/json\r\n", br#"{"status":"broken"}"#));
    daemon.wait_for("orders/response", "fail body");
    let page = daemon.get("/checks/orders/response").text();
    for part in [
        "<code>systemctl restart orders</code>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "href=\"https://wiki.example.com/orders\"",
        "name: response",
        "depends_on",
        "/checks/shop/health",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let configuration = page.split("id=\"configuration\"").nth(1).unwrap();
    assert!(!configuration.contains("name: health"), "other checks are left out: {configuration}");
    assert!(!page.contains("hunter2") && !page.contains("<script>") && !page.contains("\"javascript:"), "{page}");
    let cause = daemon.get("/checks/shop/health").text();
    assert!(
        cause.contains("These probes are skipped while this probe fails:") && cause.contains("/checks/orders/health"),
        "{cause}"
    );
    let runbook = daemon.get("/runbooks/ReadinessCheckFailing?probe=orders&check=response").text();
    assert!(runbook.contains("Steps for this check") && runbook.contains("systemctl restart orders"), "{runbook}");
    let label = daemon.get("/metrics").text();
    let info = label
        .lines()
        .find(|line| line.starts_with("readiness_check_info{probe=\"orders\",check=\"response\""))
        .unwrap();
    assert!(info.contains("runbook_url=\"\"") && !label.contains("systemctl"), "{info}");
    let of_shop = daemon.get("/checks/shop/latency").text();
    assert!(of_shop.contains("p50 in "), "{of_shop}");

    daemon.terminate();
    let daemon = home.serve();
    daemon.wait_for("orders/response", "fail body");
    let page = daemon.get("/checks/orders/response").text();
    assert!(page.matches("<td data-label=\"Finding\">").count() >= 2, "the changes before the restart stay: {page}");
    let of_shop = daemon.get("/checks/shop/latency").text();
    assert!(of_shop.contains("p50 in "), "the values before the restart stay: {of_shop}");
}

#[tokio::test]
async fn the_configuration_is_a_part_of_the_page_only_under_a_known_host_name() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let ask = async |host: &str| {
        let request = format!("GET /checks/api/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        door.send(&request).await.text()
    };
    assert!(ask("evil.example.com").await.contains("served only under a known host name"));
    assert!(!ask("localhost").await.contains("served only under a known host name"));
}

#[tokio::test]
async fn the_page_fits_every_width_and_can_be_read_in_light_and_dark() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let browser = Browser::open().await;
    for (n, check) in ["api/latency", "nightly-dump/freshness", "reports/health"].into_iter().enumerate() {
        browser.width(1280).await;
        browser.client.goto(&format!("http://{}/checks/{check}", door.address)).await.unwrap();
        browser.until("document.querySelector('h1')").await;
        browser.eval("for (const d of document.querySelectorAll('details')) d.open = true").await;
        for width in [320, 390, 560, 720, 1280, 1920] {
            let out = browser.overflow(width, "body *", ".sr, .wide, pre").await;
            assert_eq!(out, json!([]), "{check} at {width}");
            if let Some(folder) = std::env::var_os("SCREENSHOTS").filter(|_| matches!(width, 390 | 1280)) {
                let image = browser.client.screenshot().await.unwrap();
                std::fs::write(std::path::Path::new(&folder).join(format!("check-{n}-{width}.png")), image).unwrap();
            }
        }
        for scheme in ["light", "dark"] {
            browser.scheme(scheme).await;
            browser.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
            let contrast =
                browser.eval(&CONTRAST.replace("e.closest('li')", "(e.closest('li') ?? e.parentElement)")).await;
            assert_eq!(contrast["weak"], json!([]), "{check} in {scheme}");
        }
        let complaints = browser.console().await;
        assert!(complaints.is_empty(), "{check}: {complaints:#?}");
    }
    browser.close().await;
}

/// Kept last, because it waits: a page that is opened again shows the latest run.
#[test]
fn the_page_follows_the_check() {
    let service = Service::start();
    let home = Home::new(PROBES).with("SHOP", service.url()).with("TOKEN", "hunter2hunter2");
    let daemon = home.serve();
    let shows = |word: &str| {
        wait_until(word, || {
            let page = daemon.get("/checks/shop/health").text();
            if page.contains(word) { Ok(()) } else { Err(page) }
        });
    };
    shows("<title>Pass: shop/health</title>");
    service.set_response(http_response("503 Service Unavailable", "", b""));
    shows("<title>Fail: shop/health</title>");
}
