//! All checks as rows by category, worst first.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{capitalize, chart, elapsed, status_icon};
use crate::{
    board::{CheckState, ProbeState, Snapshot},
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

pub(super) fn sections(all: &Snapshot, filter: &CheckFilter, now: Timestamp) -> Markup {
    let mut selected: Vec<_> = all.checks().filter(|(probe, check)| filter.matches(probe, check)).collect();
    // A stable sort: within a status and severity the order of the configuration stays.
    selected.sort_by_key(|(_, check)| (check.info.category, check.status.display_order(), check.info.severity));
    html! {
        @for checks in selected.chunk_by(|(_, a), (_, b)| a.info.category == b.info.category) {
            @if let Some((_, first)) = checks.first() { (section(first.info.category, checks, !filter.is_active(), now)) }
        }
        @if selected.is_empty() {
            p .note {
                @if all.probes.is_empty() { "No probe is configured." }
                @else { "No check matches. " a href="./" { "Show all" } }
            }
        }
    }
}

/// Number of passing checks of a category that are listed openly. More of them are collapsed, unless the reader has asked
/// for them with a filter.
const MAX_OPEN_PASSING: usize = 10;

fn section(category: Category, checks: &[(&ProbeState, &CheckState)], collapses: bool, now: Timestamp) -> Markup {
    let count = |status: Status| checks.iter().filter(|(_, check)| check.status == status).count();
    html! {
        section aria-labelledby=(category) {
            h2 id=(category) {
                (capitalize(category.as_str()))
                small {
                    @for status in Status::WORST_FIRST.iter().filter(|status| count(**status) > 0) {
                        span class=(status) { (count(*status)) " " (status) }
                    }
                }
            }
            @let (passing, others): (Vec<_>, Vec<_>) =
                checks.iter().copied().partition(|(_, check)| collapses && check.status == Status::Pass);
            @if passing.len() <= MAX_OPEN_PASSING { (list(checks, now)) }
            @else {
                @if !others.is_empty() { (list(&others, now)) }
                details .passing id={ "passing-" (category) } {
                    summary { (passing.len()) " passing checks" }
                    (list(&passing, now))
                }
            }
        }
    }
}

/// Checks as rows below the headings of the columns. A narrow screen shows blocks without headings.
fn list(checks: &[(&ProbeState, &CheckState)], now: Timestamp) -> Markup {
    html! {
        div .rows {
            // Screen readers read the cells of a row in order, and the content names itself.
            div .heads aria-hidden="true" {
                @for heading in ["Status", "Check and finding", "Value / limit", "Since", "Last runs", "Owner, runbook"] {
                    span { (heading) }
                }
            }
            ul { @for (probe, check) in checks { (row(probe, check, now)) } }
        }
    }
}

fn row(probe: &ProbeState, check: &CheckState, now: Timestamp) -> Markup {
    html! {
        li class=(check.status) {
            p .state { (status_icon(check.status)) (capitalize(check.status.as_str())) }
            p .what { (check_link(probe, check)) span .why { (check.summary()) } (impact(check)) }
            div .value { (measures(check)) }
            p .since { "for " (elapsed(check.since, now)) }
            div .past { (chart::history_strip(check)) }
            p .who { (owner_and_runbook(probe, check)) }
        }
    }
}

/// The title of the check, or `PROBE/CHECK`, as a link to the page of the check. The name stands beside a title.
pub(super) fn check_link(probe: &ProbeState, check: &CheckState) -> Markup {
    let (probe, name, title) = (&*probe.info.name, &*check.info.name, &*check.info.title);
    html! {
        a href={ "checks/" (encode_segment(probe)) "/" (encode_segment(name)) } { (title_markup(probe, name, title)) }
        @if !title.is_empty() { span .name { (probe) "/" wbr; (name) } }
    }
}

/// The title, or `PROBE/CHECK` with a place for a line break.
pub(super) fn title_markup(probe: &str, name: &str, title: &str) -> Markup {
    html! { @if title.is_empty() { (probe) "/" wbr; (name) } @else { (title) } }
}

/// The impact of a check that fails or warns, if the configuration states it.
pub(super) fn impact(check: &CheckState) -> Markup {
    let has_impact = matches!(check.status, Status::Fail | Status::Warn) && !check.info.summary.is_empty();
    html! { @if has_impact { span .impact { "Impact: " (check.info.summary) } } }
}

/// The owner and the link to the runbook.
pub(super) fn owner_and_runbook(probe: &ProbeState, check: &CheckState) -> Markup {
    let runbook = runbooks::runbook_address(probe, check);
    // The configuration is trusted, but a link must never run a script.
    let is_link = ["https://", "http://", "runbooks/"].iter().any(|start| runbook.starts_with(start));
    html! {
        @if !check.info.owner.is_empty() { span { (check.info.owner) } }
        @if is_link { a href=(runbook) rel="noreferrer" { "Runbook" } }
        @else { span { (runbook) } }
    }
}

/// The measure that the finding states, with its chart, and up to three other measures.
fn measures(check: &CheckState) -> Markup {
    let measures = check.verdict.as_ref().map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
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
