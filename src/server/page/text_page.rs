//! The frame of the pages of text: runbooks, reference pages, the configuration and the pages of the checks.

use bytes::Bytes;
use hyper::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    add_security_headers, head_basics,
    navigation::{NavigationPage, footer, navigation},
};
use crate::server::response::{self, ServerResponse};

/// The media type of all pages.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The place of a page: the address of the status page relative to the page, and the page's link in the navigation.
#[derive(Clone, Copy)]
pub(super) struct PagePlace<'a> {
    pub(super) root: &'a str,
    pub(super) shown: NavigationPage,
}

/// Renders a page as a response. `class` is added to the classes of the body.
pub(super) fn text_page(
    status: StatusCode,
    title: &str,
    class: &str,
    place: PagePlace<'_>,
    content: &Markup,
) -> ServerResponse {
    let page = render_text_page(title, class, place, content);
    let mut response = response::with_media_type(status, HTML, [Bytes::from(page.into_string())]);
    add_security_headers(&mut response);
    response
}

/// Renders a page.
pub(super) fn render_text_page(title: &str, class: &str, place: PagePlace<'_>, content: &Markup) -> Markup {
    let PagePlace { root, shown } = place;
    html! {
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
                (navigation(root, shown))
                main { article { (content) } }
                (footer())
            }
        }
    }
}
