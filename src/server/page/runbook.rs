//! Runbooks as HTML pages, rendered from Markdown. Placeholders become the names of the check that the reader came
//! from.

use std::net::SocketAddr;

use hyper::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use pulldown_cmark::CowStr;

use super::{
    capitalize, elapsed,
    markdown::{render_document, render_steps},
    navigation::{NavigationPage, finding, root_of},
    rows, status_icon,
    text_page::{PagePlace, text_page},
};
use crate::{
    board::{CheckState, ProbeState, Snapshot},
    server::{
        response::ServerResponse,
        runbooks::{OVERVIEW, Runbook},
    },
};

/// The address at which clients reach this server. It never comes from the `Host` header: a link or a DNS name could
/// place another machine, or another command, into commands that people paste.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::server) struct ReachedAddress<'a> {
    /// The configured external URL.
    pub(in crate::server) external_url: Option<&'a str>,
    /// Local address of the client's connection.
    pub(in crate::server) address: Option<SocketAddr>,
}

/// Renders the runbook of one alert. The query `probe=PROBE&check=CHECK` selects the check.
pub(in crate::server) fn runbook_page(
    runbook: &Runbook,
    all: &Snapshot,
    query: &str,
    reached: ReachedAddress<'_>,
) -> ServerResponse {
    let placeholders = Placeholders::new(all, query, reached);
    let (title, text) = split_title(runbook.text);
    let content = html! {
        h1 id=(runbook.name.to_ascii_lowercase()) { (title.unwrap_or(runbook.name)) }
        @if let Some((probe, check)) = placeholders.check {
            (check_banner(probe, check, Timestamp::now()))
            @let steps = check.info.runbook_steps();
            @if !steps.is_empty() { section .steps { h2 { "Steps for this check" } (render_steps(steps)) } }
        }
        (render_document(text, |text| placeholders.substitute(text)))
    };
    text_page(StatusCode::OK, runbook.name, "built-in", PLACE, &content)
}

/// Splits a document into its title and its text.
fn split_title(text: &str) -> (Option<&str>, &str) {
    let title = text.split_once('\n').and_then(|(line, rest)| Some((line.strip_prefix("# ")?, rest)));
    title.map_or((None, text), |(title, rest)| (Some(title), rest))
}

/// Renders the list of runbooks.
pub(in crate::server) fn overview_page(reached: ReachedAddress<'_>) -> ServerResponse {
    text_page(StatusCode::OK, "Runbooks", "built-in", PLACE, &render_overview(reached))
}

/// Renders the list of runbooks as response to an unknown name.
pub(in crate::server) fn missing_page(name: &str, reached: ReachedAddress<'_>) -> ServerResponse {
    let content = html! {
        p .note role="alert" { "There is no runbook " code { (name) } ". These runbooks exist:" }
        (render_overview(reached))
    };
    let root = root_of(&format!("/runbooks/{name}"));
    let place = PagePlace { root: &root, ..PLACE };
    text_page(StatusCode::NOT_FOUND, "No such runbook", "built-in", place, &content)
}

/// The place of each page.
const PLACE: PagePlace<'_> = PagePlace { root: "../", shown: NavigationPage::Runbooks };

fn render_overview(reached: ReachedAddress<'_>) -> Markup {
    let placeholders = Placeholders::without_check(reached);
    render_document(OVERVIEW, |text| placeholders.substitute(text))
}

/// Prefix of `INSTANCE` in URLs.
const SCHEME: &str = "http://";

/// Values of the placeholders on a page.
#[derive(Default)]
struct Placeholders<'a> {
    /// Replaces `http://INSTANCE`.
    url: Option<String>,
    /// Replaces `INSTANCE` alone, which commands compare with the label `instance` of a scrape.
    instance: Option<String>,
    check: Option<(&'a ProbeState, &'a CheckState)>,
}

impl<'a> Placeholders<'a> {
    /// Placeholders of a page without a check.
    fn without_check(ReachedAddress { external_url, address }: ReachedAddress<'_>) -> Self {
        let address = address.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()).to_string());
        let url = external_url.map(str::to_owned).or_else(|| Some(format!("http://{}", address.as_ref()?)));
        Self { url, instance: address, check: None }
    }

    /// Placeholders of a page with a check. Only the names of an existing check are inserted, so that no link can
    /// insert text into commands that people copy.
    fn new(all: &'a Snapshot, query: &str, reached: ReachedAddress<'_>) -> Self {
        let value = |wanted: &str| {
            url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == wanted).map(|(_, value)| value)
        };
        let (probe, check) = (value("probe"), value("check"));
        let is_meant = |(p, c): &(&ProbeState, &CheckState)| {
            probe.as_deref() == Some(&p.info.name) && check.as_deref() == Some(&c.info.name)
        };
        Self { check: all.checks().find(is_meant), ..Self::without_check(reached) }
    }

    fn substitute<'t>(&self, text: CowStr<'t>) -> CowStr<'t> {
        let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let words = text.split_inclusive(ends).map(|piece| piece.split_at(piece.trim_end_matches(ends).len()));
        // Replacement takes one pass, because a name may contain a placeholder.
        let mut filled = String::new();
        for (word, end) in words {
            match self.url.as_deref().filter(|_| word == "INSTANCE" && filled.ends_with(SCHEME)) {
                Some(url) => {
                    filled.truncate(filled.len() - SCHEME.len());
                    filled.push_str(url);
                }
                None => filled.push_str(self.value_of(word).unwrap_or(word)),
            }
            filled.push_str(end);
        }
        if *filled == *text { text } else { filled.into() }
    }

    fn value_of(&self, word: &str) -> Option<&str> {
        match word {
            "PROBE" => self.check.map(|(probe, _)| &*probe.info.name),
            "CHECK" => self.check.map(|(_, check)| &*check.info.name),
            "INSTANCE" => self.instance.as_deref(),
            _ => None,
        }
    }
}

/// Banner with the current status of the check.
fn check_banner(probe: &ProbeState, check: &CheckState, now: Timestamp) -> Markup {
    html! {
        div .now.(check.status) {
            p .state { (status_icon(check.status)) (capitalize(check.status.as_str())) " for " (elapsed(check.since, now)) }
            p .what {
                (rows::titled_link("../", probe, check))
                @if !check.info.title.is_empty() { " " span .name { (probe.info.name) "/" wbr; (check.info.name) } }
                span .why { (finding(check.summary())) }
                (rows::impact(check))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_external_url_or_the_address_that_was_reached() {
        let all = crate::board::Board::default().snapshot();
        let filled = |external_url, address: &str| {
            let reached = ReachedAddress { external_url, address: address.parse().ok() };
            Placeholders::new(&all, "", reached)
                .substitute("curl http://INSTANCE/ instance=INSTANCE".into())
                .into_string()
        };
        assert_eq!(filled(None, "[::1]:10980"), "curl http://[::1]:10980/ instance=[::1]:10980");
        assert_eq!(filled(None, "[::ffff:10.0.0.1]:1"), "curl http://10.0.0.1:1/ instance=10.0.0.1:1");
        assert_eq!(filled(None, ""), "curl http://INSTANCE/ instance=INSTANCE");
        assert_eq!(filled(Some("https://a.b/c"), "10.0.0.1:1"), "curl https://a.b/c/ instance=10.0.0.1:1");
    }
}
