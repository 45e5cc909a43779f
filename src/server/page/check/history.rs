//! Values, recent runs and status changes of a check.

use jiff::Timestamp;
use maud::{Markup, html};

use super::series;
use crate::{
    board::{CheckState, PastRun, ProbeState, ValueSeries},
    model::{
        measure::{Bound, Measure},
        units::Unit,
        words::Status,
    },
    server::page::{
        capitalize, chart, elapsed,
        navigation::{finding, moment},
        status_icon,
    },
};

/// The measures of the last verdict against their limits, each with its values in the recent runs. Without a verdict, the
/// table shows the configured limits.
pub(super) fn values(probe: &ProbeState, check: &CheckState) -> Markup {
    let current = check.verdict.as_ref().map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    let shown = if current.is_empty() { &*check.limits.measures } else { current };
    html! {
        @if !shown.is_empty() || check.values.iter().next().is_some() {
            section aria-labelledby="values" {
                h2 #values { "Values and limits" }
                @if current.is_empty() { p { "The last run measured nothing." } }
                @if !shown.is_empty() { (table(shown)) }
                @for past in check.values.iter() {
                    @let limits = measures_of(check, past);
                    // A line between two codes means nothing; the table of the runs has the codes.
                    @if limits.iter().all(|limit| limit.unit != Unit::Code) {
                        (series::chart(past, &limits, span(probe, past)))
                    }
                }
            }
        }
    }
}

fn table(measures: &[Measure]) -> Markup {
    html! {
        div .wide {
            table {
                thead { tr { th { "Measure" } th { "Value" } th { "Warns" } th { "Fails" } th { "Headroom" } } }
                tbody {
                    @for bounds in measures.chunk_by(|a, b| a.name == b.name && a.subject == b.subject) {
                        @if let Some(measure) = bounds.first() {
                            tr {
                                td data-label="Measure" { (measure.display_name()) }
                                td data-label="Value" { (value_text(measure)) }
                                td data-label="Warns" { (condition(bounds, |measure| measure.warn)) }
                                td data-label="Fails" { (condition(bounds, |measure| measure.fail)) }
                                td data-label="Headroom" { (headroom_text(bounds)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn value_text(measure: &Measure) -> Markup {
    html! {
        @if measure.value.is_nan() { "not measured" } @else { b { (measure.unit.format_value(measure.value)) } }
    }
}

/// The condition on a value under which one step of its limits is exceeded. The two ends of a range of codes are one
/// condition.
fn condition(bounds: &[Measure], step: impl Fn(&Measure) -> Option<f64>) -> String {
    let limits: Vec<_> =
        bounds.iter().filter_map(|measure| Some((measure.bound, measure.unit.format_value(step(measure)?)))).collect();
    let is_code = bounds.iter().all(|measure| measure.unit == Unit::Code);
    match limits.as_slice() {
        [] => "\u{2013}".to_owned(),
        [(Bound::Min, first), (Bound::Max, last)] if is_code => format!("other than {first} to {last}"),
        limits => {
            limits.iter().map(|(bound, limit)| format!("{}{limit}", sign(*bound))).collect::<Vec<_>>().join(" or ")
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

/// The share that is left up to the nearest limit, or the ratio between a value and the limit that it exceeds.
fn headroom_text(bounds: &[Measure]) -> String {
    const NONE: &str = "\u{2013}";
    let nearest = bounds.iter().filter_map(|measure| Some((measure, measure.headroom()?)));
    let Some((measure, share)) = nearest.min_by(|(_, a), (_, b)| a.total_cmp(b)) else { return NONE.to_owned() };
    let limit = measure.fail.or(measure.warn).unwrap_or_default();
    let ratio = measure.value / limit;
    match measure.bound {
        Bound::Equals => NONE.to_owned(),
        _ if share >= 0.0 => Unit::Ratio.format_value(share),
        _ if limit <= 0.0 || !ratio.is_finite() => "none".to_owned(),
        Bound::Max if ratio >= 2.0 => format!("none: {ratio:.1} times the limit"),
        _ => format!("none: {} of the limit", Unit::Ratio.format_value(ratio)),
    }
}

/// The measures of the last verdict, or the limits of the configuration, that belong to past values.
fn measures_of(check: &CheckState, past: &ValueSeries) -> Vec<Measure> {
    let current = check.verdict.iter().flat_map(|verdict| &verdict.measures);
    let found: Vec<Measure> = current.filter(|measure| past.is_of(measure)).cloned().collect();
    if !found.is_empty() {
        return found;
    }
    check.limits.measures.iter().filter(|limit| past.name == limit.name).cloned().collect()
}

/// The times of the first and the last run that have a place in a series.
fn span(probe: &ProbeState, past: &ValueSeries) -> Option<(Timestamp, Timestamp)> {
    let time = |run: &PastRun| Timestamp::from_second(i64::from(run.at)).ok();
    let first = probe.recent.iter().rev().nth(past.values.len().checked_sub(1)?)?;
    Some((time(first)?, time(probe.recent.back()?)?))
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
                    summary {
                        @if check.recent.len() == 1 { "The last run with its time" }
                        @else { "The last " (check.recent.len()) " runs with times" }
                    }
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
        Some(measures_of(check, series).first()?.unit.format_value(f64::from(value)))
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
                    table .changes {
                        thead { tr { th { "Time" } th { "Ago" } th { "From" } th { "To" } th { "Finding" } } }
                        tbody {
                            @for change in check.changes.iter().rev() {
                                tr {
                                    td data-label="Time" { (moment(change.at)) }
                                    td data-label="Ago" { (elapsed(change.at, now)) }
                                    td data-label="From" { (status_cell(change.from)) }
                                    td data-label="To" { (status_cell(change.to)) }
                                    td data-label="Finding" { (finding(&change.finding)) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit::{Max, Min};

    #[test]
    fn the_two_ends_of_a_range_of_codes_are_one_condition() {
        let fails = |measures: &[Measure]| condition(measures, |measure| measure.fail);
        assert_eq!(fails(&Measure::of_code("status", 503, 200..=299)), "other than 200 to 299");
        assert_eq!(fails(&Measure::of_code("status", 503, 401..=401)), "other than 401");
        assert_eq!(fails(&[Measure::of_unlimited_code("status", 503)]), "\u{2013}");
        let range = [Min::<f64>::single(5.0).measure("value", 1.0), Max::<f64>::single(9.0).measure("value", 1.0)];
        assert_eq!(fails(&range), "below 5 or above 9");
    }

    #[test]
    fn a_value_beyond_its_limit_is_compared_with_the_limit() {
        for (value, text) in
            [(30.0, "70%"), (100.0, "0%"), (150.0, "none: 150% of the limit"), (732.0, "none: 7.3 times the limit")]
        {
            let measure = Max::<f64>::single(100.0).measure("value", value);
            assert_eq!(headroom_text(&[measure]), text, "{value}");
        }
        let below = Min::<f64>::single(100.0).measure("value", 12.0);
        assert_eq!(headroom_text(&[below]), "none: 12% of the limit");
        let never = Max::<f64>::single(0.0).measure("value", 3.0);
        assert_eq!(headroom_text(&[never]), "none");
    }
}
