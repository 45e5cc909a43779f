//! The parts of a page that checks request: series, reasons for absent series, and start times of counters.

use std::collections::{HashMap, hash_map::Entry};

use super::super::{
    format::Format,
    mismatch::{MatchProgress, SeenNames},
    page::{Page, UntimelySeries, is_timely},
    selector::Selector,
    series::{Series, created_name},
};

/// Metric with the start time of a process.
pub(super) const PROCESS_START: &str = "process_start_time_seconds";

/// Selectors of the checks of a probe.
#[derive(Debug, Default)]
pub struct Wanted {
    selectors: Vec<Selector>,
    /// Metric names of the selectors, sorted.
    names: Vec<Box<str>>,
    /// Names of the metrics with the start times of the selected counters, sorted.
    created: Vec<Box<str>>,
    /// Whether a selector does not fix the name.
    any_name: bool,
}

impl From<Vec<Selector>> for Wanted {
    fn from(selectors: Vec<Selector>) -> Self {
        let sorted = |mut names: Vec<Box<str>>| {
            names.sort();
            names.dedup();
            names
        };
        let names = sorted(selectors.iter().filter_map(Selector::name).map(Into::into).collect());
        let created = sorted(names.iter().map(|name| created_name(name).into()).collect());
        let any_name = selectors.iter().any(|selector| selector.name().is_none());
        Self { selectors, names, created, any_name }
    }
}

impl Wanted {
    /// Whether a series with this name is kept or compared with the selectors.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.may_select(name) || self.has_start_time(name)
    }

    fn may_select(&self, name: &str) -> bool {
        self.any_name || self.names.binary_search_by(|wanted| (**wanted).cmp(name)).is_ok()
    }

    fn has_start_time(&self, name: &str) -> bool {
        name == PROCESS_START || self.created.binary_search_by(|wanted| (**wanted).cmp(name)).is_ok()
    }
}

/// The kept parts of the page.
#[derive(Debug)]
pub(super) struct KeptParts<'w> {
    wanted: &'w Wanted,
    format: Format,
    /// Time of the scrape in milliseconds since the epoch; `None` ignores the timestamps of samples.
    scraped_at: Option<i64>,
    series: Vec<Series>,
    untimely: Vec<UntimelySeries>,
    untimely_samples: u64,
    duplicates: u64,
    /// Place of each kept series, by its identity.
    places: HashMap<Box<str>, usize>,
    bytes: usize,
    progress: Vec<MatchProgress>,
    names: SeenNames,
    /// Start times of counters, by the identity of their series.
    created: HashMap<Box<str>, f64>,
    process_starts: Vec<f64>,
}

impl<'w> KeptParts<'w> {
    pub(super) fn new(wanted: &'w Wanted, format: Format, scraped_at: Option<i64>) -> Self {
        let mut progress = Vec::new();
        progress.resize_with(wanted.selectors.len(), MatchProgress::default);
        Self {
            wanted,
            format,
            scraped_at,
            series: Vec::new(),
            untimely: Vec::new(),
            untimely_samples: 0,
            duplicates: 0,
            places: HashMap::new(),
            bytes: 0,
            progress,
            names: SeenNames::default(),
            created: HashMap::new(),
            process_starts: Vec::new(),
        }
    }

    /// Memory of the series in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes the name and the timestamp of a sample, requested or not. Returns whether the sample may be requested.
    pub(super) fn note(&mut self, name: &str, at: Option<i64>) -> bool {
        self.names.add(name);
        self.untimely_samples += u64::from(self.is_untimely(at));
        self.wanted.may_have(name)
    }

    fn is_untimely(&self, at: Option<i64>) -> bool {
        at.zip(self.scraped_at).is_some_and(|(at, now)| !is_timely(at, now))
    }

    /// Keeps a series if it is requested.
    pub(super) fn add(&mut self, series: Series) {
        if self.wanted.has_start_time(&series.name) {
            self.add_start_time(&series);
        }
        let mut is_requested = false;
        for (selector, progress) in self.wanted.selectors.iter().zip(&mut self.progress) {
            is_requested |= progress.add(selector, &series);
        }
        if !is_requested {
            return;
        }
        if let (true, Some(scraped_at)) = (self.is_untimely(series.at), self.scraped_at) {
            self.bytes += series.bytes();
            self.untimely.push(UntimelySeries { series, scraped_at, format: self.format });
            return;
        }
        match self.places.entry(series.id.clone()) {
            Entry::Vacant(free) => {
                free.insert(self.series.len());
                self.bytes += series.bytes();
                self.series.push(series);
            }
            Entry::Occupied(place) => {
                self.duplicates += 1;
                // The newest of several samples with timestamps counts.
                if let Some(known) = self.series.get_mut(*place.get())
                    && known.at.zip(series.at).is_some_and(|(known, new)| new > known)
                {
                    *known = series;
                }
            }
        }
    }

    fn add_start_time(&mut self, series: &Series) {
        if *series.name == *PROCESS_START {
            // Two values are enough to know that there is no single process.
            if self.process_starts.len() < 2 {
                self.process_starts.push(series.value);
            }
            return;
        }
        self.bytes += series.id.len() + 64;
        self.created.entry(series.id.clone()).or_insert(series.value);
    }

    /// Completes the page.
    pub(super) fn finish(self, page: Page) -> Page {
        let Self { wanted, mut series, mut untimely, created, progress, names, .. } = self;
        if !created.is_empty() {
            for series in &mut series {
                series.created = created.get(series.created_id().as_str()).copied();
            }
        }
        // A newer sample replaces a sample that is too old.
        untimely.retain(|untimely| !self.places.contains_key(&untimely.series.id));
        let reasons = wanted.selectors.iter().zip(progress);
        let mut unmatched: Vec<(Selector, _)> = reasons
            .filter_map(|(selector, progress)| Some((selector.clone(), progress.mismatch(selector, &names)?)))
            .collect();
        unmatched.dedup_by(|(a, _), (b, _)| a == b);
        Page {
            series,
            untimely,
            untimely_samples: self.untimely_samples,
            duplicates: self.duplicates,
            process_start: match *self.process_starts {
                [start] if start.is_finite() => Some(start),
                _ => None,
            },
            unmatched,
            ..page
        }
    }
}
