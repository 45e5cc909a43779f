//! Small SVG charts: a value against its limits, and the recent runs as a strip. Each chart has few elements regardless
//! of the length of the history, because a page may contain thousands of charts.

use std::fmt::Write;

use maud::{Markup, html};

use crate::{
    board::{CheckState, MAX_RECENT_RUNS},
    model::{measure::Measure, words::Status},
};

/// Draws the value as a bar and the limits as marks, on one scale from zero to the largest of them.
pub(super) fn limit_bar(measure: &Measure) -> Markup {
    let limits = [measure.warn, measure.fail].into_iter().flatten();
    let end = limits.clone().fold(measure.value, f64::max);
    let is_drawn = end.is_finite() && end > 0.0 && measure.value >= 0.0 && limits.clone().all(|limit| limit >= 0.0);
    let share = |value: f64| (value / end * 100.0).round();
    html! {
        @if is_drawn {
            // The text beside the chart contains the numbers.
            svg .bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                path .track d="M0 3h100" {}
                path d={ "M0 3h" (share(measure.value)) } {}
                path .mark d=(limits.map(|limit| format!("M{} 0v6", share(limit).clamp(0.5, 99.5))).collect::<String>()) {}
            }
        }
    }
}

/// Draws the recent runs, the latest at the right. A worse status has a taller line, so that the chart is readable
/// without colours.
pub(super) fn history_strip(check: &CheckState) -> Markup {
    let offset = MAX_RECENT_RUNS.saturating_sub(check.recent.len());
    let spans = status_spans(check.recent.iter().copied());
    let path = |status: Status| {
        let mut path = String::new();
        for (_, from, length) in spans.iter().filter(|(one, ..)| *one == status) {
            let _ = write!(path, "M{} {}h{length}", offset + from, line_position(status));
        }
        path
    };
    html! {
        @if !spans.is_empty() {
            svg .strip viewBox="0 0 60 12" preserveAspectRatio="none" role="img" {
                title { (describe_spans(check.recent.len(), &spans)) }
                @for status in Status::ALL.iter().filter(|status| spans.iter().any(|(one, ..)| one == *status)) {
                    path class=(status) d=(path(*status)) {}
                }
            }
        }
    }
}

/// Vertical position of a status's line: lines stand on the baseline, except the line of unknown results. The style
/// sheet sets the line widths and the gaps between runs.
fn line_position(status: Status) -> &'static str {
    match status {
        Status::Pass => "9.5",
        Status::Warn => "8",
        Status::Fail => "6",
        Status::Unknown => "4",
        Status::Pending | Status::Skipped => "11",
    }
}

type Span = (Status, usize, usize);

/// Groups consecutive runs with equal status: status, index of the first run, number of runs.
fn status_spans(recent: impl Iterator<Item = Status>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at, status) in recent.enumerate() {
        match spans.last_mut() {
            Some((last, _, length)) if *last == status => *length += 1,
            _ => spans.push((status, at, 1)),
        }
    }
    spans
}

fn describe_spans(runs: usize, spans: &[Span]) -> String {
    let sum = |status: Status| spans.iter().filter(|(one, ..)| *one == status).map(|(_, _, length)| length).sum();
    let parts: Vec<(Status, usize)> = match spans.len() {
        ..=3 => spans.iter().map(|(status, _, length)| (*status, *length)).collect(),
        _ => Status::ALL.iter().map(|status| (*status, sum(*status))).filter(|(_, count)| *count > 0).collect(),
    };
    let parts: Vec<_> = parts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    format!("last {runs} runs: {}", parts.join(if spans.len() > 3 { ", " } else { ", then " }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_is_told_in_words_too() {
        use Status::{Fail, Pass};
        let words = |recent: &[Status]| describe_spans(recent.len(), &status_spans(recent.iter().copied()));
        assert_eq!(words(&[Pass, Pass]), "last 2 runs: 2 pass");
        assert_eq!(words(&[Pass, Pass, Fail]), "last 3 runs: 2 pass, then 1 fail");
        assert_eq!(words(&[Pass, Fail, Pass, Fail]), "last 4 runs: 2 pass, 2 fail");
    }
}
