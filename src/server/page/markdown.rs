//! Markdown as HTML: the pages of the program, and the steps that a configuration contains.
//!
//! HTML in a text is escaped. Steps contain neither images nor links to other schemes than `http` and `https`.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html::push_html};

/// Renders a page of the program. `substitute` replaces placeholders in text and code.
pub(super) fn render_document<'t>(text: &'t str, substitute: impl Fn(CowStr<'t>) -> CowStr<'t>) -> Markup {
    let mut events: Vec<Event<'_>> = Vec::new();
    for event in parse(text) {
        match event {
            Event::Code(text) => events.push(Event::Code(substitute(text))),
            Event::Text(text) => {
                if let Some(Event::Start(Tag::Heading { id, .. })) = events.last_mut() {
                    *id = Some(text.to_ascii_lowercase().replace(' ', "-").into());
                }
                events.push(Event::Text(substitute(text)));
            }
            Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }) => {
                // Links to files of the repository become links to pages.
                let dest_url = dest_url.replace("README.md", "./").replace(".md", "").into();
                events.push(Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }));
            }
            other => push_event(&mut events, other),
        }
    }
    to_html(events)
}

/// Renders the steps of a configured runbook. Their headings stand below the heading of a section.
pub(super) fn render_steps(text: &str) -> Markup {
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut is_link_open = Vec::new();
    for event in parse(text) {
        match event {
            // The policy of the page allows no foreign image; its description stays as text.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => {}
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let is_allowed = ["https://", "http://"].iter().any(|scheme| dest_url.starts_with(scheme));
                is_link_open.push(is_allowed);
                if is_allowed {
                    events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                }
            }
            Event::End(TagEnd::Link) => {
                if is_link_open.pop() == Some(true) {
                    events.push(Event::End(TagEnd::Link));
                }
            }
            Event::Start(Tag::Heading { .. }) => events.push(Event::Start(Tag::Heading {
                level: HeadingLevel::H3,
                id: None,
                classes: Vec::new(),
                attrs: Vec::new(),
            })),
            Event::End(TagEnd::Heading(_)) => events.push(Event::End(TagEnd::Heading(HeadingLevel::H3))),
            other => push_event(&mut events, other),
        }
    }
    to_html(events)
}

fn parse(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Adds an event: HTML becomes text, and tables scroll sideways.
fn push_event<'t>(events: &mut Vec<Event<'t>>, event: Event<'t>) {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
        Event::Start(Tag::Table(columns)) => {
            events.extend([Event::Html("<div class=\"wide\">".into()), Event::Start(Tag::Table(columns))]);
        }
        Event::End(TagEnd::Table) => events.extend([Event::End(TagEnd::Table), Event::Html("</div>".into())]),
        other => events.push(other),
    }
}

fn to_html(events: Vec<Event<'_>>) -> Markup {
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    PreEscaped(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_within_a_page_stays_text_and_links_become_addresses() {
        let html = render_document(
            "# An alert\n\n<script>alert(1)</script>\n\na <b>c</b> [d](Other.md#mitigation) [e](README.md)\n",
            |text| text,
        );
        let html = html.into_string();
        assert!(html.contains("<h1 id=\"an-alert\">") && html.contains("&lt;script&gt;alert(1)"), "{html}");
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
        assert!(html.contains("href=\"Other#mitigation\"") && html.contains("href=\"./\""), "{html}");
    }

    #[test]
    fn steps_contain_no_html_no_image_and_no_link_that_runs_a_script() {
        let html = render_steps(
            "# Restart\n\n1. Run `systemctl restart shop`.\n2. [Page](https://a.example/b) and <https://c.example>.\n\n\
             <img src=x onerror=alert(1)> [x](javascript:alert(1)) [y](data:text/html,z) <javascript:alert(2)> \
             ![alt](https://a.example/pixel.png) [rel](/-/reload)\n\n| a | b |\n|---|---|\n| c | d |\n",
        );
        let html = html.into_string();
        for part in [
            "<h3>Restart</h3>",
            "<ol>",
            "<code>systemctl restart shop</code>",
            "href=\"https://a.example/b\"",
            "<table>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;") && html.contains("alt"), "{html}");
        assert_eq!(html.matches("<a ").count(), 2, "{html}");
        assert!(
            !html.contains("<img") && !html.contains("href=\"javascript") && !html.contains("href=\"data"),
            "{html}"
        );
    }
}
