//! How much counters gain in a second, added up over the series of a selector: what `throughput` and `value` share.

use serde::{Deserialize, Serialize};

use super::{counters::Increases, no_data};
use crate::{
    model::{observation::Observation, units::Period, verdict::Verdict},
    probes::metrics::exposition_format::{page::Page, selector::Selector},
};

/// A rate over a window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rate(Increases<f64>);

impl Rate {
    /// Takes in a scrape and gives the rate.
    ///
    /// # Errors
    /// The verdict where there is none: the scrape failed, no such series, too many series, or not two scrapes yet.
    pub fn scrape(&mut self, seen: &Observation<Page>, series: &Selector, window: Period) -> Result<f64, Verdict> {
        let page = seen.facts_or_verdict()?;
        let (mut gained, mut there) = (0.0, false);
        self.0.begin(seen.at, window);
        self.0.of(0, series.of(&page.series), |_, gain| {
            gained += gain;
            there = true;
        });
        self.0.end(window, gained);
        if let Some(verdict) = self.0.exceeded(window) {
            return Err(verdict);
        }
        if !there {
            return Err(no_data::missing(series));
        }
        let span = self.0.span().as_secs_f64();
        match self.0.kept() {
            Some(gains) if span > 0.0 => match gains.sum::<f64>() / span {
                rate if rate.is_finite() => Ok(rate),
                _ => Err(no_data::not_finite(&format!("the rate of `{series}`"))),
            },
            _ => Err(no_data::one_scrape()),
        }
    }
}
