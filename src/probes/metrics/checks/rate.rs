//! Sum of the rates of all series of a selector, for `throughput` and `value`.

use serde::{Deserialize, Serialize};

use super::{counters::Increases, no_data};
use crate::{
    model::{observation::Observation, units::Period, verdict::Verdict},
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// Rate over a window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rate(Increases<f64>);

impl Rate {
    /// Adds a scrape and returns the rate.
    ///
    /// # Errors
    /// The verdict where there is none: the scrape failed, no such series, a gauge, too many series, or not two scrapes
    /// yet.
    pub fn scrape(&mut self, seen: &Observation<Page>, series: &Selector, window: Period) -> Result<f64, Verdict> {
        let page = seen.facts_or_verdict()?;
        if let Some(gauge) = series.matching_series(&page.series).find(|series| series.is_gauge) {
            return Err(no_data::declared_gauge(gauge));
        }
        let (mut gained, mut there) = (0.0, false);
        self.0.begin_scrape(seen.at, window);
        self.0.add_series(0, series.matching_series(&page.series), |_, gain| {
            gained += gain;
            there = true;
        });
        self.0.end_scrape(window, gained);
        if let Some(verdict) = self.0.exceeded(window) {
            return Err(verdict);
        }
        if !there {
            return Err(no_data::no_matching_series(series));
        }
        let span = self.0.covered_time().as_secs_f64();
        match self.0.scrape_results() {
            Some(gains) if span > 0.0 => match gains.sum::<f64>() / span {
                rate if rate.is_finite() => Ok(rate),
                _ => Err(no_data::not_finite(&format!("the rate of `{series}`"))),
            },
            _ => Err(no_data::one_scrape()),
        }
    }
}
