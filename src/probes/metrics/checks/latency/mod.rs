#![doc = include_str!("latency.md")]

use std::{collections::HashMap, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    counters::{Increases, ScrapeGains},
    histogram::{Histogram, Quantile},
    no_data,
};
use crate::{
    checks::{
        latency::{FailedRunsPolicy, Quantiles, Runs, ignore_failed_runs},
        no_data::WhenNoData,
        window::{self, default_min_samples, five_minutes},
    },
    kind::{CheckKind, LooksBack},
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::Max,
        measure::{Measure, MeasureInfo},
        metric::Sample,
        observation::{Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity, WhilePending},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector, series::Series},
};

/// Limits on latency percentiles. At least one limit is required.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Histogram of latencies in seconds: its name without `_bucket`, with or without label matchers. If absent, the
    /// check limits the duration of the scrapes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    histogram: Option<Selector>,
    /// Maximum median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p50: Option<Max<Period>>,
    /// Maximum 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p90: Option<Max<Period>>,
    /// Maximum 95th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p95: Option<Max<Period>>,
    /// Maximum 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p99: Option<Max<Period>>,
    /// Maximum 99.9th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p999: Option<Max<Period>>,
    /// Maximum duration of the slowest scrape. Not allowed with `histogram`: a histogram does not contain its maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Max<Period>>,
    /// Period over which observations count.
    #[serde(default = "five_minutes")]
    window: Period,
    /// Minimum number of observations in the window. The check is pending while there are fewer.
    #[serde(default = "default_min_samples")]
    min_samples: NonZeroU32,
    /// Treatment of the failed scrapes in the window: `ignore` judges the successful scrapes only; `count_as_timeout`
    /// counts each failed scrape as a scrape with a duration of 101% of the timeout. Not allowed with `histogram`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_runs: Option<FailedRunsPolicy>,
    /// Verdict if the histogram has fewer new observations than `min_samples`. Without this setting, the check is
    /// unknown if there is no observation, and pending if there are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when_idle: Option<WhenNoData>,
    #[serde(skip)]
    runs: Runs,
    #[serde(skip)]
    buckets: Buckets,
}

impl CheckKind<Page> for Latency {
    const NAME: &'static str = "latency";
    const CATEGORY: Category = Category::Performance;
    const SEVERITY: Severity = Severity::Warning;
    const WHILE_PENDING: WhilePending = WhilePending::Passes;
    const MEASURES: &'static [MeasureInfo] = crate::checks::latency::MEASURES;
    const ALERT: Alert = Alert::LatencyHigh;
    const LOOKS_BACK: LooksBack = FailedRunsPolicy::LOOKS_BACK;
    const DOC: &'static str = include_str!("latency.md");

    fn validate(&self, timing: &Timing) -> Result<(), Invalid> {
        self.quantiles().validate()?;
        let Some(histogram) = &self.histogram else {
            if self.when_idle.is_some() {
                return Err(Invalid::at("when_idle", "scrapes are never idle: `when_idle` needs a `histogram`"));
            }
            self.quantiles().validate_timeout(timing)?;
            return window::validate(self.window, self.min_samples.get(), timing);
        };
        if self.failed_runs.is_some() {
            let message =
                "a failed scrape adds nothing to a histogram: `failed_runs` is for the duration of the scrapes";
            return Err(Invalid::at("failed_runs", message));
        }
        if self.max.is_some() {
            let message = "a histogram doesn't know its slowest observation, only its bucket: limit `p999` instead";
            return Err(Invalid::at("max", message));
        }
        histogram.for_buckets().map_err(|message| Invalid::at("histogram", message))?;
        window::validate(self.window, 2, timing)
    }
}

