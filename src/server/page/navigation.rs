//! The links between the pages, the footer, and the texts that all pages share.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::model::units::Unit;

/// A page in the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum NavigationPage {
    /// The status page.
    Status,
    /// The list of runbooks.
    Runbooks,
    /// The effective configuration.
    Configuration,
    /// A page that the navigation doesn't list.
    Other,
}

/// Links at the top of every page. `root` is the address of the status page relative to this page, and ends with `/`
/// unless it is empty.
pub(super) fn navigation(root: &str, shown: NavigationPage) -> Markup {
    let pages = [
        (NavigationPage::Status, "./", "Status"),
        (NavigationPage::Runbooks, "runbooks/", "Runbooks"),
        (NavigationPage::Configuration, "config", "Configuration"),
        (NavigationPage::Other, "ready", "Gate"),
        (NavigationPage::Other, "api/v1/status", "API"),
        (NavigationPage::Other, "metrics", "Metrics"),
    ];
    html! {
        nav .site aria-label="Pages" {
            @for (page, address, name) in pages {
                @let is_shown = page == shown && page != NavigationPage::Other;
                @let address = if root.is_empty() { address } else { address.trim_start_matches("./") };
                a href={ (root) (address) } aria-current=[is_shown.then_some("page")] { (name) }
            }
        }
    }
}

/// The version of the program.
pub(super) fn footer() -> Markup {
    html! { footer { p { "readiness-exporter " (env!("CARGO_PKG_VERSION")) } } }
}

/// The address of the status page relative to the page with a path. Paths that no link contains are not followed beyond
/// a depth, which bounds the length of the page.
pub(in crate::server) fn root_of(path: &str) -> String {
    const MAX_DEPTH: usize = 8;
    match path.matches('/').count().saturating_sub(1) {
        0 => String::new(),
        depth if depth <= MAX_DEPTH => "../".repeat(depth),
        _ => "/".to_owned(),
    }
}

/// An absolute time in UTC.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (Unit::Timestamp.format_value(at.as_second() as f64)) } }
}

/// A finding, with words in backticks as code. A backtick without a partner stays.
pub(super) fn finding(text: &str) -> Markup {
    let last = text.matches('`').count();
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 0 { (part) }
            @else if at == last { "`" (part) }
            @else { code { (part) } }
        }
    }
}

/// `1 run`, `2 runs`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_backticks_are_code_and_html_stays_text() {
        let html = |text| finding(text).into_string();
        assert_eq!(html("set `a` or `b<c>` now"), "set <code>a</code> or <code>b&lt;c&gt;</code> now");
        assert_eq!(html("one ` only"), "one ` only");
        assert_eq!(html("`a`"), "<code>a</code>");
        assert_eq!(html(""), "");
    }

    #[test]
    fn links_to_the_status_page_follow_the_depth_of_the_path() {
        for (path, root) in [("/", ""), ("/x", ""), ("/a/b", "../"), ("/a/b/", "../../"), ("/a/b/c", "../../")] {
            assert_eq!(root_of(path), root, "{path}");
        }
        assert_eq!(root_of(&"/a".repeat(1_000)), "/");
    }
}
