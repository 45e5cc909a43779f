//! Verdicts without enough data, because the service is idle or series are missing.

use crate::{
    checks::no_data::WhenNoData,
    model::{
        text,
        units::Period,
        verdict::Verdict,
        words::{Outcome, Reason},
    },
    probes::metrics::exposition_format::{
        mismatch::SelectorMismatch,
        page::{MAX_SAMPLE_AGE, MAX_SAMPLE_AHEAD, Page},
        selector::Selector,
        series::Series,
    },
};

/// Verdict on fewer events than a check needs: that of `when_idle` if configured, else unknown without events and
/// pending with too few.
#[must_use]
pub fn too_few(events: f64, needed: u32, when_idle: Option<WhenNoData>, over: &str) -> Verdict {
    let quiet = format!("events in {over}: {events}, needed: {needed} (`min_samples`)");
    match when_idle {
        Some(when_idle) => when_idle.verdict(quiet),
        None if events > 0.0 => Verdict::new(Outcome::Pending, quiet),
        None => WhenNoData::Unknown.verdict(format!(
            "no events in {over}: `when_idle` sets the verdict while the service is idle, and `gate: false` takes the \
             check out of `/ready`"
        )),
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

/// Verdict on a counter that is NaN or infinite.
#[must_use]
pub fn counter_not_finite(series: &Series) -> Verdict {
    not_finite(&format!("the value of `{}`", text::bounded_name(&*series.id)))
}

/// Verdict on a page without a series that matches the selector, with the reason.
#[must_use]
pub fn no_matching_series(page: &Page, selector: &Selector) -> Verdict {
    Verdict::new(Outcome::Unknown(Reason::Empty), absence(page, selector))
}

/// Verdict on a page without a series that matches the selector, for a check with `when_idle`. The setting applies if
/// the metric and its labels exist, and only a value is missing, as before the first event of a kind. A missing name may
/// be wrong.
#[must_use]
pub fn no_event_yet(page: &Page, selector: &Selector, when_idle: Option<WhenNoData>) -> Verdict {
    let is_early = page.untimely_series(selector).next().is_none()
        && page.mismatch(selector).is_some_and(SelectorMismatch::is_missing_value);
    match when_idle {
        Some(when_idle) if is_early => when_idle.verdict(absence(page, selector)),
        None if is_early => {
            let mut verdict = no_matching_series(page, selector);
            verdict.summary.push_str("; `when_idle` sets the verdict until there is one");
            verdict
        }
        _ => no_matching_series(page, selector),
    }
}

/// Describes the absence of a series: "the page has no series `x_total`: ...".
#[must_use]
pub fn absence(page: &Page, selector: &Selector) -> String {
    if let Some(untimely) = page.untimely_series(selector).next() {
        let (name, time) = (text::bounded_name(&*untimely.series.id), untimely.time_text());
        return format!(
            "the page has no current series `{selector}`: `{name}` does not count, because {time} (allowed: {} ago, {} \
             ahead); `honor_timestamps: false` ignores the times of samples",
            Period(MAX_SAMPLE_AGE),
            Period(MAX_SAMPLE_AHEAD)
        );
    }
    match page.mismatch(selector) {
        Some(mismatch) => format!("the page has no series `{selector}`: {mismatch}"),
        None => format!("the page has no series `{selector}`"),
    }
}

/// Verdict `unknown` if no series matches the selector and none can match on a later page: the selector is wrong, or
/// the timestamps of its series are. A check that passes without a series uses it.
#[must_use]
pub fn never_matching(page: &Page, selector: &Selector) -> Option<Verdict> {
    if selector.matching_series(&page.series).next().is_some() {
        return None;
    }
    let is_permanent = page.mismatch(selector).is_some_and(SelectorMismatch::is_permanent);
    (is_permanent || page.untimely_series(selector).next().is_some()).then(|| no_matching_series(page, selector))
}

/// Note on a series whose value does not count, for the end of a finding; empty without one.
#[must_use]
pub fn past_note(with_past: Option<&Series>) -> String {
    with_past
        .map(|series| {
            let (name, value) = (text::bounded_name(&*series.id), series.value);
            format!("; `{name}` counts from {value}, which it had before")
        })
        .unwrap_or_default()
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
