//! Errors for readers with a browser: the text that other clients receive, with links to the pages that exist.

use hyper::StatusCode;
use maud::html;

use super::{
    navigation::{NavigationPage, root_of},
    text_page::{PagePlace, text_page},
};
use crate::server::response::ServerResponse;

/// Renders an error as a page. `path` is the requested path.
pub(in crate::server) fn error_page(status: StatusCode, path: &str, text: &str) -> ServerResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let root = root_of(path);
    let content = html! {
        h1 { (status.as_str()) " " (title) }
        p role="alert" { (super::navigation::finding(text)) }
        p { a href={ (if root.is_empty() { "./" } else { &root }) } { "All checks" } }
    };
    text_page(status, title, "error", PagePlace { root: &root, shown: NavigationPage::Other }, &content)
}
