//! The reference pages of probe kinds and check kinds, as the command `reference` prints them.

use hyper::StatusCode;
use maud::html;

use super::{
    markdown::render_document,
    navigation::NavigationPage,
    text_page::{PagePlace, text_page},
};
use crate::{reference, server::response::ServerResponse};

/// Renders the page of `KIND/CHECK`.
pub(in crate::server) fn reference_page(kind: &str, check: &str) -> ServerResponse {
    let name = format!("{kind}/{check}");
    let place = PagePlace { root: "../../", shown: NavigationPage::Other };
    match reference::page(&name) {
        Ok(text) => {
            // The links of the page lead to files of the repository, and the runbooks are pages of this server.
            let text = text.replace("](../../alerts/runbooks/", "](../../runbooks/");
            // The page is a section of a document about the kind, so its title has a lower level and lacks the kind.
            let text =
                text.split_once('\n').filter(|(title, _)| title.starts_with('#')).map_or(&*text, |(_, rest)| rest);
            let content = html! {
                h1 { "Check " (name) }
                (render_document(text, |text| text))
            };
            text_page(StatusCode::OK, &format!("Reference: {name}"), "reference", place, &content)
        }
        Err(message) => {
            let content = html! { h1 { "No such page" } p role="alert" { (super::navigation::finding(&message)) } };
            text_page(StatusCode::NOT_FOUND, "No such page", "reference", place, &content)
        }
    }
}
