//! Verdicts without enough data, because the service is idle or series are missing.

use crate::{
    model::{
        text,
        verdict::Verdict,
        words::{Outcome, Reason, words},
    },
    probes::metrics::exposition_format::series::Series,
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
    /// Creates the verdict; `summary` describes the missing data.
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

/// Verdict on fewer events than a check needs: that of `when_idle` if configured, else unknown without events and
/// pending with too few.
#[must_use]
pub fn too_few(events: f64, needed: u32, when_idle: Option<WhenIdle>, over: &str) -> Verdict {
    let quiet = format!("events in {over}: {events}, needed: {needed}");
    match when_idle {
        Some(when_idle) => when_idle.verdict(quiet),
        None if events > 0.0 => Verdict::new(Outcome::Pending, quiet),
        None => WhenIdle::Unknown.verdict(format!("no events in {over}")),
    }
}

/// Verdict before the second scrape, because increases need two.
#[must_use]
pub fn one_scrape() -> Verdict {
    Verdict::new(Outcome::Pending, "counters tell by rising: pending until the window holds two scrapes")
}

/// Verdict on values whose sum or ratio is not finite.
#[must_use]
pub fn not_finite(what: &str) -> Verdict {
    Verdict::new(Outcome::Unknown(Reason::Parse), format!("{what} is not finite: correct the numbers on the page"))
}

/// Verdict on a page without a series that matches the selector.
#[must_use]
pub fn no_matching_series(selector: &crate::probes::metrics::exposition_format::selector::Selector) -> Verdict {
    Verdict::new(Outcome::Unknown(Reason::Empty), format!("the page has no series `{selector}`"))
}

/// The verdict where a counter is needed and the page declares a gauge: a decrease of a gauge is no restart.
#[must_use]
pub fn declared_gauge(series: &Series) -> Verdict {
    let name = text::bounded_name(&*series.name);
    let text = format!(
        "the page declares `{name}` as a gauge, and a rate needs a counter: a decrease would count as a restart. Select \
         counters, or use the check `value` with `slope: true`"
    );
    Verdict::new(Outcome::Unknown(Reason::Body), text)
}
