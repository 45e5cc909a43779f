//! The status page in a real browser.

use std::sync::Arc;

use fantoccini::{Locator, key::Key};
use jiff::Timestamp;
use readiness_exporter::{
    board::Board,
    model::{
        measure::Bound,
        units::Unit,
        verdict::Verdict,
        words::{Category, Reason, Severity, Status},
    },
};
use serde_json::{Value, json};

use crate::harness::{
    board::{self, HOSTILE},
    browser::Browser,
    http::TestServer,
};

async fn look(board: &Arc<Board>) -> (TestServer, Browser) {
    let door = TestServer::open(Arc::clone(board)).await;
    let browser = Browser::open().await;
    browser.width(1280).await;
    browser.client.goto(&format!("http://{}/", door.address)).await.unwrap();
    browser.until("document.body.classList.contains('js')").await;
    (door, browser)
}

#[tokio::test]
async fn the_page_tells_all_without_a_script_and_filters_by_its_address() {
    let board = board::busy(Timestamp::now());
    let door = TestServer::open(board.clone()).await;
    let page = door.get("/").await;
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let text = page.text();
    for (probe, check) in board.snapshot().checks() {
        let name = format!("{}/<wbr>{}", probe.info.name, check.info.name);
        assert!(text.contains(&name) || probe.info.name == HOSTILE, "{name}");
    }
    for tells in
        ["Not ready", "connect: 10.0.4.17:7443 refused the connection", "1d2h", "last 60 runs: 50 pass, then 10 fail"]
    {
        assert!(text.contains(tells), "{tells}");
    }
    assert!(!text.contains("<script>alert") && !text.contains("style=") && !text.contains("href=\"javascript"));
    let failing = door.get("/?status=fail").await.text();
    assert_eq!(failing.matches("class=\"past\"").count(), board::count(&board, Status::Fail));
    let found = door.get("/?q=LATENCY+&status=warn").await.text();
    assert_eq!(found.matches("class=\"past\"").count(), 1);
    let odd = door.get("/?status=nonsense").await;
    assert!(
        odd.status == 200 && odd.text().contains("the address contains an unknown status; valid values: pass, warn")
    );
    assert!(door.get("/?q=nowhere").await.text().contains("No check matches."));
}

#[tokio::test]
async fn a_page_of_a_thousand_checks_stays_small() {
    let door = TestServer::open(board::large(334, Timestamp::now())).await;
    let page = door.ask("GET", "/", "Accept-Encoding: gzip\r\n").await;
    let text = page.gunzip();
    assert_eq!(text.matches("class=\"past\"").count(), 1_002);
    println!("1,002 checks: {} bytes, {} packed", text.len(), page.body.len());
    assert!(text.len() < 1_000_000 && page.body.len() < 120_000, "{} {}", text.len(), page.body.len());
}

#[tokio::test]
async fn the_browser_has_nothing_to_complain_of() {
    let (_door, browser) = look(&board::busy(Timestamp::now())).await;
    assert_eq!(browser.eval("return document.scripts.length").await, json!(1));
    assert_eq!(browser.eval("return document.styleSheets.length").await, json!(1));
    assert_eq!(browser.eval("return document.title").await, json!("Not ready"));
    browser.until("document.querySelector('#icon').href.endsWith('assets/not-ready.svg')").await;
    // A refresh must not bring in what the first page did not.
    browser.eval("document.querySelector('#updated').textContent = ''").await;
    browser.until("document.querySelector('#updated').textContent.startsWith('Updated')").await;
    let complaints = browser.console().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    browser.close().await;
}

/// The statuses of the rows that are shown.
const SHOWN: &str = "return [...document.querySelectorAll('.rows li')].map(row => row.className)";

#[tokio::test]
async fn filters_work_by_status_and_by_text_and_keep_the_focus() {
    let board = board::busy(Timestamp::now());
    let (_door, browser) = look(&board).await;
    browser.client.find(Locator::Css("#statuses a.fail")).await.unwrap().click().await.unwrap();
    browser.until("[...document.querySelectorAll('.rows li')].every(row => row.className == 'fail')").await;
    let shown = browser.eval(SHOWN).await;
    assert_eq!(shown.as_array().unwrap().len(), board::count(&board, Status::Fail));
    assert_eq!(browser.eval("return location.search").await, json!("?status=fail"));
    assert_eq!(
        browser.eval("return document.querySelector('#statuses [aria-current]').className").await,
        json!("fail")
    );

    let input = browser.client.find(Locator::Css("#q")).await.unwrap();
    input.send_keys("Freshness").await.unwrap();
    browser.until("document.querySelectorAll('.rows li').length == 1").await;
    assert_eq!(browser.eval("return document.activeElement.id").await, json!("q"));
    assert_eq!(browser.eval("return document.querySelector('#q').value").await, json!("Freshness"));
    browser.client.find(Locator::Css("#statuses a")).await.unwrap().click().await.unwrap();
    browser.until("location.search == '?q=Freshness'").await;
    // The address alone brings the same view back.
    browser.client.refresh().await.unwrap();
    browser.until("document.body.classList.contains('js')").await;
    assert_eq!(browser.eval("return document.querySelectorAll('.rows li').length").await, json!(1));
    assert_eq!(browser.eval("return document.querySelector('#q').value").await, json!("Freshness"));
    browser.close().await;
}

