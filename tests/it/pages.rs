//! All pages as a reader sees them: causes before consequences, times in UTC, error pages, the configuration, paper.

use std::{process::Command, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use readiness_exporter::{
    board::Board,
    model::{
        check::CheckLimits,
        measure::Measure,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    settings::{CheckInfo, ProbeInfo},
};
use serde_json::json;

use crate::{
    harness::{
        board::{self, check, failed, healthy, probe, report},
        browser::Browser,
        daemon::Home,
        http::TestServer,
        service::{Service, http_response},
        wait_until,
    },
    page::CONTRAST,
};

/// The header `Accept` of a browser.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn health() -> CheckInfo {
    check("health", "health", Category::Health, Severity::Critical)
}

fn of_service(service: &str, info: &Arc<ProbeInfo>) -> (Arc<ProbeInfo>, Vec<CheckLimits>) {
    (Arc::new(ProbeInfo { service: service.to_owned(), ..ProbeInfo::clone(info) }), vec![])
}

/// Two services. The API is down, so its latency is unknown and twelve pages are skipped; the mail works.
fn outage(now: Timestamp) -> Arc<Board> {
    let board = Arc::new(Board::default());
    let latency = check("latency", "latency", Category::Performance, Severity::Warning);
    let api = CheckInfo {
        title: "The API answers".to_owned(),
        summary: "Customers can't order.".to_owned(),
        runbook: String::new(),
        ..health()
    };
    let side = CheckInfo { gate: false, ..health() };
    let mut layout = vec![
        of_service("shop", &probe("api", "http", &[], vec![api, latency])),
        of_service("mail", &probe("mail", "tcp", &[], vec![CheckInfo { summary: "No mail.".to_owned(), ..health() }])),
        of_service("mail", &probe("side", "tcp", &[], vec![side])),
    ];
    layout.extend((0..12).map(|n| of_service("shop", &probe(&format!("page-{n}"), "http", &[], vec![health()]))));
    board.replace_probes(layout, |_| false, now);
    board.record("api", failed(now, Reason::Status, "answered with `503`, expected `200`", 1), 0.0);
    board.record("mail", report(now, vec![healthy()]), 0.0);
    board.record("side", failed(now, Reason::Refused, "refused", 0), 0.0);
    for n in 0..12 {
        board.skip(&format!("page-{n}"), "api", now);
    }
    board.update_daemon(|daemon| daemon.record_reload(now.as_second() as f64));
    board
}

fn part<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    page.split(start).nth(1).unwrap_or_else(|| panic!("{start}: {page}")).split(end).next().unwrap()
}

#[tokio::test]
async fn consequences_are_collapsed_below_their_cause_and_the_header_counts_both() {
    let door = TestServer::open(outage(Timestamp::now())).await;
    let page = door.get("/").await.text();
    let header = part(&page, "<header", "</header>");
    assert!(
        header.contains("1 failing (1 more doesn\u{2019}t block), 13 can\u{2019}t be judged because of it<"),
        "{header}"
    );
    let blocking = part(&page, "id=\"blockers\"", "id=\"checks\"");
    assert!(blocking.contains("+12 skipped, +1 unknown because of this"), "{blocking}");
    assert_eq!(blocking.matches("<details").count(), 1, "{blocking}");
    assert_eq!(blocking.matches("class=\"severity\"").count(), 1, "one cause: {blocking}");
    // The cause stands before its consequences, and the finding contains code.
    assert!(blocking.find("checks/api/health").unwrap() < blocking.find("checks/page-7/health").unwrap());
    assert!(blocking.contains("answered with <code>503</code>, expected <code>200</code>"), "{blocking}");
    // A title and a name are separate words also without a style sheet.
    assert!(blocking.contains("The API answers</a> <span class=\"name\">api/<wbr>health</span>"), "{blocking}");
    // The rows of the consequences link to the cause, and to the runbook of the cause.
    let row = page.split("<li class=\"skipped\">").last().unwrap();
    assert!(row.contains("(cause: <a href=\"checks/api/health\">The API answers</a>)"), "{row}");
    assert!(row.contains("runbooks/ReadinessProbeDown?probe=api&amp;check=health"), "{row}");
}

