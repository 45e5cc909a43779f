//! Sum of the rates of all series of a selector, for `throughput` and `value`.

use serde::{Deserialize, Serialize};

use super::{counters::Increases, no_data};
use crate::{
    checks::no_data::WhenNoData,
    model::{observation::Observation, units::Period, verdict::Verdict},
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// Rate over a window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rate(Increases<f64>);

/// A rate with a note for the finding.
#[derive(Debug)]
pub struct MeasuredRate {
    /// Events per second.
    pub per_second: f64,
    /// Note on a series whose value does not count; empty without one.
    pub note: String,
}

impl Rate {
    /// Adds a scrape and returns the rate.
    ///
    /// # Errors
    /// The verdict if there is none: the scrape failed, no such series, a gauge, a value that is not finite, too many
    /// series, several processes, or fewer than two scrapes.
    pub fn scrape(
        &mut self,
        seen: &Observation<Page>,
        series: &Selector,
        window: Period,
        when_idle: Option<WhenNoData>,
    ) -> Result<MeasuredRate, Verdict> {
        let page = seen.facts_or_verdict()?;
        if let Some(gauge) = series.matching_series(&page.series).find(|series| series.is_gauge) {
            return Err(no_data::declared_gauge(gauge));
        }
        let gains = self.0.scrape(seen, page, window, vec![series.matching_series(&page.series).collect()]);
        self.0.end_scrape(window, gains.sum(0));
        if let Some(verdict) = self.0.problem(window) {
            return Err(verdict);
        }
        if gains.is_empty(0) {
            return Err(no_data::no_event_yet(page, series, when_idle));
        }
        if let Some(series) = gains.not_finite {
            return Err(no_data::counter_not_finite(series));
        }
        let span = self.0.covered_time().as_secs_f64();
        match self.0.scrape_results() {
            Some(results) if span > 0.0 => match results.sum::<f64>() / span {
                per_second if per_second.is_finite() => {
                    Ok(MeasuredRate { per_second, note: no_data::past_note(gains.with_past) })
                }
                _ => Err(no_data::not_finite(&format!("the rate of `{series}`"))),
            },
            _ => Err(no_data::one_scrape()),
        }
    }
}
