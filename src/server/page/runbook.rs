//! Runbooks as HTML pages, rendered from Markdown. Placeholders become the names of the check that the reader came
//! from.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html::push_html};

use super::{add_security_headers, capitalize, elapsed, rows, status_icon};
use crate::server::runbooks::encode_segment;
use crate::{
    board::{CheckState, ProbeState, Snapshot},
    server::{
        response::{self, ServerResponse},
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
    let content = html! {
        @if let Some((probe, check)) = placeholders.check { (check_banner(probe, check, Timestamp::now())) }
        (render_markdown(runbook.text, &placeholders))
    };
    page_frame(StatusCode::OK, runbook.name, &content)
}

/// Renders the list of runbooks.
pub(in crate::server) fn overview_page(reached: ReachedAddress<'_>) -> ServerResponse {
    page_frame(StatusCode::OK, "Runbooks", &render_markdown(OVERVIEW, &Placeholders::without_check(reached)))
}

/// Renders the list of runbooks as response to an unknown name.
pub(in crate::server) fn missing_page(name: &str, reached: ReachedAddress<'_>) -> ServerResponse {
    let content = html! {
        p .note role="alert" { "There is no runbook " code { (name) } ". These runbooks exist:" }
        (render_markdown(OVERVIEW, &Placeholders::without_check(reached)))
    };
    page_frame(StatusCode::NOT_FOUND, "No such runbook", &content)
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

fn page_frame(status: StatusCode, title: &str, content: &Markup) -> ServerResponse {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href="../assets/starting.svg";
                link rel="stylesheet" href="../assets/style.css";
                link rel="stylesheet" href="../assets/runbook.css";
            }
            body .runbook {
                (PreEscaped(include_str!("shapes.svg")))
                main {
                    nav aria-label="Other views" { a href="../" { "Status" } a href="./" { "Runbooks" } }
                    article { (content) }
                }
            }
        }
    };
    let mut response = response::with_media_type(status, "text/html; charset=utf-8", [Bytes::from(page.into_string())]);
    add_security_headers(&mut response);
    response
}

/// Banner with the current status of the check.
fn check_banner(probe: &ProbeState, check: &CheckState, now: Timestamp) -> Markup {
    let (p, c) = (&*probe.info.name, &*check.info.name);
    html! {
        div .now.(check.status) {
            p .state { (status_icon(check.status)) (capitalize(check.status.as_str())) " for " (elapsed(check.since, now)) }
            p .what {
                a href={ "../api/v1/checks/" (encode_segment(p)) "/" (encode_segment(c)) } { (rows::title_markup(p, c, &check.info.title)) }
                @if !check.info.title.is_empty() { span .name { (p) "/" wbr; (c) } }
                span .why { (check.summary()) }
                (rows::impact(check))
            }
        }
    }
}

/// Renders Markdown as HTML. Headings get anchors, tables scroll horizontally, and HTML in the text is escaped.
fn render_markdown(text: &'static str, placeholders: &Placeholders<'_>) -> Markup {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES);
    let mut events: Vec<Event<'_>> = Vec::new();
    for event in parser {
        match event {
            Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
            Event::Code(text) => events.push(Event::Code(placeholders.substitute(text))),
            Event::Text(text) => {
                if let Some(Event::Start(Tag::Heading { id, .. })) = events.last_mut() {
                    *id = Some(text.to_ascii_lowercase().replace(' ', "-").into());
                }
                events.push(Event::Text(placeholders.substitute(text)));
            }
            Event::Start(Tag::Table(columns)) => {
                events.extend([Event::Html("<div class=\"wide\">".into()), Event::Start(Tag::Table(columns))]);
            }
            Event::End(TagEnd::Table) => events.extend([Event::End(TagEnd::Table), Event::Html("</div>".into())]),
            Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }) => {
                // Links to files of the repository become links to pages.
                let dest_url = dest_url.replace("README.md", "./").replace(".md", "").into();
                events.push(Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }));
            }
            other => events.push(other),
        }
    }
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    PreEscaped(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_within_a_page_stays_text_and_links_become_addresses() {
        let html = render_markdown(
            "# An alert\n\n<script>alert(1)</script>\n\na <b>c</b> [d](Other.md#mitigation) [e](README.md)\n",
            &Placeholders::default(),
        );
        let html = html.into_string();
        assert!(html.contains("<h1 id=\"an-alert\">") && html.contains("&lt;script&gt;alert(1)"), "{html}");
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
        assert!(html.contains("href=\"Other#mitigation\"") && html.contains("href=\"./\""), "{html}");
    }

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
