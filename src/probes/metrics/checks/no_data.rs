//! What a check says when there was nothing to judge because the service had nothing to do.

use crate::model::{
    verdict::Verdict,
    words::{Outcome, Reason, words},
};

words! {
    /// Verdict while there are too few events to judge.
    WhenIdle {
        /// The check passes.
        Pass = "pass",
        /// The check warns.
        Warn = "warn",
        /// The check fails, with the reason `empty`.
        Fail = "fail",
        /// The check is unknown, with the reason `empty`.
        Unknown = "unknown",
    }
}

impl WhenIdle {
    /// The verdict, with a sentence on what is missing.
    #[must_use]
    pub fn verdict(self, quiet: String) -> Verdict {
        let outcome = match self {
            Self::Pass => Outcome::Pass,
            Self::Warn => Outcome::Warn,
            Self::Fail => Outcome::Fail(Reason::Empty),
            Self::Unknown => Outcome::Unknown(Reason::Empty),
        };
        Verdict::new(outcome, quiet)
    }
}

/// The verdict where fewer events were seen than a check needs: what `when_idle` says, where it is set; otherwise
/// none tells nothing, and a few are not enough yet.
#[must_use]
pub fn too_few(events: f64, needed: u32, when_idle: Option<WhenIdle>, over: &str) -> Verdict {
    let quiet = format!("events in {over}: {events}, needed: {needed}");
    match when_idle {
        Some(when_idle) => when_idle.verdict(quiet),
        None if events > 0.0 => Verdict::new(Outcome::Pending, quiet),
        None => WhenIdle::Unknown.verdict(format!("no events in {over}")),
    }
}

/// The verdict before a second scrape: counters tell by rising.
#[must_use]
pub fn one_scrape() -> Verdict {
    Verdict::new(Outcome::Pending, "counters tell by rising: pending until the window holds two scrapes")
}

/// The verdict where numbers on the page have no finite sum or ratio.
#[must_use]
pub fn not_finite(what: &str) -> Verdict {
    Verdict::new(Outcome::Unknown(Reason::Parse), format!("{what} is not finite: correct the numbers on the page"))
}

/// The verdict where the page has no series that a selector chooses.
#[must_use]
pub fn missing(selector: &crate::probes::metrics::exposition_format::selector::Selector) -> Verdict {
    Verdict::new(Outcome::Unknown(Reason::Empty), format!("the page has no series `{selector}`"))
}
