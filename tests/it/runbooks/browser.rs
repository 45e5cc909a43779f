//! The pages in a real browser, as a phone and as a desk show them.

use jiff::Timestamp;
use serde_json::json;

use super::files;
use crate::{
    harness::{board, browser::Browser, http::TestServer},
    page::CONTRAST,
};

#[tokio::test]
async fn every_page_fits_a_phone_and_can_be_read_in_light_and_dark() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let browser = Browser::open().await;
    for page in files() {
        let name = if page.name == "README" { "" } else { &*page.name };
        browser.client.goto(&format!("http://{}/runbooks/{name}?probe=api&check=latency", door.address)).await.unwrap();
        for width in [320, 390, 1280] {
            let out = browser.overflow(width, "main *", "pre *, .wide *").await;
            assert_eq!(out, json!([]), "{name} at {width}");
        }
        for scheme in ["light", "dark"] {
            browser.scheme(scheme).await;
            browser.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
            assert_eq!(browser.eval(CONTRAST).await["weak"], json!([]), "{name} in {scheme}");
        }
        let long = browser.eval("return [...document.querySelectorAll('pre')].filter(e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX != 'auto').length").await;
        assert_eq!(long, json!(0), "what is long scrolls in its box");
    }
    let complaints = browser.console().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    // From the status page there and on to the list.
    browser.client.goto(&format!("http://{}/", door.address)).await.unwrap();
    browser.until("document.querySelector('nav a[href=\"runbooks/\"]')").await;
    browser.eval("document.querySelector('nav a[href=\"runbooks/\"]').click()").await;
    browser.until("document.querySelector('h1').textContent == 'Runbooks'").await;
    browser.eval("document.querySelector('a[href=\"ReadinessProbeDown\"]').click()").await;
    browser.until("document.querySelector('h1').textContent == 'ReadinessProbeDown'").await;
    browser.close().await;
}
