//! Values, recent runs and status changes of a check.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{moment, series};
use crate::{
    board::{CheckState, PastRun, ProbeState, ValueSeries},
    model::{
        measure::{Bound, Measure},
        units::Unit,
        words::Status,
    },
    server::page::{capitalize, chart, elapsed, status_icon},
};

/// The measures of the last verdict against their limits, each with its values in the recent runs.
pub(super) fn values(check: &CheckState) -> Markup {
    let current = check.verdict.as_ref().map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    html! {
        @if !current.is_empty() || check.values.iter().next().is_some() {
            section aria-labelledby="values" {
                h2 #values { "Values and limits" }
                @if current.is_empty() {
                    p { "The last run measured nothing. The charts show earlier runs." }
                } @else { (table(current)) }
                @for past in check.values.iter() {
                    @if let Some(like) = measure_of(check, past) { (series::chart(past, like)) }
                }
            }
        }
    }
}

fn table(measures: &[Measure]) -> Markup {
    let limit = |measure: &Measure, limit: Option<f64>| match limit {
        Some(limit) => format!("{}{}", sign(measure.bound), measure.unit.format_value(limit)),
        None => "\u{2013}".to_owned(),
    };
    html! {
        div .wide {
            table {
                thead { tr { th { "Measure" } th { "Value" } th { "Warns" } th { "Fails" } th { "Headroom" } } }
                tbody {
                    @for measure in measures {
                        tr {
                            td data-label="Measure" { (measure.display_name()) }
                            td data-label="Value" { b { (measure.unit.format_value(measure.value)) } }
                            td data-label="Warns" { (limit(measure, measure.warn)) }
                            td data-label="Fails" { (limit(measure, measure.fail)) }
                            td data-label="Headroom" {
                                (measure.headroom().map_or("\u{2013}".to_owned(), |share| Unit::Ratio.format_value(share)))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The condition under which a value is beyond a limit.
fn sign(bound: Bound) -> &'static str {
    match bound {
        Bound::Max => "above ",
        Bound::Min => "below ",
        Bound::Equals => "other than ",
    }
}

/// The measure of the last verdict, or the limit of the configuration, that belongs to past values.
fn measure_of<'a>(check: &'a CheckState, past: &ValueSeries) -> Option<&'a Measure> {
    let current = check.verdict.iter().flat_map(|verdict| &verdict.measures);
    let limits = check.limits.measures.iter();
    current.clone().find(|measure| past.is_of(measure)).or_else(|| limits.clone().find(|limit| past.name == limit.name))
}

/// The recent runs as a strip, and as a table for exact times.
pub(super) fn recent_runs(probe: &ProbeState, check: &CheckState) -> Markup {
    let series: Vec<&ValueSeries> = check.values.iter().collect();
    html! {
        section aria-labelledby="runs" {
            h2 #runs { "Recent runs" }
            @if check.recent.is_empty() { p { "The check has not run since the start of the daemon." } }
            @else {
                (chart::history_strip(check))
                details {
                    summary { "The last " (check.recent.len()) " runs with times" }
                    div .wide {
                        table {
                            thead {
                                tr {
                                    th { "Start" } th { "Result" } th { "Duration" }
                                    @for series in &series { th { (series_name(series)) } }
                                }
                            }
                            tbody {
                                @for (at, (status, run)) in runs(probe, check).enumerate() {
                                    (run_row(check, &series, at, status, run))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The recent results, the latest first, each with its run. The last run corresponds to the last result; one of the
/// lists may be longer.
fn runs<'a>(probe: &'a ProbeState, check: &'a CheckState) -> impl Iterator<Item = (Status, Option<&'a PastRun>)> {
    let runs = probe.recent.iter().rev().map(Some).chain(std::iter::repeat(None));
    check.recent.iter().rev().copied().zip(runs)
}

fn run_row(check: &CheckState, series: &[&ValueSeries], at: usize, status: Status, run: Option<&PastRun>) -> Markup {
    let start = run.and_then(|run| Timestamp::from_second(i64::from(run.at)).ok());
    let value = |series: &ValueSeries| {
        let value = series.values.iter().rev().nth(at).copied().filter(|value| !value.is_nan())?;
        Some(measure_of(check, series)?.unit.format_value(f64::from(value)))
    };
    html! {
        tr {
            td data-label="Start" { @match start { Some(start) => (moment(start)), None => "\u{2013}" } }
            td data-label="Result" { (status_cell(status)) }
            td data-label="Duration" {
                @match run.filter(|run| run.duration > 0.0) {
                    Some(run) => (Unit::Seconds.format_value(f64::from(run.duration))),
                    None => "\u{2013}",
                }
            }
            @for series in series {
                td data-label=(series_name(series)) { (value(series).unwrap_or_else(|| "\u{2013}".to_owned())) }
            }
        }
    }
}

fn series_name(series: &ValueSeries) -> String {
    match &series.subject {
        Some(subject) => format!("{} of {subject}", series.name),
        None => series.name.clone(),
    }
}

/// The status changes, the latest first.
pub(super) fn changes(check: &CheckState, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Changes" }
            @if check.changes.iter().next().is_none() { p { "The status has not changed yet." } }
            @else {
                div .wide {
                    table {
                        thead { tr { th { "Time" } th { "Ago" } th { "From" } th { "To" } th { "Finding" } } }
                        tbody {
                            @for change in check.changes.iter().rev() {
                                tr {
                                    td data-label="Time" { (moment(change.at)) }
                                    td data-label="Ago" { (elapsed(change.at, now)) }
                                    td data-label="From" { (status_cell(change.from)) }
                                    td data-label="To" { (status_cell(change.to)) }
                                    td data-label="Finding" { (change.finding) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn status_cell(status: Status) -> Markup {
    html! { span .state.(status) { (status_icon(status)) (capitalize(status.as_str())) } }
}
