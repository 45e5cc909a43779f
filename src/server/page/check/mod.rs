//! The page of one check: finding, values against limits over the recent runs, changes, dependencies, runbook and
//! configuration.

mod history;
mod properties;
mod series;

use hyper::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    capitalize, elapsed,
    markdown::render_steps,
    navigation::{NavigationPage, finding, moment},
    rows, status_icon,
    text_page::{PagePlace, text_page},
};
use crate::{
    board::{CauseIndex, CheckState, ProbeCheck, ProbeState, Snapshot},
    model::words::{Status, WhilePending},
    server::{response::ServerResponse, runbooks},
};

/// The effective configuration of the check for its page.
pub(in crate::server) enum ShownConfiguration {
    /// The configuration as YAML; `None` if a reload has just removed the check.
    Shown(Option<String>),
    /// The request used an unknown host name, under which the configuration is not served.
    Withheld,
}

/// The address of the status page relative to the page of a check.
const ROOT: &str = "../../";

/// The place of the page.
const PLACE: PagePlace<'_> = PagePlace { root: ROOT, shown: NavigationPage::Other };

/// Renders the page of a check.
pub(in crate::server) fn check_page(
    all: &Snapshot,
    probe: &str,
    check: &str,
    configuration: &ShownConfiguration,
) -> ServerResponse {
    let Some((probe, check)) = all.checks().find(|(p, c)| p.info.name == probe && c.info.name == check) else {
        return missing_page(all, probe, check);
    };
    let now = Timestamp::now();
    let cause = CauseIndex::new(all).cause_of(probe, check);
    let content = html! {
        (header(probe, check, cause, now))
        (runbook(probe, check, cause))
        (history::values(probe, check))
        (history::recent_runs(probe, check))
        (history::changes(check, now))
        (properties::last_run(probe, now))
        (properties::dependencies(all, probe))
        (properties::properties(probe, check))
        (properties::configuration(configuration))
        p .note { "As of " (moment(now)) "." }
    };
    let title = format!("{}: {}", capitalize(check.status.as_str()), check.info.title_of(&probe.info.name));
    text_page(StatusCode::OK, &title, "check", PLACE, &content)
}

/// Lists the checks of the probe as response to an unknown check.
fn missing_page(all: &Snapshot, probe: &str, check: &str) -> ServerResponse {
    let known = all.probes.iter().find(|known| known.info.name == probe);
    let content = html! {
        h1 { "No such check" }
        p role="alert" { "There is no check " code { (probe) "/" (check) } "." }
        @match known {
            Some(known) => {
                p { "The probe has these checks:" }
                ul { @for check in &known.checks { li { (sibling_link(known, check)) } } }
            }
            None => p { a href="../../" { "All checks" } },
        }
    };
    text_page(StatusCode::NOT_FOUND, "No such check", "check", PLACE, &content)
}

fn header(probe: &ProbeState, check: &CheckState, cause: Option<ProbeCheck<'_>>, now: Timestamp) -> Markup {
    html! {
        h1 { (rows::title_markup(&probe.info.name, &check.info.name, &check.info.title)) }
        @if !check.info.title.is_empty() { p .name { (probe.info.name) "/" wbr; (check.info.name) } }
        div .now.(check.status) {
            p .state {
                (status_icon(check.status)) (capitalize(check.status.as_str())) " since " (moment(check.since))
                " (" (elapsed(check.since, now)) ")"
            }
            p .finding { (finding(check.summary())) }
            @if let Some((probe, cause)) = cause {
                p .cause {
                    "Cause: " (sibling_link(probe, cause)) " "
                    span .state.(cause.status) { (status_icon(cause.status)) (capitalize(cause.status.as_str())) }
                }
            }
            (impact(check))
            p .effect { (gate_effect(check)) }
        }
    }
}

/// The configured impact of a failure. It is present only while the check fails or warns.
fn impact(check: &CheckState) -> Markup {
    let is_present = matches!(check.status, Status::Fail | Status::Warn);
    html! {
        @if !check.info.summary.is_empty() {
            p .impact { (if is_present { "Impact: " } else { "If it fails: " }) (check.info.summary) }
        }
    }
}

/// The effect of the check on readiness in one sentence.
fn gate_effect(check: &CheckState) -> &'static str {
    match check.status {
        _ if !check.info.enabled => "The check is disabled and doesn\u{2019}t take part in /ready.",
        _ if check.blocks_readiness() => "The check blocks readiness.",
        Status::Pending if check.info.gate && check.info.pending == WhilePending::Passes => {
            "The check doesn\u{2019}t block readiness while it lacks observations."
        }
        _ if check.info.gate => "The check takes part in /ready and doesn\u{2019}t block it.",
        _ => "The check doesn\u{2019}t take part in /ready.",
    }
}

/// The runbook of the check, or of the cause that keeps the check from running.
fn runbook<'a>(probe: &'a ProbeState, check: &'a CheckState, cause: Option<ProbeCheck<'a>>) -> Markup {
    let cause = cause.filter(|_| check.status == Status::Skipped);
    let (probe, check) = cause.unwrap_or((probe, check));
    let (steps, address) = (check.info.runbook_steps(), runbooks::runbook_address(probe, check));
    let is_external = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme));
    let is_built_in = address.starts_with("runbooks/");
    html! {
        section aria-labelledby="runbook" {
            h2 #runbook { "Runbook" }
            @if let Some((probe, check)) = cause {
                p { "The check is skipped. This is the runbook of the cause, " (sibling_link(probe, check)) "." }
            }
            @if !steps.is_empty() { div .steps { (render_steps(steps)) } }
            p {
                @if is_external { a href=(address) rel="noreferrer" { (address) } }
                @else if is_built_in { a href={ (ROOT) (address) } { "Runbook of " (built_in_name(&address)) } }
                @else { (address) }
            }
        }
    }
}

/// The name of the alert in the address of a built-in runbook.
fn built_in_name(address: &str) -> &str {
    let name = address.trim_start_matches("runbooks/");
    name.split_once('?').map_or(name, |(name, _)| name)
}

/// A link from the page of a check to the page of another check.
fn sibling_link(probe: &ProbeState, check: &CheckState) -> Markup {
    rows::titled_link(ROOT, probe, check)
}
