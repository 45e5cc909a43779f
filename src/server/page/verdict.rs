//! The header with the overall verdict.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    blockers,
    navigation::{count, finding, moment},
    rows::RowContext,
    status_icon,
};
use crate::{
    board::{CheckState, Snapshot},
    model::words::Status,
};

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

    pub(super) fn header(self, all: &Snapshot, context: &RowContext<'_>) -> Markup {
        html! {
            header class=(self.css_class()) {
                (status_icon(self.status()))
                div {
                    h1 { (self.title()) }
                    p { (self.summary(all, context)) }
                }
                // The filter lists several services.
                @match (context.services.len(), context.services.first()) {
                    (1, Some(service)) => p .service { (service) },
                    _ if all.probes.is_empty() => p .service { "no probe configured" },
                    _ => {}
                }
            }
            (failed_reload(all))
        }
    }

    fn summary(self, all: &Snapshot, context: &RowContext<'_>) -> String {
        let number = |status: Status| all.checks().filter(|(_, check)| check.status == status).count();
        match self {
            Self::Ready => match number(Status::Warn) {
                0 => {
                    let gated = all.checks().filter(|(_, check)| check.info.enabled && check.info.gate);
                    format!("{}, none blocks readiness", count(gated.count(), "gated check"))
                }
                warnings => format!("No check blocks readiness; {} with a warning", count(warnings, "check")),
            },
            Self::Starting => format!("{} not judged yet", count(all.blockers().count(), "check")),
            Self::NotReady => describe_blockers(all, context),
        }
    }
}

/// The causes by status, and the number of their consequences.
fn describe_blockers(all: &Snapshot, context: &RowContext<'_>) -> String {
    let groups = blockers::group(&all.blockers_worst_first(), &context.causes);
    let number = |status: Status| groups.iter().filter(|group| group.cause.1.status == status).count();
    let consequences: usize = groups.iter().map(|group| group.consequences.len()).sum();
    let mut parts = Vec::new();
    // The filter counts every failing check.
    match (number(Status::Fail), all.ungated_failures().count()) {
        (0, _) => {}
        (failing, 0) => parts.push(format!("{failing} failing")),
        (failing, 1) => parts.push(format!("{failing} failing (1 more doesn\u{2019}t block)")),
        (failing, others) => parts.push(format!("{failing} failing (another {others} don\u{2019}t block)")),
    }
    if consequences > 0 {
        let because = match number(Status::Fail) {
            0 => "",
            1 => " because of it",
            _ => " because of them",
        };
        parts.push(format!("{consequences} can\u{2019}t be judged{because}"));
    }
    for (status, word) in
        [(Status::Unknown, "unknown"), (Status::Pending, "not judged yet"), (Status::Skipped, "skipped")]
    {
        match number(status) {
            0 => {}
            causes => parts.push(format!("{causes} {word}")),
        }
    }
    parts.join(", ")
}

/// The error of a failed reload with its location, and the runbook.
fn failed_reload(all: &Snapshot) -> Markup {
    let loaded_at = all.daemon.reload_timestamp.get();
    let loaded = Timestamp::from_second(loaded_at as i64).ok().filter(|_| loaded_at > 0.0);
    html! {
        @if let Some(loaded) = loaded.filter(|_| all.daemon.reload_successful.get() == 0) {
            div .alarm role="alert" {
                p {
                    b { "The last reload failed. " }
                    "The daemon still runs with the configuration of " (moment(loaded)) ". "
                    a href="runbooks/ReadinessConfigReloadFailed" { "Runbook" }
                }
                @if let Some(error) = all.daemon.reload_error() {
                    p {
                        @if !error.location.is_empty() { code { (error.location) } ": " }
                        (finding(&error.message))
                        @if error.more > 0 { " (and " (error.more) " more" ")" }
                    }
                }
            }
        }
    }
}
