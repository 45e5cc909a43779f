//! Every check as a row, by category, the worst first.

use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{ago, capital, chart, shape};
use crate::{
    board::{CheckState, ProbeState, Snapshot},
    model::{
        measure::{Bound, Measure},
        words::{Category, Status},
    },
    server::{query::CheckFilter, runbooks},
};

pub(super) fn sections(all: &Snapshot, filter: &CheckFilter, now: Timestamp) -> Markup {
    let mut wanted: Vec<_> = all.checks().filter(|(probe, check)| filter.wants(probe, check)).collect();
    // A stable sort: within a status and severity the order of the configuration stays.
    wanted.sort_by_key(|(_, check)| (check.info.category, check.status.rank(), check.info.severity));
    html! {
        @for checks in wanted.chunk_by(|(_, a), (_, b)| a.info.category == b.info.category) {
            @if let Some((_, first)) = checks.first() { (section(first.info.category, checks, now)) }
        }
        @if wanted.is_empty() {
            p .note {
                @if all.probes.is_empty() { "Nothing is configured." }
                @else { "No check matches. " a href="./" { "Show all" } }
            }
        }
    }
}

fn section(category: Category, checks: &[(&ProbeState, &CheckState)], now: Timestamp) -> Markup {
    let count = |status: Status| checks.iter().filter(|(_, check)| check.status == status).count();
    html! {
        section aria-labelledby=(category) {
            h2 id=(category) {
                (capital(category.as_str()))
                small {
                    @for status in Status::WORST_FIRST.iter().filter(|status| count(**status) > 0) {
                        span class=(status) { (count(*status)) " " (status) }
                    }
                }
            }
            ul .rows { @for (probe, check) in checks { (row(probe, check, now)) } }
        }
    }
}

fn row(probe: &ProbeState, check: &CheckState, now: Timestamp) -> Markup {
    html! {
        li class=(check.status) {
            p .state { (shape(check.status)) (capital(check.status.as_str())) }
            p .what { (name(probe, check)) span .why { (check.summary()) } }
            div .value { (value(check)) }
            p .since { "for " (ago(check.since, now)) }
            div .past { (chart::strip(check)) }
            p .who { (links(probe, check)) }
        }
    }
}

/// `PROBE/CHECK`; everything that is known of it is behind the link.
pub(super) fn name(probe: &ProbeState, check: &CheckState) -> Markup {
    let encode = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
    let (probe, check) = (&*probe.info.name, &*check.info.name);
    html! { a href={ "api/v1/checks/" (encode(probe)) "/" (encode(check)) } { (probe) "/" wbr; (check) } }
}

/// Whom to ask and where to read what to do.
pub(super) fn links(probe: &ProbeState, check: &CheckState) -> Markup {
    let runbook = runbooks::address(probe, check);
    // A configuration is trusted, but a link that runs a script is never meant.
    let is_link = ["https://", "http://", "runbooks/"].iter().any(|start| runbook.starts_with(start));
    html! {
        @if !check.info.owner.is_empty() { span { (check.info.owner) } }
        @if is_link { a href=(runbook) rel="noreferrer" { "Runbook" } }
        @else { span { (runbook) } }
    }
}

/// The measure that has least room, against its limit, and the others in short.
fn value(check: &CheckState) -> Markup {
    let measures = check.verdict.as_ref().map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    let room = |measure: &Measure| measure.headroom().unwrap_or(f64::INFINITY);
    let worst = measures.iter().enumerate().min_by(|(_, a), (_, b)| room(a).total_cmp(&room(b)));
    html! {
        @if let Some((at, worst)) = worst {
            (chart::bar(worst))
            p {
                span .measure { (worst.label()) }
                b { (worst.unit.show(worst.value)) } (against(worst))
            }
            @for (_, other) in measures.iter().enumerate().filter(|(other, _)| *other != at).take(3) {
                p .other { span .measure { (other.label()) } (other.unit.show(other.value)) (against(other)) }
            }
        }
    }
}

fn against(measure: &Measure) -> Markup {
    let sign = match measure.bound {
        Bound::Max => "",
        Bound::Min => "≥ ",
        Bound::Equals => "= ",
    };
    html! {
        @if let Some(limit) = measure.fail.or(measure.warn) {
            span .limit { " / " (sign) (measure.unit.show(limit)) }
        }
    }
}