#[tokio::test]
async fn the_page_refreshes_itself_and_keeps_place_and_focus() {
    let now = Timestamp::now();
    let board = board::busy(now);
    let (door, browser) = look(&board).await;
    let last = "document.querySelector('#checks section:last-of-type li:last-child a')";
    browser.eval(&format!("{last}.focus()")).await;
    browser.eval("scrollTo(0, 400)").await;
    let focused = browser.eval("return document.activeElement.href").await;
    board.record("api", board::failed(now, Reason::Timeout, "not done within 5s", 3), 0.0);
    browser.until("document.querySelector('#blockers').innerText.includes('not done within 5s')").await;
    assert_eq!(browser.eval("return document.activeElement.href").await, focused);
    assert_eq!(browser.eval("return scrollY").await, json!(400));

    board.replace_probes(vec![(board::probe("one", "tcp", &[], vec![]), vec![])], |_| false, now);
    browser.until("document.title == 'Ready' && document.querySelector('h1').textContent == 'Ready'").await;
    browser.until("document.querySelector('#icon').href.endsWith('assets/ready.svg')").await;
    assert_eq!(browser.eval("return document.querySelector('#announce').textContent").await, json!("Ready"));

    browser.client.find(Locator::Css("#pause")).await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('#updated').textContent.startsWith('Paused')").await;
    browser.client.find(Locator::Css("#pause")).await.unwrap().click().await.unwrap();
    browser.until("document.querySelector('#updated').textContent.startsWith('Updated')").await;
    door.stop.cancel();
    browser.until("document.querySelector('#updated').textContent.startsWith('No answer since')").await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_sticks_out_at_any_width() {
    let (_door, browser) = look(&board::busy(Timestamp::now())).await;
    for width in [320, 360, 560, 720, 900, 1080, 1280, 1920] {
        let out = browser.overflow(width, "body *", ".sr, .skip").await;
        assert_eq!(out, json!([]), "at {width}");
        // Text of one cell must not run into the next.
        let clipped = browser
            .eval(
                "return [...document.querySelectorAll('li p, li div, header p')]
                     .filter(e => e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1)
                     .map(e => e.className + ': ' + e.textContent)",
            )
            .await;
        assert_eq!(clipped, json!([]), "at {width}");
    }
    browser.close().await;
}

/// The passing checks of a page with more than twenty of them are collapsed; a filter lists them, and a refresh leaves an
/// open list open.
#[tokio::test]
async fn long_lists_of_passing_checks_collapse_and_columns_have_headings() {
    let (now, board) = (Timestamp::now(), Arc::new(Board::default()));
    let check = || board::check("health", "health", Category::Health, Severity::Critical);
    let lay = |n: usize| (board::probe(&format!("service-{n:02}"), "tcp", &[], vec![check()]), vec![]);
    board.replace_probes((0..23).map(lay).collect(), |_| false, now);
    for n in 1..23 {
        board.record(&format!("service-{n:02}"), board::report(now, vec![board::healthy()]), 0.0);
    }
    board.record("service-00", board::failed(now, Reason::Refused, "refused", 0), 0.0);
    let (_door, browser) = look(&board).await;
    let visible = "return [...document.querySelectorAll('.rows li')].filter(row => row.checkVisibility()).length";
    assert_eq!(browser.eval(visible).await, json!(1), "the failing check");
    let headings = "return [...document.querySelector('.heads').children].map(e => e.textContent)";
    assert_eq!(
        browser.eval(headings).await,
        json!(["Status", "Check and finding", "Value / limit", "Since", "Last runs", "Owner, runbook"])
    );
    // Each heading begins where its column does.
    let offsets = "const row = document.querySelector('.rows li'), heads = document.querySelector('.heads');
        return [...row.children].filter(e => e.clientWidth).map(e => Math.round(e.getBoundingClientRect().left))
            .every(left => [...heads.children].some(h => Math.round(h.getBoundingClientRect().left) == left))";
    assert_eq!(browser.eval(offsets).await, json!(true));
    browser.client.find(Locator::Css("details.passing summary")).await.unwrap().click().await.unwrap();
    assert_eq!(browser.eval(visible).await, json!(23));
    board.record("service-00", board::failed(now, Reason::Timeout, "not done within 5s", 0), 0.0);
    browser.until("document.querySelector('#blockers').innerText.includes('not done within 5s')").await;
    assert_eq!(browser.eval(visible).await, json!(23), "the list stays open");
    browser.client.find(Locator::Css("#statuses a.pass")).await.unwrap().click().await.unwrap();
    browser.until("document.querySelectorAll('details').length == 0").await;
    assert_eq!(browser.eval(visible).await, json!(22));
    browser.close().await;
}

/// The finding and the value of a row state the same limit, also where a warning and a failure have different ones.
#[tokio::test]
async fn a_row_states_one_limit() {
    let (now, board) = (Timestamp::now(), Arc::new(Board::default()));
    let check = board::check("latency", "latency", Category::Performance, Severity::Warning);
    board.replace_probes(vec![(board::probe("api", "http", &[], vec![check]), vec![])], |_| false, now);
    let measures = vec![
        board::measure("p95", 0.4, Unit::Seconds, Bound::Max, Some(0.3), 1.0),
        board::measure("p99", 1.9, Unit::Seconds, Bound::Max, None, 2.0),
    ];
    board.record("api", board::report(now, vec![Verdict::from_measures(measures)]), 0.0);
    let page = TestServer::open(board).await.get("/").await.text();
    assert!(page.contains("p95 is 400ms, above the limit of 300ms"), "{page}");
    assert!(
        page.contains("<span class=\"measure\">p95</span><b>400ms</b><span class=\"limit\"> / 300ms</span>"),
        "{page}"
    );
}

#[test]
fn the_shape_of_unknown_does_not_look_like_a_replacement_character() {
    let shapes = include_str!("../../src/server/page/shapes.svg");
    let unknown = shapes.split("id=\"unknown\"").nth(1).unwrap().split("</symbol>").next().unwrap();
    assert!(
        unknown.contains("<circle") && !unknown.contains("M8 .4L15.6 8"),
        "a circle, not a filled diamond: {unknown}"
    );
}

#[tokio::test]
async fn the_keyboard_reaches_everything_in_order_and_shows_where_it_is() {
    let (_door, browser) = look(&board::busy(Timestamp::now())).await;
    let all = browser
        .eval("return [...document.querySelectorAll('a, summary, input:not([type=hidden]), button')].filter(e => e.checkVisibility()).length")
        .await
        .as_u64()
        .unwrap();
    let mut at = Vec::new();
    for _ in 0..all {
        browser.press(Key::Tab.into()).await;
        let here = browser
            .eval(
                "const e = document.activeElement, style = getComputedStyle(e);
                 const list = [...document.querySelectorAll('a, summary, input:not([type=hidden]), button')].filter(e => e.checkVisibility());
                 return {at: list.indexOf(e), text: e.textContent.trim(), outline: style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 2}",
            )
            .await;
        assert_eq!(here["outline"], true, "{here}");
        at.push(here["at"].clone());
    }
    let expected: Vec<Value> = (0..all).map(Value::from).collect();
    assert_eq!(at, expected, "the order of the tab key is the order of the page");
    // The shortcut of many tools, and the way past everything else.
    browser.press('/').await;
    assert_eq!(browser.eval("return document.activeElement.id").await, json!("q"));
    browser.close().await;
}

/// Every text and every meaningful line against what is behind it, as WCAG computes it; gives what is too weak.
pub(crate) const CONTRAST: &str = "
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgb = (color) => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
    const ratio = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
    const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] == 255) return c; } return [255, 255, 255]; };
    const weak = new Set(); let pairs = 0;
    const judge = (e, color, needed, what) => {
        const found = ratio(rgb(color), behind(e)); pairs++;
        if (found < needed) weak.add(`${found.toFixed(2)} < ${needed}: ${what}`);
    };
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walk.nextNode();) {
        const e = node.parentElement;
        if (!node.data.trim() || e.closest('.sr, svg, noscript') || !e.checkVisibility()) continue;
        const style = getComputedStyle(e), size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        judge(e, style.color, large ? 3 : 4.5, `${e.tagName}.${e.className} ${node.data.trim().slice(0, 30)}`);
    }
    for (const e of document.querySelectorAll('.strip path, .bar path:not(.track)')) {
        judge(e.closest('li'), getComputedStyle(e).stroke, 3, `line ${e.getAttribute('class')}`);
    }
    for (const e of document.querySelectorAll('.i')) judge(e.parentElement, getComputedStyle(e).color, 3, 'shape');
    for (const input of document.querySelectorAll('#q')) {
        judge(input, getComputedStyle(input, '::placeholder').color, 4.5, 'placeholder');
        judge(input.parentElement, getComputedStyle(input).borderColor, 3, 'border of the input');
    }
    return {weak: [...weak], pairs};";

#[tokio::test]
async fn everything_can_be_read_in_light_and_in_dark() {
    let (_door, browser) = look(&board::busy(Timestamp::now())).await;
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        browser.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
        grounds.push(browser.eval("return getComputedStyle(document.body).backgroundColor").await);
        let contrast = browser.eval(CONTRAST).await;
        assert!(contrast["pairs"].as_u64().unwrap() > 150, "{contrast}");
        assert_eq!(contrast["weak"], json!([]), "in {scheme}");
    }
    assert_ne!(grounds[0], grounds[1]);
    browser.close().await;
}
