//! The reference pages of probe kinds and check kinds, as the command `reference` prints them.

use hyper::StatusCode;
use maud::html;

use super::{markdown::render_document, text_page::text_page};
use crate::{reference, server::response::ServerResponse};

/// Renders the page of `KIND/CHECK`.
pub(in crate::server) fn reference_page(kind: &str, check: &str) -> ServerResponse {
    let name = format!("{kind}/{check}");
    match reference::page(&name) {
        Ok(text) => {
            // The links of the page lead to files of the repository, and the runbooks are pages of this server.
            let text = text.replace("](../../alerts/runbooks/", "](../../runbooks/");
            let title = format!("Reference: {name}");
            text_page(StatusCode::OK, &title, "reference", NAVIGATION, &render_document(&text, |text| text))
        }
        Err(message) => {
            let content = html! { h1 { "No such page" } p role="alert" { (message) } };
            text_page(StatusCode::NOT_FOUND, "No such page", "reference", NAVIGATION, &content)
        }
    }
}

/// Links at the top of the page.
const NAVIGATION: &[(&str, &str)] = &[("../../", "Status"), ("../../runbooks/", "Runbooks")];
