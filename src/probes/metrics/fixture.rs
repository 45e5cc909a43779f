//! Scrapes for the tests of the checks. The parser reads the pages, so that tests use only facts that it can produce.

use jiff::Timestamp;

pub(super) use crate::checks::fixture::TIMING;
use crate::{
    checks::fixture::{failed as failed_run, worked},
    model::{check::Check, measure::Measure, observation::Observation, verdict::Verdict, words::Reason},
    probes::metrics::exposition_format::{
        page::{Format, Page},
        parser::{Parser, ParserLimits, Wanted},
        selector::Selector,
    },
};

/// The facts of a page at the time 0, with the series of some selectors.
pub(super) fn parse(page: &str, selectors: &[&str]) -> Page {
    parse_at(0, page, selectors.iter().map(|text| text.parse().unwrap()).collect())
}

fn parse_at(at: i64, page: &str, selectors: Vec<Selector>) -> Page {
    let wanted = Wanted::from(selectors);
    let at = Timestamp::from_second(at).unwrap();
    let mut parser = Parser::new(&wanted, ParserLimits::default(), Format::Text, Some(at));
    parser.feed(page.as_bytes()).unwrap();
    parser.finish().unwrap()
}

/// A scrape of a page at a second of the epoch, with all series.
pub(super) fn scrape(at: i64, page: &str) -> Observation<Page> {
    observed(at, parse_at(at, page, vec!["{__name__=~\".+\"}".parse().unwrap()]))
}

/// A scrape of a page for a check, with the facts that the check requests.
pub(super) fn scrape_for(check: &impl Check<Page>, at: i64, page: &str) -> Observation<Page> {
    observed(at, parse_at(at, page, check.requested_facts()))
}

fn observed(at: i64, page: Page) -> Observation<Page> {
    let Observation { duration, timing, phases, .. } = worked(0, 5);
    Observation { at: Timestamp::from_second(at).unwrap(), duration, timing, phases, facts: Some(page), failure: None }
}

/// Scrapes ten seconds apart.
pub(super) fn scrapes(pages: &[impl AsRef<str>]) -> Vec<Observation<Page>> {
    (0..).step_by(10).zip(pages).map(|(at, page)| scrape(at, page.as_ref())).collect()
}

/// A scrape that failed.
pub(super) fn failed(at: i64, reason: Reason) -> Observation<Page> {
    Observation { facts: None, failure: failed_run(0, reason).failure, ..scrape(at, "") }
}

/// The verdict on the last of some scrapes.
pub(super) fn last(check: &mut impl Check<Page>, scrapes: Vec<Observation<Page>>) -> Verdict {
    scrapes.iter().map(|seen| check.judge(seen)).last().unwrap()
}

/// The steps of a check's limits, as their series have them.
pub(crate) fn steps(check: &impl Check<Page>) -> Vec<String> {
    let step = |measure: &Measure| {
        let (name, bound) = (measure.name, measure.bound.as_str());
        measure.levels().map(move |(level, at)| format!("{name} {bound} {level} {at}")).collect::<Vec<_>>()
    };
    check.limits().iter().flat_map(step).collect()
}