#[tokio::test]
async fn a_consequence_whose_cause_does_not_block_stands_for_itself() {
    let now = Timestamp::now();
    let board = outage(now);
    // The probe works again, and the dependents have not run yet.
    board.record("api", report(now, vec![healthy(), healthy()]), 0.0);
    let page = TestServer::open(board).await.get("/").await.text();
    assert!(part(&page, "<header", "</header>").contains("12 skipped"), "{page}");
    let blocking = part(&page, "id=\"blockers\"", "id=\"checks\"");
    assert!(!blocking.contains("<details") && blocking.contains("and 4 more below"), "{blocking}");
}

#[tokio::test]
async fn the_filter_stands_above_the_blocking_checks_and_selects_them_too() {
    let door = TestServer::open(outage(Timestamp::now())).await;
    let page = door.get("/").await.text();
    assert!(page.find("id=\"q\"").unwrap() < page.find("id=\"blockers\"").unwrap());
    for service in ["shop", "mail"] {
        assert!(page.contains(&format!("href=\"?service={service}\"")), "{page}");
    }
    assert!(page.contains("<span class=\"service\">mail</span>"), "each row states its service: {page}");
    let mail = door.get("/?service=mail").await.text();
    let blocking = part(&mail, "id=\"blockers\"", "id=\"checks\"");
    assert!(!blocking.contains("checks/api/health") && blocking.contains("side/<wbr>health"), "{blocking}");
    assert_eq!(mail.matches("class=\"past\"").count(), 2, "{mail}");
    // The form and the links keep the other choices.
    assert!(mail.contains("<input type=\"hidden\" name=\"service\" value=\"mail\">"), "{mail}");
    assert!(mail.contains("href=\"?status=fail&amp;service=mail\""), "{mail}");
    let of_status = door.get("/?status=skipped").await.text();
    let blocking = part(&of_status, "id=\"blockers\"", "id=\"checks\"");
    assert!(blocking.contains("12 of 14 match the filter"), "{blocking}");
    let api = door.get("/api/v1/checks?service=mail").await.json();
    assert_eq!(api["checks"].as_array().unwrap().len(), 2);
    let one = TestServer::open(board::busy(Timestamp::now())).await.get("/").await.text();
    assert!(!one.contains("class=\"service\">eventcore</span>") && one.contains("class=\"service\">eventcore</p>"));
}

#[tokio::test]
async fn the_impact_is_stated_as_present_only_while_the_check_fails() {
    let door = TestServer::open(outage(Timestamp::now())).await;
    let failing = door.get("/checks/api/health").await.text();
    assert!(failing.contains("Impact: Customers can't order."), "{failing}");
    let passing = door.get("/checks/mail/health").await.text();
    assert!(passing.contains("If it fails: No mail.") && !passing.contains("Impact:"), "{passing}");
    let skipped = door.get("/checks/page-3/health").await.text();
    assert!(skipped.contains("Cause: <a href=\"../../checks/api/health\">The API answers</a>"), "{skipped}");
    let runbook = part(&skipped, "id=\"runbook\"", "</section>");
    assert!(runbook.contains("ReadinessProbeDown?probe=api&amp;check=health"), "{runbook}");
    let unknown = door.get("/checks/api/latency").await.text();
    assert!(unknown.contains("Cause: <a href=\"../../checks/api/health\">"), "{unknown}");
}

/// An unknown check shows its limits; a code has no chart and its range is one condition.
#[tokio::test]
async fn values_are_shown_with_limits_axes_and_times() {
    let now = Timestamp::now();
    let board = board::busy(now);
    let door = TestServer::open(Arc::clone(&board)).await;
    let page = door.get("/checks/api/latency").await.text();
    let figure = part(&page, "<figure", "</figure>");
    for text in ["<text class=\"warn\"", "class=\"times\"", " UTC</time>"] {
        assert!(figure.contains(text), "{text}: {figure}");
    }
    assert!(page.contains("warn at 300ms;"), "the nearest limit is within the chart: {page}");
    board.record("api", failed(now, Reason::Timeout, "not done within 5s", 3), 0.0);
    let page = door.get("/checks/api/latency").await.text();
    let table = part(&page, "id=\"values\"", "</table>");
    assert!(table.contains("not measured") && table.contains("above 300ms") && table.contains("above 1s"), "{table}");

    let layout = vec![(probe("web", "http", &[], vec![health()]), vec![])];
    let board = Arc::new(Board::default());
    board.replace_probes(layout, |_| false, now);
    let verdict = Verdict {
        measures: Measure::of_code("status", 503, 200..=299),
        ..Verdict::new(Outcome::Fail(Reason::Status), "answered with status 503, expected 200 to 299")
    };
    board.record("web", report(now, vec![verdict]), 0.0);
    let page = TestServer::open(board).await.get("/checks/web/health").await.text();
    assert!(page.contains("other than 200 to 299") && !page.contains("<figure"), "{page}");
    assert!(page.contains("The last run with its time"), "{page}");
    assert!(page.contains("worse after one worse result, better after one better result"), "{page}");
}

