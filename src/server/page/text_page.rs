//! The frame of the pages of text: runbooks, reference pages and the pages of the checks.

use bytes::Bytes;
use hyper::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{add_security_headers, head_basics};
use crate::server::response::{self, ServerResponse};

/// Renders a page. `navigation` lists addresses and names of other pages; the first one is the status page, relative to
/// which the page finds its style sheets. `class` is added to the classes of the body.
pub(super) fn text_page(
    status: StatusCode,
    title: &str,
    class: &str,
    navigation: &[(&str, &str)],
    content: &Markup,
) -> ServerResponse {
    let root = navigation.first().map_or("/", |(address, _)| address);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head_basics(title))
                link rel="icon" type="image/svg+xml" href={ (root) "assets/starting.svg" };
                link rel="stylesheet" href={ (root) "assets/style.css" };
                link rel="stylesheet" href={ (root) "assets/runbook.css" };
            }
            body .runbook.(class) {
                (PreEscaped(include_str!("shapes.svg")))
                main {
                    nav aria-label="Other views" {
                        @for (address, name) in navigation { a href=(address) { (name) } }
                    }
                    article { (content) }
                }
            }
        }
    };
    let mut response = response::with_media_type(status, "text/html; charset=utf-8", [Bytes::from(page.into_string())]);
    add_security_headers(&mut response);
    response
}
