//! The header with the overall verdict, and the list of blocking checks.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{capitalize, elapsed, rows, status_icon};
use crate::{
    board::{CheckState, ProbeState, Snapshot},
    model::words::Status,
};

/// Number of blocking checks in the list; the complete list of checks contains the others.
const MAX_SHOWN_BLOCKERS: usize = 8;

/// The overall verdict of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OverallVerdict {
    Ready,
    /// No check fails, but some have no verdict yet.
    Starting,
    NotReady,
}

impl OverallVerdict {
    pub(super) fn from_snapshot(all: &Snapshot) -> Self {
        let is_waiting = |check: &CheckState| check.status == Status::Pending;
        match () {
            () if all.is_ready() => Self::Ready,
            () if all.blockers().all(|(_, check)| is_waiting(check)) => Self::Starting,
            () => Self::NotReady,
        }
    }

    /// Name for the CSS class and the icon file.
    pub(super) fn css_class(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::NotReady => "not-ready",
        }
    }

    /// Title of the page.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Starting => "Starting",
            Self::NotReady => "Not ready",
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Ready => Status::Pass,
            Self::Starting => Status::Pending,
            Self::NotReady => Status::Fail,
        }
    }

    pub(super) fn header(self, all: &Snapshot, now: Timestamp) -> Markup {
        let mut services: Vec<&str> = all.probes.iter().map(|probe| &*probe.info.service).collect();
        services.sort_unstable();
        services.dedup();
        html! {
            header class=(self.css_class()) {
                (status_icon(self.status()))
                div {
                    h1 { (self.title()) }
                    p { (self.summary(all)) }
                }
                p .service {
                    @match services.as_slice() {
                        [] => "no probe configured",
                        [one] => (one),
                        many => { (many.len()) " services" }
                    }
                }
            }
            @let loaded_at = all.daemon.reload_timestamp.get();
            @if all.daemon.reload_successful.get() == 0 && loaded_at > 0.0 {
                @let loaded = Timestamp::from_second(loaded_at as i64).unwrap_or(now);
                p .alarm {
                    "The last reload failed. The daemon still runs with the configuration of "
                    (elapsed(loaded, now)) " ago."
                }
            }
        }
    }

    fn summary(self, all: &Snapshot) -> String {
        let count = |status: Status| all.checks().filter(|(_, check)| check.status == status).count();
        let blockers = all.blockers().count();
        match self {
            Self::Ready => match count(Status::Warn) {
                0 => format!("{}, none blocks readiness", count_checks(all.checks().count())),
                warnings => format!("No check blocks readiness; {} with a warning", count_checks(warnings)),
            },
            Self::Starting => format!("{} not judged yet", count_checks(blockers)),
            Self::NotReady => {
                let mut parts = Vec::new();
                for (status, word) in [
                    (Status::Fail, "failing"),
                    (Status::Unknown, "unknown"),
                    (Status::Pending, "pending"),
                    (Status::Skipped, "skipped"),
                ] {
                    let blocking = all.blockers().filter(|(_, check)| check.status == status).count();
                    // The filter below counts every check with the status.
                    match count(status) {
                        _ if blocking == 0 => {}
                        total if total == blocking => parts.push(format!("{blocking} {word}")),
                        total => parts.push(format!("{blocking} of {total} {word}")),
                    }
                }
                format!("{} blocking: {}", count_checks(blockers), parts.join(", "))
            }
        }
    }

    /// Notes on the checks that don't count: failing checks without gate, and pending checks that block nothing.
    fn notes(self, all: &Snapshot) -> Markup {
        let (failing, pending) = (all.ungated_failures().count(), all.excused_checks().count());
        html! {
            @if failing > 0 {
                p .note {
                    (count_checks(failing)) @if failing == 1 { " fails" } @else { " fail" } " without blocking readiness: "
                    @for (at, (probe, check)) in all.ungated_failures().take(MAX_SHOWN_BLOCKERS).enumerate() {
                        @if at > 0 { ", " }
                        (rows::check_link(probe, check))
                    }
                    @if failing > MAX_SHOWN_BLOCKERS { " and " (failing - MAX_SHOWN_BLOCKERS) " more" }
                    "."
                }
            }
            @if pending > 0 {
                p .note {
                    (count_checks(pending)) " in status pending "
                    @if pending == 1 { "does" } @else { "do" } " not block readiness."
                }
            }
        }
    }

    pub(super) fn blockers(self, all: &Snapshot, now: Timestamp) -> Markup {
        let blockers = all.blockers_worst_first();
        html! {
            @if !blockers.is_empty() {
                h2 { "Blocking" }
                ol .blockers {
                    @for (probe, check) in blockers.iter().take(MAX_SHOWN_BLOCKERS) { (blocker_item(probe, check, now)) }
                }
                @if blockers.len() > MAX_SHOWN_BLOCKERS {
                    p .more { "and " (blockers.len() - MAX_SHOWN_BLOCKERS) " more below" }
                }
            }
            (self.notes(all))
        }
    }
}

fn count_checks(number: usize) -> String {
    if number == 1 { "1 check".to_owned() } else { format!("{number} checks") }
}

fn blocker_item(probe: &ProbeState, check: &CheckState, now: Timestamp) -> Markup {
    html! {
        li class=(check.status) {
            p .state { (status_icon(check.status)) (capitalize(check.status.as_str())) " for " (elapsed(check.since, now)) }
            p .what {
                (rows::check_link(probe, check))
                span .why { (check.summary()) }
                (rows::impact(check))
            }
            p .who {
                span { (check.info.severity) }
                (rows::owner_and_runbook(probe, check))
            }
        }
    }
}
