//! Last run, dependencies, properties and configuration of a check.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{ROOT, ShownConfiguration, moment, sibling_link};
use crate::{
    board::{CheckState, ProbeState, Snapshot},
    checks::health,
    model::units::{Period, Unit},
    server::{
        page::{capitalize, elapsed, navigation::finding, status_icon},
        runbooks::encode_segment,
    },
    settings::CheckInfo,
};

/// The last run of the probe with its phases.
pub(super) fn last_run(probe: &ProbeState, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="last-run" {
            h2 #last-run { "Last run of the probe" }
            @match &probe.last {
                None => p { "The probe has not run since the start of the daemon." },
                Some(run) => {
                    p {
                        (moment(run.at)) " (" (elapsed(run.at, now)) " ago), duration "
                        (Unit::Seconds.format_value(run.duration.as_secs_f64()))
                        @if let Some(failure) = &run.failure {
                            ". It failed: " code { (failure.reason) } ", " (finding(&failure.detail))
                        }
                        "."
                    }
                    @if !run.phases.is_empty() {
                        div .wide {
                            table {
                                thead { tr { th { "Phase" } th { "Duration" } } }
                                tbody {
                                    @for (phase, spent) in &run.phases {
                                        tr {
                                            td data-label="Phase" { (phase) }
                                            td data-label="Duration" { (Unit::Seconds.format_value(spent.as_secs_f64())) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The probes that this probe depends on, and the probes that depend on it.
pub(super) fn dependencies(all: &Snapshot, probe: &ProbeState) -> Markup {
    let name = &*probe.info.name;
    let find = |name: &str| all.probes.iter().find(|other| other.info.name == name).map(|other| &**other);
    let causes: Vec<_> = probe.info.depends_on.iter().map(|other| (other, find(probe_of(other)))).collect();
    let dependents: Vec<&ProbeState> = all
        .probes
        .iter()
        .filter(|other| other.info.depends_on.iter().any(|cause| probe_of(cause) == name))
        .map(|other| &**other)
        .collect();
    html! {
        section aria-labelledby="dependencies" {
            h2 #dependencies { "Dependencies" }
            @if causes.is_empty() { p { "The probe depends on no other probe." } }
            @else {
                p { "The probe is skipped while one of these fails:" }
                ul { @for (cause, state) in &causes { li { (dependency(cause, *state)) } } }
            }
            @if dependents.is_empty() { p { "No other probe depends on this probe." } }
            @else {
                p { "These probes are skipped while this probe fails:" }
                ul { @for other in dependents { li { (dependency(&other.info.name, Some(other))) } } }
            }
        }
    }
}

/// The probe of a dependency, which may name a check of it.
fn probe_of(dependency: &str) -> &str {
    dependency.split_once('/').map_or(dependency, |(probe, _)| probe)
}

/// A probe with the status of the check on which others depend.
fn dependency(name: &str, state: Option<&ProbeState>) -> Markup {
    let wanted = name.split_once('/').map(|(_, check)| check);
    let is_wanted = |check: &&CheckState| match wanted {
        Some(name) => check.info.name == name,
        None => check.info.kind == health::NAME,
    };
    let found = state.and_then(|state| Some((state, state.checks.iter().find(is_wanted).or(state.checks.first())?)));
    html! {
        @match found {
            Some((probe, check)) => {
                (sibling_link(probe, check)) " "
                span .state.(check.status) { (status_icon(check.status)) (capitalize(check.status.as_str())) }
                " " (finding(check.summary()))
            }
            None => (name),
        }
    }
}

/// Owner, service and further properties, with links.
pub(super) fn properties(probe: &ProbeState, check: &CheckState) -> Markup {
    let (info, timing) = (&check.info, probe.info.timing);
    let (kind, check_kind) = (probe.info.kind, info.kind);
    let rows = [
        ("Owner", &*info.owner),
        ("Service", &*probe.info.service),
        ("Severity", info.severity.as_str()),
        ("Category", info.category.as_str()),
        ("Alert", info.alert.as_str()),
    ];
    html! {
        section aria-labelledby="properties" {
            h2 #properties { "Properties" }
            dl {
                @for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) { dt { (name) } dd { (value) } }
                @for (name, value) in &probe.info.labels { dt { "Label " (name) } dd { (value) } }
                dt { "Interval" } dd { (Period(timing.interval)) }
                dt { "Timeout" } dd { (Period(timing.timeout)) }
                dt { "Thresholds" }
                dd { (thresholds(info)) }
                dt { "Kind" }
                dd { a href={ (ROOT) "reference/" (kind) "/" (check_kind) } { (kind) "/" (check_kind) } " (reference)" }
                dt { "Details" }
                dd {
                    a href={ (ROOT) "api/v1/checks/" (encode_segment(&probe.info.name)) "/" (encode_segment(&info.name)) } {
                        "JSON"
                    }
                }
            }
        }
    }
}

/// The number of results that change the status.
fn thresholds(info: &CheckInfo) -> String {
    let after = |number: u32, word: &str| match number {
        1 => format!("{word} after one {word} result"),
        number => format!("{word} after {number} consecutive {word} results"),
    };
    format!("{}, {}", after(info.failure_threshold, "worse"), after(info.success_threshold, "better"))
}

/// The effective configuration of the probe with this check.
pub(super) fn configuration(shown: &ShownConfiguration) -> Markup {
    html! {
        section aria-labelledby="configuration" {
            h2 #configuration { "Effective configuration" }
            @match shown {
                ShownConfiguration::Shown(Some(text)) => pre { code { (text) } },
                ShownConfiguration::Shown(None) => p { "The current configuration doesn\u{2019}t contain this check." },
                ShownConfiguration::Withheld => p {
                    "The configuration is served only under a known host name: an IP address, localhost, a name in "
                    code { "server.allowed_hosts" } " or the host of " code { "server.external_url" } "."
                },
            }
        }
    }
}
