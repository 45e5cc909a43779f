//! The status page: overall verdict, filter, blocking checks, and all checks by category.
//!
//! The server renders the complete page. The script only fetches the same page again and replaces its regions, so the
//! page works without the script. Inline styles and scripts are not used, because the content security policy forbids
//! them.

mod blockers;
mod chart;
pub(super) mod check;
pub(super) mod configuration;
pub(super) mod error;
mod markdown;
mod navigation;
pub(super) mod reference;
mod rows;
pub(super) mod runbook;
mod text_page;
mod verdict;

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::{
    navigation::{NavigationPage, footer, moment, navigation},
    rows::RowContext,
    verdict::OverallVerdict,
};
use super::{
    query::CheckFilter,
    response::{self, ServerResponse},
};
use crate::{
    board::Snapshot,
    model::{units::Unit, words::Status},
};

/// A static file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    path: &'static str,
    media: &'static str,
    content: &'static str,
}

static ASSETS: &[Asset] = &[
    Asset { path: "/assets/style.css", media: "text/css; charset=utf-8", content: include_str!("style.css") },
    Asset { path: "/assets/runbook.css", media: "text/css; charset=utf-8", content: include_str!("runbook.css") },
    Asset { path: "/assets/script.js", media: "text/javascript; charset=utf-8", content: include_str!("script.js") },
    Asset { path: "/assets/ready.svg", media: "image/svg+xml", content: include_str!("ready.svg") },
    Asset { path: "/assets/starting.svg", media: "image/svg+xml", content: include_str!("starting.svg") },
    Asset { path: "/assets/not-ready.svg", media: "image/svg+xml", content: include_str!("not-ready.svg") },
];

impl Asset {
    /// Finds the file of a path.
    pub(super) fn find(path: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.path == path)
    }

    pub(super) fn response(&self) -> ServerResponse {
        response::with_media_type(StatusCode::OK, self.media, [Bytes::from_static(self.content.as_bytes())])
    }
}

/// Adds a content security policy without external resources, inline styles and inline scripts.
pub(super) fn add_security_headers(response: &mut ServerResponse) {
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                  base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// The beginning of the head of every page.
pub(super) fn head_basics(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) }
    }
}

/// Renders the page as media type and text.
pub(super) fn render(all: &Snapshot, filter: &CheckFilter, unknown: Option<&str>) -> (&'static str, String) {
    ("text/html; charset=utf-8", status_page(all, filter, unknown, Timestamp::now()).into_string())
}

fn status_page(all: &Snapshot, filter: &CheckFilter, unknown: Option<&str>, now: Timestamp) -> Markup {
    let overall = OverallVerdict::from_snapshot(all);
    let context = RowContext::new(all, now);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head_basics(overall.title()))
                link #icon rel="icon" type="image/svg+xml" href={ "assets/" (overall.css_class()) ".svg" };
                link rel="stylesheet" href="assets/style.css";
                script src="assets/script.js" defer {}
                noscript { meta http-equiv="refresh" content="15"; }
            }
            body {
                (PreEscaped(include_str!("shapes.svg")))
                a .skip href="#checks" { "Skip to the checks" }
                (navigation("", NavigationPage::Status))
                div #verdict { (overall.header(all, &context)) }
                main {
                    (filter_form(all, filter, &context))
                    @if let Some(unknown) = unknown {
                        p .note { "The filter was ignored: " (unknown) "." }
                    }
                    div #blockers { (blockers::list(all, filter, &context)) }
                    div #checks tabindex="-1" { (rows::sections(all, filter, &context)) }
                }
                (footer())
                p #announce .sr role="status" {}
            }
        }
    }
}

/// The filter form. A refresh doesn't replace it, so that typed text is not lost.
fn filter_form(all: &Snapshot, filter: &CheckFilter, context: &RowContext<'_>) -> Markup {
    html! {
        form #filter role="search" method="get" action="./" {
            input #q type="search" name="q" value=(filter.text) placeholder="Filter by name, owner, finding"
                aria-label="Filter by text" autocomplete="off" spellcheck="false" maxlength="200";
            @for (key, value) in filter.choices() { input type="hidden" name=(key) value=(value); }
            button .js-off { "Filter" }
            p #pulse {
                span #updated { "Updated " (moment(context.now)) }
                button #pause type="button" aria-pressed="false" hidden { "Pause" }
            }
        }
        nav #statuses aria-label="Filters" {
            div .chips { (status_links(all, filter)) }
            @if context.services.len() > 1 || !filter.services.is_empty() {
                div .chips { (service_links(filter, context)) }
            }
        }
    }
}

/// Links that filter by status, worst first, for each status of any check. Links work without the script.
fn status_links(all: &Snapshot, filter: &CheckFilter) -> Markup {
    let count = |status: Status| all.checks().filter(|(_, check)| check.status == status).count();
    html! {
        a href=(filter.with_statuses(Vec::new()).address()) aria-current=[filter.statuses.is_empty().then_some("true")] {
            "All " b { (all.checks().count()) }
        }
        @for status in Status::WORST_FIRST {
            @let is_current = filter.statuses.contains(&status);
            @let count = count(status);
            @if count > 0 || is_current {
                a class=(status) href=(filter.with_statuses(vec![status]).address())
                    aria-current=[is_current.then_some("true")] {
                    (status_icon(status)) (capitalize(status.as_str())) " " b { (count) }
                }
            }
        }
    }
}

/// Number of services that have a link. The text filter finds the others.
const MAX_SERVICE_LINKS: usize = 30;

/// Links that filter by service. A second click on a service removes its filter.
fn service_links(filter: &CheckFilter, context: &RowContext<'_>) -> Markup {
    let left = context.services.len().saturating_sub(MAX_SERVICE_LINKS);
    html! {
        span .label { "Services" }
        @for service in context.services.iter().take(MAX_SERVICE_LINKS) {
            @let is_current = filter.services.iter().any(|one| one == service);
            @let wanted = if is_current { Vec::new() } else { vec![(*service).to_owned()] };
            a .service href=(filter.with_services(wanted).address()) aria-current=[is_current.then_some("true")] { (service) }
        }
        @for service in filter.services.iter().filter(|service| !context.services.contains(&***service)) {
            a .service href=(filter.with_services(Vec::new()).address()) aria-current="true" { (service) }
        }
        @if left > 0 { span .label { "and " (left) " more: filter by text" } }
    }
}

/// Icon of a status. It is hidden from screen readers, because the status stands beside it as text.
fn status_icon(status: Status) -> Markup {
    html! { svg .i aria-hidden="true" { use href={ "#" (status) } {} } }
}

/// Elapsed time in words, with the exact time as tooltip.
fn elapsed(since: Timestamp, now: Timestamp) -> Markup {
    let seconds = now.duration_since(since).as_secs().max(0);
    // Seconds are omitted after one minute.
    let seconds = if seconds < 60 { seconds } else { seconds / 60 * 60 };
    html! { time datetime=(since) title=(since) { (Unit::Seconds.format_value(seconds as f64)) } }
}

fn capitalize(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
