//! The runbooks, built into the program, so that the link of an alert works whenever the daemon runs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::{
    board::{CauseIndex, CheckState, ProbeState},
    model::words::Status,
};

/// The runbook of one alert.
#[derive(Debug)]
pub(super) struct Runbook {
    /// Name of the alert.
    pub name: &'static str,
    /// Text in Markdown.
    pub text: &'static str,
}

/// Introduction and list of the runbooks.
pub(super) static OVERVIEW: &str = include_str!("../../alerts/runbooks/README.md");

/// Declares the runbooks; each has a file with its name.
macro_rules! runbooks {
    ($($name:literal)+) => {
        static RUNBOOKS: &[Runbook] = &[$(
            Runbook { name: $name, text: include_str!(concat!("../../alerts/runbooks/", $name, ".md")) },
        )+];
    };
}

runbooks! {
    "ReadinessProbeDown"
    "ReadinessLatencyHigh"
    "ReadinessErrorRateHigh"
    "ReadinessThroughputOutOfBounds"
    "ReadinessPoolSaturated"
    "ReadinessValueOutOfBounds"
    "ReadinessCertificateExpiring"
    "ReadinessBackupStale"
    "ReadinessBackupMissed"
    "ReadinessCheckFailing"
    "ReadinessCheckUnknown"
    "ReadinessCheckStale"
    "ReadinessExporterDown"
    "ReadinessExporterRestarting"
    "ReadinessConfigReloadFailed"
    "ReadinessProbeOverrun"
    "ReadinessPanicked"
    "ReadinessStateWriteFailing"
    "ReadinessCheckGone"
    "ReadinessHeartbeat"
}

/// Finds a runbook by name, ignoring case.
pub(super) fn find_runbook(name: &str) -> Option<&'static Runbook> {
    RUNBOOKS.iter().find(|page| page.name.eq_ignore_ascii_case(name))
}

/// Characters that are encoded in a segment: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Encodes a name as one segment of a path, or as a value in a query.
pub(super) fn encode_segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, RESERVED)
}

/// Returns the runbook that helps with the present state of a check: for a skipped check, the runbook of its cause.
pub(super) fn helpful_runbook<'a>(causes: &CauseIndex<'a>, probe: &'a ProbeState, check: &'a CheckState) -> String {
    let cause = causes.cause_of(probe, check).filter(|_| check.status == Status::Skipped);
    let (probe, check) = cause.unwrap_or((probe, check));
    runbook_address(probe, check)
}

/// Returns the configured runbook URL of a check, or the path of the built-in runbook relative to the server root. The
/// built-in runbook shows the configured steps of the check.
pub(super) fn runbook_address(probe: &ProbeState, check: &CheckState) -> String {
    let url = check.info.runbook_url();
    if !url.is_empty() {
        return url.to_owned();
    }
    let alert = match check.status {
        Status::Unknown => "ReadinessCheckUnknown",
        _ => check.info.alert.as_str(),
    };
    format!("runbooks/{alert}?probe={}&check={}", encode_segment(&probe.info.name), encode_segment(&check.info.name))
}
