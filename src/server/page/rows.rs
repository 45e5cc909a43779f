//! All checks as rows by category, worst first.

use std::collections::BTreeSet;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    capitalize, chart, elapsed,
    navigation::{count, finding},
    status_icon,
};
use crate::{
    board::{CauseIndex, CheckState, ProbeCheck, ProbeState, Snapshot},
    model::{
        measure::{Bound, Measure},
        units::Unit,
        words::{Category, Status},
    },
    server::{
        query::CheckFilter,
        runbooks::{self, encode_segment},
    },
};

/// Facts that all rows of a page need.
pub(super) struct RowContext<'a> {
    pub(super) now: Timestamp,
    pub(super) causes: CauseIndex<'a>,
    /// The services of all probes.
    pub(super) services: BTreeSet<&'a str>,
}

impl<'a> RowContext<'a> {
    pub(super) fn new(all: &'a Snapshot, now: Timestamp) -> Self {
        let services = all.probes.iter().map(|probe| &*probe.info.service).filter(|name| !name.is_empty()).collect();
        Self { now, causes: CauseIndex::new(all), services }
    }

    /// The service of a probe, if the daemon watches several services.
    pub(super) fn shown_service(&self, probe: &'a ProbeState) -> Option<&'a str> {
        Some(&*probe.info.service).filter(|name| self.services.len() > 1 && !name.is_empty())
    }
}

pub(super) fn sections(all: &Snapshot, filter: &CheckFilter, context: &RowContext<'_>) -> Markup {
    let mut selected: Vec<_> = all.checks().filter(|(probe, check)| filter.matches(probe, check)).collect();
    // A stable sort: within a status and severity the order of the configuration stays.
    selected.sort_by_key(|(_, check)| (check.info.category, check.status.display_order(), check.info.severity));
    let passing = selected.iter().filter(|(_, check)| check.status == Status::Pass).count();
    let collapses = passing > MAX_OPEN_PASSING && !filter.is_active();
    html! {
        @for checks in selected.chunk_by(|(_, a), (_, b)| a.info.category == b.info.category) {
            @if let Some((_, first)) = checks.first() { (section(first.info.category, checks, collapses, context)) }
        }
        @if selected.is_empty() {
            p .note {
                @if all.probes.is_empty() { "No probe is configured." }
                @else { "No check matches. " a href="./" { "Show all" } }
            }
        }
    }
}

/// Number of passing checks that a page lists openly. If there are more, the passing checks of every category are
/// collapsed, unless the reader has asked for a selection with a filter.
const MAX_OPEN_PASSING: usize = 20;

fn section(category: Category, checks: &[ProbeCheck<'_>], collapses: bool, context: &RowContext<'_>) -> Markup {
    let number = |status: Status| checks.iter().filter(|(_, check)| check.status == status).count();
    html! {
        section aria-labelledby=(category) {
            h2 id=(category) {
                (capitalize(category.as_str()))
                small {
                    @for status in Status::WORST_FIRST.iter().filter(|status| number(**status) > 0) {
                        span class=(status) { (number(*status)) " " (status) }
                    }
                }
            }
            @let (passing, others): (Vec<_>, Vec<_>) =
                checks.iter().copied().partition(|(_, check)| collapses && check.status == Status::Pass);
            @if !others.is_empty() { (list(&others, context)) }
            @if !passing.is_empty() {
                details .passing id={ "passing-" (category) } {
                    summary { (count(passing.len(), "passing check")) }
                    (list(&passing, context))
                }
            }
        }
    }
}

/// Checks as rows below the headings of the columns. A narrow screen shows blocks without headings.
fn list(checks: &[ProbeCheck<'_>], context: &RowContext<'_>) -> Markup {
    html! {
        div .rows {
            // Screen readers read the cells of a row in order, and the content names itself.
            div .heads aria-hidden="true" {
                @for heading in ["Status", "Check and finding", "Value / limit", "Since", "Last runs", "Owner, runbook"] {
                    span { (heading) }
                }
            }
            ul { @for (probe, check) in checks { (row(probe, check, context)) } }
        }
    }
}

fn row(probe: &ProbeState, check: &CheckState, context: &RowContext<'_>) -> Markup {
    html! {
        li class=(check.status) {
            p .state { (status_icon(check.status)) (capitalize(check.status.as_str())) }
            p .what { (check_link(probe, check)) (origin(probe, context)) (explanation(probe, check, context)) }
            div .value { (measures(check)) }
            p .since { "for " (elapsed(check.since, context.now)) }
            div .past { (chart::history_strip(check)) }
            p .who { (owner(check)) (runbook_link(&runbooks::helpful_runbook(&context.causes, probe, check))) }
        }
    }
}

/// The title of the check, or `PROBE/CHECK`, as a link to the page of the check. The name stands beside a title.
pub(super) fn check_link(probe: &ProbeState, check: &CheckState) -> Markup {
    let (name, title) = (&*check.info.name, &*check.info.title);
    html! {
        (titled_link("", probe, check))
        @if !title.is_empty() { " " span .name { (probe.info.name) "/" wbr; (name) } }
    }
}

/// The title of the check, or `PROBE/CHECK`, as a link to the page of the check. `root` is the relative address of the
/// status page.
pub(super) fn titled_link(root: &str, probe: &ProbeState, check: &CheckState) -> Markup {
    let (probe, name, title) = (&*probe.info.name, &*check.info.name, &*check.info.title);
    html! {
        a href={ (root) "checks/" (encode_segment(probe)) "/" (encode_segment(name)) } { (title_markup(probe, name, title)) }
    }
}

/// The title, or `PROBE/CHECK` with a place for a line break.
pub(super) fn title_markup(probe: &str, name: &str, title: &str) -> Markup {
    html! { @if title.is_empty() { (probe) "/" wbr; (name) } @else { (title) } }
}

/// The service of the probe, where the page shows several services.
pub(super) fn origin<'a>(probe: &'a ProbeState, context: &RowContext<'a>) -> Markup {
    html! { @if let Some(service) = context.shown_service(probe) { " " span .service { (service) } } }
}

/// The finding, the cause of a check that can't be judged, and the impact.
pub(super) fn explanation(probe: &ProbeState, check: &CheckState, context: &RowContext<'_>) -> Markup {
    html! {
        span .why {
            (finding(check.summary()))
            @if let Some((probe, cause)) = context.causes.cause_of(probe, check) {
                " " span .cause { "(cause: " (titled_link("", probe, cause)) ")" }
            }
        }
        (impact(check))
    }
}

/// The impact of a check that fails or warns, if the configuration states it.
pub(super) fn impact(check: &CheckState) -> Markup {
    let has_impact = matches!(check.status, Status::Fail | Status::Warn) && !check.info.summary.is_empty();
    html! { @if has_impact { span .impact { "Impact: " (check.info.summary) } } }
}

/// The owner of the check.
pub(super) fn owner(check: &CheckState) -> Markup {
    html! { @if !check.info.owner.is_empty() { span { (check.info.owner) } } }
}

/// A link to a runbook, or the configured text.
pub(super) fn runbook_link(runbook: &str) -> Markup {
    // The configuration is trusted, but a link must never run a script.
    let is_link = ["https://", "http://", "runbooks/"].iter().any(|start| runbook.starts_with(start));
    html! {
        @if is_link { a href=(runbook) rel="noreferrer" { "Runbook" } }
        @else { span { (runbook) } }
    }
}

/// The measure that the finding states, with its chart, and up to three other measures. A check without a verdict shows
/// its configured limits.
fn measures(check: &CheckState) -> Markup {
    let measures = check.verdict.as_ref().map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    let limits = check.limits.measures.iter().filter(|limit| measures.is_empty() && limit.unit != Unit::Code);
    html! {
        @if let Some(worst) = Measure::worst(measures) {
            @let is_code = worst.unit == Unit::Code;
            // A code has no distance to a limit. A range of codes is two limits on one value, and the finding states it.
            @if !is_code { (chart::limit_bar(worst)) }
            p {
                span .measure { (worst.display_name()) }
                b { (worst.unit.format_value(worst.value)) } @if !is_code { (limit_text(worst)) }
            }
            @let is_other = |other: &&Measure| !std::ptr::eq(*other, worst) && other.unit != Unit::Code;
            @for other in measures.iter().filter(is_other).take(3) {
                p .other { span .measure { (other.display_name()) } (other.unit.format_value(other.value)) (limit_text(other)) }
            }
        }
        @for limit in limits.filter(|limit| limit.decisive_limit().is_some()).take(2) {
            p .other { span .measure { (limit.display_name()) } "\u{2013}" (limit_text(limit)) }
        }
    }
}

fn limit_text(measure: &Measure) -> Markup {
    let sign = match measure.bound {
        Bound::Max => "",
        Bound::Min => "≥ ",
        Bound::Equals => "= ",
    };
    html! {
        // The limit that the finding states, so that a row has one limit for each value.
        @if let Some(limit) = measure.decisive_limit() {
            span .limit { " / " (sign) (measure.unit.format_value(limit)) }
        }
    }
}