#[test]
fn a_failed_reload_is_explained_on_the_status_page_without_the_secrets_of_the_file() {
    let service = Service::start();
    let home = Home::new(&["- {name: shop, http: {url: \"${SHOP}\"}}"]).with("SHOP", service.url());
    let daemon = home.serve();
    daemon.wait_for("shop/health", "pass");
    home.configure(&["- {name: shop, http: {url: \"${SHOP}\", pasword: hunter2hunter2}, intervall: 5s}"]);
    daemon.signal("HUP");
    let page = wait_until("the banner", || {
        let page = daemon.get("/").text();
        if page.contains("The last reload failed.") { Ok(page) } else { Err(page) }
    });
    let alarm = part(&page, "class=\"alarm\"", "</div>");
    assert!(alarm.contains("readiness.yaml:") && alarm.contains("runbooks/ReadinessConfigReloadFailed"), "{alarm}");
    assert!(alarm.contains("intervall") || alarm.contains("pasword"), "{alarm}");
    assert!(!page.contains("hunter2"), "{alarm}");
    home.configure(&["- {name: shop, http: {url: \"${SHOP}\"}}"]);
    daemon.signal("HUP");
    wait_until("no banner", || {
        let page = daemon.get("/").text();
        if page.contains("The last reload failed.") { Err(page) } else { Ok(()) }
    });
}

