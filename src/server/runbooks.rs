//! The runbooks, built in so that the link of an alert opens whenever there is a daemon to alert about. Which alert
//! covers which check is written here and, as an expression, in the alert rules; a test holds the two together.

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use crate::{
    board::{CheckState, ProbeState},
    model::words::Status,
};

/// The page of one alert.
#[derive(Debug)]
pub(super) struct Runbook {
    /// The alert's name.
    pub name: &'static str,
    /// In Markdown.
    pub text: &'static str,
}

/// What stands before the list: how to read the pages, and what holds for all of them.
pub(super) static OVERVIEW: &str = include_str!("../../alerts/runbooks/README.md");

/// The list of pages, each a file of that name.
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

/// The page of a name; people type it in lower case too.
pub(super) fn find_runbook(name: &str) -> Option<&'static Runbook> {
    RUNBOOKS.iter().find(|page| page.name.eq_ignore_ascii_case(name))
}

/// A name as one segment of a path, or as a value in a query.
pub(super) fn encode_segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

/// Where to read what to do about a check: the address that its configuration gives, or that of the page here, seen
/// from the root of the server.
pub(super) fn runbook_address(probe: &ProbeState, check: &CheckState) -> String {
    if !check.info.runbook.is_empty() {
        return check.info.runbook.clone();
    }
    let alert = match check.status {
        Status::Unknown => "ReadinessCheckUnknown",
        _ => check.info.alert.as_str(),
    };
    format!("runbooks/{alert}?probe={}&check={}", encode_segment(&probe.info.name), encode_segment(&check.info.name))
}
