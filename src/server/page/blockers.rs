//! The checks that block readiness. The consequences of a failure are collapsed below their cause.

use std::collections::HashMap;

use maud::{Markup, html};

use super::{
    capitalize, elapsed,
    navigation::count,
    rows::{self, RowContext},
    status_icon,
};
use crate::{
    board::{CauseIndex, ProbeCheck, Snapshot},
    model::words::Status,
    server::{query::CheckFilter, runbooks},
};

/// Number of causes in the list; the complete list of checks contains the others.
const MAX_SHOWN_CAUSES: usize = 8;
/// Number of consequences that are listed below a cause.
const MAX_SHOWN_CONSEQUENCES: usize = 50;

/// A blocking check with the blocking checks that can't be judged because of it.
pub(super) struct BlockingCause<'a> {
    pub(super) cause: ProbeCheck<'a>,
    pub(super) consequences: Vec<ProbeCheck<'a>>,
}

/// Groups blocking checks by cause, worst first. A check whose cause is not among them stands for itself.
pub(super) fn group<'a>(blockers: &[ProbeCheck<'a>], causes: &CauseIndex<'a>) -> Vec<BlockingCause<'a>> {
    let cause_of = |(probe, check): ProbeCheck<'a>| causes.cause_of(probe, check);
    let mut groups: Vec<BlockingCause<'a>> = Vec::new();
    let mut positions = HashMap::new();
    let mut consequences = Vec::new();
    for blocker in blockers {
        match cause_of(*blocker) {
            Some(cause) => consequences.push((cause, *blocker)),
            None => {
                positions.insert(name_of(*blocker), groups.len());
                groups.push(BlockingCause { cause: *blocker, consequences: Vec::new() });
            }
        }
    }
    for (cause, blocker) in consequences {
        match positions.get(&name_of(cause)).and_then(|at| groups.get_mut(*at)) {
            Some(group) => group.consequences.push(blocker),
            None => groups.push(BlockingCause { cause: blocker, consequences: Vec::new() }),
        }
    }
    groups
}

fn name_of<'a>((probe, check): ProbeCheck<'a>) -> (&'a str, &'a str) {
    (&probe.info.name, &check.info.name)
}

/// The list of blocking checks that a filter selects, with notes on the checks that don't count.
pub(super) fn list(all: &Snapshot, filter: &CheckFilter, context: &RowContext<'_>) -> Markup {
    let mut blockers = all.blockers_worst_first();
    let total = blockers.len();
    blockers.retain(|(probe, check)| filter.matches(probe, check));
    let groups = group(&blockers, &context.causes);
    html! {
        @if !groups.is_empty() {
            section aria-labelledby="blocking" {
                h2 #blocking {
                    "Blocking"
                    @if blockers.len() < total { small { (blockers.len()) " of " (total) " match the filter" } }
                }
                ol .blockers { @for group in groups.iter().take(MAX_SHOWN_CAUSES) { (item(group, context)) } }
                @if groups.len() > MAX_SHOWN_CAUSES { p .more { "and " (groups.len() - MAX_SHOWN_CAUSES) " more below" } }
            }
        }
        (notes(all, filter))
    }
}

fn item(group: &BlockingCause<'_>, context: &RowContext<'_>) -> Markup {
    let (probe, check) = group.cause;
    html! {
        li class=(check.status) {
            p .state { (status_icon(check.status)) (capitalize(check.status.as_str())) " for " (elapsed(check.since, context.now)) }
            div .what {
                p { (rows::check_link(probe, check)) (rows::origin(probe, context)) (rows::explanation(probe, check, context)) }
                @if !group.consequences.is_empty() { (consequences(group)) }
            }
            p .severity { (check.info.severity) }
            p .owner { (check.info.owner) }
            p .runbook { (rows::runbook_link(&runbooks::helpful_runbook(&context.causes, probe, check))) }
        }
    }
}

/// The collapsed list of the checks that can't be judged because of a failure.
fn consequences(group: &BlockingCause<'_>) -> Markup {
    let (probe, check) = group.cause;
    let number = |status: Status| group.consequences.iter().filter(|(_, check)| check.status == status).count();
    let parts = [Status::Skipped, Status::Unknown].map(|status| (number(status), status));
    let parts: Vec<_> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, status)| format!("+{number} {status}")).collect();
    html! {
        details .consequences id={ "because-" (probe.info.name) "-" (check.info.name) } {
            summary { (parts.join(", ")) " because of this" }
            ul {
                @for (probe, check) in group.consequences.iter().take(MAX_SHOWN_CONSEQUENCES) {
                    li class=(check.status) { span .state { (status_icon(check.status)) } (rows::check_link(probe, check)) }
                }
                @if group.consequences.len() > MAX_SHOWN_CONSEQUENCES {
                    li { "and " (group.consequences.len() - MAX_SHOWN_CONSEQUENCES) " more below" }
                }
            }
        }
    }
}

/// Notes on the checks that don't count: failing checks without gate, and pending checks that block nothing.
fn notes(all: &Snapshot, filter: &CheckFilter) -> Markup {
    let is_selected = |(probe, check): &ProbeCheck<'_>| filter.matches(probe, check);
    let failing: Vec<_> = all.ungated_failures().filter(is_selected).collect();
    let pending = all.excused_checks().filter(is_selected).count();
    html! {
        @if !failing.is_empty() {
            p .note {
                (count(failing.len(), "check")) @if failing.len() == 1 { " fails" } @else { " fail" }
                " without blocking readiness: "
                @for (at, (probe, check)) in failing.iter().take(MAX_SHOWN_CAUSES).enumerate() {
                    @if at > 0 { ", " }
                    (rows::check_link(probe, check))
                }
                @if failing.len() > MAX_SHOWN_CAUSES { " and " (failing.len() - MAX_SHOWN_CAUSES) " more" }
                "."
            }
        }
        @if pending > 0 {
            p .note {
                (count(pending, "check")) " in status pending "
                @if pending == 1 { "does" } @else { "do" } " not block readiness."
            }
        }
    }
}