#[test]
fn curl_receives_yaml_and_a_browser_a_page_with_collapsed_built_in_values() {
    let service = Service::start();
    let home =
        Home::new(&["- {name: shop, http: {url: \"${SHOP}?token=${TOKEN}\"}, checks: [{latency: {p95: 400ms}}]}"])
            .with("SHOP", service.url())
            .with("TOKEN", "hunter2hunter2");
    let daemon = home.serve();
    let fetch = |arguments: &[&str], path: &str| {
        let url = format!("http://{}{path}", daemon.address);
        let output = Command::new("curl").args(["-sS", "-D", "-"]).args(arguments).arg(url).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let accept = &BROWSER.trim_end();
    let yaml = fetch(&[], "/config");
    assert!(yaml.contains("text/plain; charset=utf-8") && yaml.contains("  - name: shop"), "{yaml}");
    let page = fetch(&["-H", accept], "/config");
    assert!(page.contains("text/html; charset=utf-8") && page.contains("content-security-policy"), "{page}");
    assert!(page.contains("vary: accept, accept-encoding"), "{page}");
    for text in ["<a href=\"#probe-shop\">shop</a>", "id=\"probe-shop\"", "built-in values</summary>", "p95:"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("hunter2") && !yaml.contains("hunter2"));
    // Every line of the YAML is on the page.
    let body = yaml.split("\r\n\r\n").nth(1).unwrap();
    let lines = body.lines().filter(|line| *line != "probes:").count();
    assert_eq!(page.matches("<span class=\"source\">").count(), body.matches("  # ").count(), "{lines} lines");
    assert!(fetch(&["-H", accept], "/config?format=yaml").contains("text/plain"));
    assert!(fetch(&["-H", "Accept: application/json"], "/config").contains(" 406 "));
    let rebound = fetch(&["-H", accept, "-H", "Host: evil.example"], "/config");
    assert!(rebound.contains(" 403 ") && !rebound.contains("p95"), "{rebound}");
}

#[tokio::test]
async fn errors_are_pages_with_links_for_browsers_and_plain_text_for_other_clients() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    for (path, method, status, link) in [
        ("/nothing", "GET", 404, "href=\"runbooks/\""),
        ("/a/b/c", "GET", 404, "href=\"../../runbooks/\""),
        ("/runbooks/a/b", "GET", 404, "href=\"../../runbooks/\""),
        ("/ready", "POST", 405, "href=\"./\""),
        ("/%3Cscript%3Ealert(1)%3C/script%3E", "GET", 404, "href=\"../runbooks/\""),
    ] {
        let page = door.ask(method, path, BROWSER).await;
        assert_eq!((page.status, page.header("content-type")), (status, Some("text/html; charset=utf-8")), "{path}");
        assert!(page.header("content-security-policy").is_some(), "{path}");
        assert!(page.text().contains(link) && !page.text().contains("<script>"), "{path}: {}", page.text());
    }
    let deep = door.ask("GET", &"/a".repeat(4_000), BROWSER).await;
    assert!(deep.status == 404 && deep.body.len() < 10_000, "{}", deep.body.len());
    assert_eq!(door.get("/nothing").await.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(door.ask("GET", "/api/v1/x", BROWSER).await.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn every_page_has_the_same_navigation_and_links_that_exist() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let browser = Browser::open().await;
    let paths = [
        "/",
        "/checks/api/latency",
        "/runbooks/",
        "/runbooks/ReadinessProbeDown",
        "/runbooks/nothing",
        "/reference/http/latency",
        "/config",
        "/nothing",
        "/deep/er/nothing",
    ];
    let names = json!(["Status", "Runbooks", "Configuration", "Gate", "API", "Metrics"]);
    let root = format!("http://{}", door.address);
    for path in paths {
        browser.client.goto(&format!("{root}{path}")).await.unwrap();
        browser.until("document.querySelector('nav.site')").await;
        let links = browser.eval("return [...document.querySelectorAll('nav.site a')].map(a => a.textContent)").await;
        assert_eq!(links, names, "{path}");
        let targets = browser.eval("return [...document.querySelectorAll('nav.site a')].map(a => a.href)").await;
        let expected = ["/", "/runbooks/", "/config", "/ready", "/api/v1/status", "/metrics"];
        assert_eq!(targets, json!(expected.map(|target| format!("{root}{target}"))), "{path}");
        assert_eq!(browser.eval("return document.querySelectorAll('h1').length").await, json!(1), "{path}");
        for width in [390, 1280] {
            let out = browser.overflow(width, "body *", ".sr, .skip, .wide, pre, .yaml").await;
            assert_eq!(out, json!([]), "{path} at {width}");
            for scheme in ["light", "dark"] {
                browser.scheme(scheme).await;
                browser.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
                let name = path.trim_matches('/').replace('/', "-");
                browser.capture(&format!("page-{name}-{width}-{scheme}")).await;
            }
        }
        let contrast = browser.eval(&CONTRAST.replace("e.closest('li')", "(e.closest('li') ?? e.parentElement)")).await;
        assert_eq!(contrast["weak"], json!([]), "{path} in dark");
        browser.scheme("light").await;
        let mut complaints = browser.console().await;
        complaints.retain(|message| !message.contains("nothing"));
        assert_eq!(complaints, Vec::<String>::new(), "{path}");
    }
    browser.close().await;
}

#[tokio::test]
async fn the_status_page_during_an_outage_in_the_browser() {
    let now = Timestamp::now();
    let board = outage(now - SignedDuration::from_secs(100));
    let door = TestServer::open(Arc::clone(&board)).await;
    let browser = Browser::open().await;
    browser.width(1280).await;
    browser.client.goto(&format!("http://{}/", door.address)).await.unwrap();
    browser.until("document.body.classList.contains('js')").await;
    browser
        .until(r"/^Updated \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/.test(document.querySelector('#updated').textContent)")
        .await;
    // The header is slim, and rows have their real height before they are on the screen.
    let height = browser.eval("return document.querySelector('header').offsetHeight").await.as_f64().unwrap();
    assert!(height < 100.0, "{height}");
    assert_eq!(
        browser.eval("return getComputedStyle(document.querySelector('.rows li')).contentVisibility").await,
        json!("visible")
    );
    // A list of consequences stays open over a refresh.
    browser.eval("document.querySelector('.consequences summary').click()").await;
    board.record("api", failed(now, Reason::Timeout, "not done within 5s", 1), 0.0);
    browser.until("document.querySelector('#blockers').innerText.includes('not done within 5s')").await;
    assert_eq!(browser.eval("return document.querySelector('.consequences').open").await, json!(true));
    // Severity, owner and runbook of the blocking checks form columns.
    browser.eval("document.querySelector('#statuses a.skipped').click()").await;
    browser.until("document.querySelectorAll('.blockers > li').length == 8").await;
    for class in ["severity", "owner", "runbook"] {
        let script = format!(
            "return new Set([...document.querySelectorAll('.blockers > li > .{class}')].map(e => e.getBoundingClientRect().left)).size"
        );
        assert_eq!(browser.eval(&script).await, json!(1), "{class}");
    }
    // A click on a service selects it, and a second click removes the selection.
    // One script finds and clicks the link, because a refresh may replace the link between two commands.
    let service = "[...document.querySelectorAll('#statuses a.service')].find(a => a.textContent == 'mail')";
    browser.eval("document.querySelector('#statuses a').click()").await;
    browser.until(&format!("{service}.getAttribute('href') == '?service=mail'")).await;
    browser.eval(&format!("{service}.click()")).await;
    browser.until("location.search == '?service=mail' && document.querySelectorAll('.rows li').length == 2").await;
    browser.eval(&format!("{service}.click()")).await;
    browser.until("location.search == '' && document.querySelectorAll('.rows li').length > 2").await;
    for width in [721, 768, 800, 900, 1080] {
        browser.width(width).await;
        let shown = "getComputedStyle(document.querySelector('.heads')).display";
        assert_eq!(browser.eval(&format!("return {shown}")).await, json!("grid"), "{width}");
        // The text of a row without a value takes the column of the value.
        let gap = browser.eval("const li = [...document.querySelectorAll('.rows li')].find(li => !li.querySelector('.value').childElementCount);
            return li.querySelector('.past').getBoundingClientRect().left - li.querySelector('.what').getBoundingClientRect().right").await;
        assert!(gap.as_f64().unwrap() < 40.0, "{width}: {gap}");
    }
    assert_eq!(browser.console().await, Vec::<String>::new());
    browser.capture("outage-1080").await;
    for width in [390, 768, 1280] {
        browser.width(width).await;
        browser.capture(&format!("outage-{width}")).await;
    }

    browser.medium("print").await;
    browser.until("matchMedia('print').matches").await;
    let hidden =
        "return ['nav.site', '#q', '#pause', '#statuses'].filter(s => document.querySelector(s).checkVisibility())";
    assert_eq!(browser.eval(hidden).await, json!([]));
    let header = browser
        .eval("const s = getComputedStyle(document.querySelector('header')); return [s.color, s.backgroundColor]")
        .await;
    assert_eq!(header, json!(["rgb(0, 0, 0)", "rgba(0, 0, 0, 0)"]));
    assert_eq!(
        browser.eval("return getComputedStyle(document.querySelector('.rows li')).breakInside").await,
        json!("avoid")
    );
    assert_eq!(browser.eval("return document.querySelector('#updated').checkVisibility()").await, json!(true));
    browser.capture("outage-print").await;
    browser.close().await;
}

/// A check that is skipped before and after a restart is skipped since the first skip, like a failing one.
#[test]
fn a_restart_does_not_reset_the_time_of_a_skip() {
    let service = Service::start();
    service.set_response(http_response("503 Service Unavailable", "", b""));
    let home = Home::new(&[
        "- {name: shop, http: {url: \"${SHOP}\"}, checks: [health]}",
        "- {name: orders, http: {url: \"${SHOP}orders\"}, depends_on: [shop], checks: [health]}",
    ])
    .with("SHOP", service.url());
    let daemon = home.serve();
    daemon.wait_for("orders/health", "skipped");
    let since = |daemon: &crate::harness::daemon::Daemon| daemon.checks()["orders/health"].since.clone();
    let before = since(&daemon);
    daemon.terminate();
    let daemon = home.serve();
    daemon.wait_for("orders/health", "skipped");
    assert_eq!(since(&daemon), before);
}