impl Check<Page> for Latency {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        let limits = self.quantiles();
        let Some(histogram) = &self.histogram else {
            let failed_runs = self.failed_runs.unwrap_or_else(ignore_failed_runs);
            return self.runs.judge(seen, &limits, self.window, self.min_samples, failed_runs);
        };
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        // Settings without a name for the histogram are refused.
        let Ok(selector) = histogram.for_buckets() else { return no_data::no_matching_series(page, histogram) };
        let selected: Vec<_> = selector.matching_series(&page.series).collect();
        if selected.iter().any(|series| series.label("le").parse().is_ok_and(f64::is_nan)) {
            return no_data::not_finite(&format!("a bound (`le`) of `{histogram}`"));
        }
        let gains = self.buckets.scrape(seen, page, self.window, selected);
        if let Some(verdict) = self.buckets.gains.problem(self.window) {
            return verdict;
        }
        if gains.is_empty(0) {
            return no_histogram(page, histogram, &selector, self.when_idle);
        }
        if let Some(series) = gains.not_finite {
            return no_data::counter_not_finite(series);
        }
        if self.buckets.bounds.len() > MAX_BOUNDS {
            let message = format!("`{histogram}` has more than {MAX_BOUNDS} buckets: select fewer");
            return Verdict::new(Outcome::Unknown(Reason::Limit), message);
        }
        let Some(counts) = self.buckets.counts() else { return no_data::one_scrape() };
        let has_only_end = counts.iter().all(|(bound, _)| *bound == f64::INFINITY);
        let Some(gained) = Histogram::new(counts) else {
            let message = if has_only_end {
                format!(
                    "`{histogram}` has only the bucket `+Inf`, as a native histogram has in a text format: add classic \
                     buckets to the histogram of the service"
                )
            } else {
                format!("`{histogram}` has no bucket `+Inf`, so the number of observations is unknown")
            };
            return Verdict::new(Outcome::Unknown(Reason::Empty), message);
        };
        let mut verdict = self.verdict(&limits, &gained);
        verdict.summary.push_str(&no_data::past_note(gains.with_past));
        verdict
    }

    fn requested_facts(&self) -> Vec<Selector> {
        self.histogram.iter().filter_map(|histogram| histogram.for_buckets().ok()).collect()
    }

    fn constant_samples(&self) -> Vec<Sample> {
        // A failed scrape adds nothing to the buckets of a histogram.
        let window = self.histogram.is_none().then(|| window::window_sample(self.window));
        self.quantiles().limits().into_iter().chain(window).collect()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        if self.histogram.is_some() { self.buckets.save() } else { to_saved(&self.runs) }
    }

    fn restore(&mut self, saved: &RawValue) {
        if self.histogram.is_some() {
            self.buckets = Buckets::restored(saved);
        } else {
            self.runs = from_saved(saved);
        }
    }
}

impl Latency {
    fn quantiles(&self) -> Quantiles {
        Quantiles([self.p50, self.p90, self.p95, self.p99, self.p999, self.max])
    }

    fn verdict(&self, limits: &Quantiles, gained: &Histogram) -> Verdict {
        let (observations, window) = (gained.observations(), self.window);
        if observations < f64::from(self.min_samples.get()) {
            return no_data::too_few(observations, self.min_samples.get(), self.when_idle, &window.to_string());
        }
        let (mut beyond, mut is_finite) = (Vec::new(), true);
        let mut verdict = limits.verdict(|share| {
            let quantile = gained.quantile(share);
            beyond.push(matches!(quantile, Some(Quantile::AtLeast(_))));
            let value = quantile.map_or(f64::NAN, |(Quantile::At(value) | Quantile::AtLeast(value))| value);
            is_finite &= value.is_finite();
            if value.is_finite() { value } else { f64::NAN }
        });
        if !is_finite && !matches!(verdict.outcome, Outcome::Fail(_)) {
            let not_finite = no_data::not_finite("a percentile, from buckets such as le=\"-Inf\",");
            (verdict.outcome, verdict.summary) = (not_finite.outcome, not_finite.summary);
            return verdict;
        }
        // The last bound stands for all that is slower: it may be beyond a limit, but is never known to be within one.
        let is_open = |measure: &Measure| match measure.outcome() {
            Outcome::Fail(_) => false,
            Outcome::Warn => measure.fail.is_some(),
            _ => true,
        };
        let unclear = verdict.measures.iter().zip(beyond).find(|(measure, beyond)| *beyond && is_open(measure));
        if let Some((measure, _)) = unclear
            && !matches!(verdict.outcome, Outcome::Fail(_))
        {
            let (name, last) = (&measure.name, Unit::Seconds.format_value(measure.value));
            verdict.summary = format!("{name} is beyond {last}, the last bucket of the histogram, and so is its limit");
            verdict.outcome = Outcome::Unknown(Reason::Limit);
        } else {
            verdict.summary.push_str(&format!(" ({observations} observations in {window})"));
        }
        verdict
    }
}

/// Verdict on a page without the histogram. A summary, or a histogram without buckets, has the other series.
fn no_histogram(page: &Page, histogram: &Selector, buckets: &Selector, when_idle: Option<WhenNoData>) -> Verdict {
    let name = histogram.name().unwrap_or_default();
    let has_other_series = page.mismatch(buckets).is_some_and(|mismatch| {
        let similar = mismatch.similar_name().and_then(|similar| similar.strip_prefix(name));
        similar.is_some_and(|rest| matches!(rest, "" | "_count" | "_sum"))
    });
    if has_other_series {
        let message = format!(
            "`{histogram}` is no histogram with buckets: if it is a summary, limit its quantiles with the check `value` \
             on `{name}{{quantile=\"..\"}}`; if it is a native histogram, add classic buckets"
        );
        return Verdict::new(Outcome::Unknown(Reason::Empty), message);
    }
    let mut verdict = no_data::no_event_yet(page, buckets, when_idle);
    verdict.summary.insert_str(0, "the histogram has no buckets: ");
    verdict
}

/// More buckets than a histogram has.
const MAX_BOUNDS: usize = 500;

/// Maximum number of gains of buckets in a window: 16 MiB.
const MAX_GAINS: usize = 1_000_000;

/// The gains of the buckets of a histogram, added up over its series.
#[derive(Debug, Default)]
struct Buckets {
    /// Upper bounds in the order in which they were first seen.
    bounds: Vec<f64>,
    /// For each scrape the buckets that have gained, by the place of their bound, and how much.
    gains: Increases<Vec<(u16, f64)>>,
}

impl Buckets {
    /// Adds a scrape and returns the increases of the buckets.
    fn scrape<'a>(
        &mut self,
        seen: &Observation<Page>,
        page: &Page,
        window: Period,
        buckets: Vec<&'a Series>,
    ) -> ScrapeGains<'a> {
        let Self { bounds, gains } = self;
        let mut gained = HashMap::new();
        let bound = |series: &Series| series.label("le").parse().ok().filter(|bound: &f64| !bound.is_nan());
        let buckets = buckets.into_iter().filter(|series| bound(series).is_some()).collect();
        let of_scrape = gains.scrape(seen, page, window, vec![buckets]);
        for (series, gain) in of_scrape.sets.iter().flatten() {
            let Some(bound) = bound(series) else { continue };
            let place = bounds.iter().position(|known| *known == bound).unwrap_or_else(|| {
                // One more than allowed is remembered, and that is noticed.
                if bounds.len() <= MAX_BOUNDS {
                    bounds.push(bound);
                }
                bounds.len() - 1
            });
            if let Ok(place) = u16::try_from(place) {
                *gained.entry(place).or_default() += gain;
            }
        }
        gained.retain(|_, gain| *gain != 0.0);
        gains.end_scrape(window, gained.into_iter().collect());
        if gains.scrape_results().is_some_and(|kept| kept.map(Vec::len).sum::<usize>() > MAX_GAINS) {
            gains.discard();
        }
        of_scrape
    }

    /// Increase of each bucket over the window; `None` until the window holds two scrapes.
    fn counts(&self) -> Option<Vec<(f64, f64)>> {
        let mut counts: Vec<_> = self.bounds.iter().map(|bound| (*bound, 0.0)).collect();
        for (place, gain) in self.gains.scrape_results()?.flatten() {
            if let Some((_, count)) = counts.get_mut(usize::from(*place)) {
                *count += gain;
            }
        }
        Some(counts)
    }

    fn save(&self) -> Option<Box<RawValue>> {
        // As bits, for JSON has no infinity.
        let bounds: Vec<u64> = self.bounds.iter().map(|bound| bound.to_bits()).collect();
        to_saved(&(bounds, &self.gains))
    }

    fn restored(saved: &RawValue) -> Self {
        let (bounds, gains): (Vec<u64>, _) = from_saved(saved);
        // An unknown number of bounds would slow every scrape down.
        if bounds.len() > MAX_BOUNDS + 1 {
            return Self::default();
        }
        Self { bounds: bounds.into_iter().map(f64::from_bits).collect(), gains }
    }
}

#[cfg(test)]
mod tests;
