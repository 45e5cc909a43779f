//! A line chart of the values of a measure in the recent runs, with the limits as horizontal lines.

use std::fmt::Write;

use maud::{Markup, html};

use crate::{
    board::{MAX_RECENT_RUNS, ValueSeries},
    model::{measure::Measure, words::Status},
};

/// Height of the chart in the units of its view box.
const HEIGHT: f64 = 100.0;
/// Largest ratio of a limit to the largest value at which the limit is part of the scale. A more distant limit would
/// flatten the line.
const MAX_LIMIT_RATIO: f64 = 5.0;

/// Draws the values. `like` is the measure that has the limits and the unit.
pub(super) fn chart(series: &ValueSeries, like: &Measure) -> Markup {
    let scale = Scale::new(series, like);
    html! {
        figure .series {
            figcaption { (description(series, like, &scale)) }
            svg viewBox={ "0 0 " (MAX_RECENT_RUNS) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                @for (status, limit) in limits(like).filter(|(_, limit)| scale.contains(*limit)) {
                    path .limit.(status) d={ "M0 " (scale.height(limit)) "H" (MAX_RECENT_RUNS) } {}
                }
                path .line d=(line(series, &scale)) {}
            }
        }
    }
}

/// The limits of a measure with the status beyond each.
fn limits(measure: &Measure) -> impl Iterator<Item = (Status, f64)> {
    let limits = [(Status::Warn, measure.warn), (Status::Fail, measure.fail)];
    limits.into_iter().filter_map(|(status, limit)| Some((status, limit?))).filter(|(_, limit)| limit.is_finite())
}

/// Range of the vertical axis.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn new(series: &ValueSeries, like: &Measure) -> Self {
        let values = || series.values.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite());
        let largest = values().fold(0.0, f64::max);
        let near = limits(like).map(|(_, limit)| limit).filter(|limit| *limit <= largest * MAX_LIMIT_RATIO);
        let high = near.fold(largest, f64::max) * 1.08;
        Self { low: values().fold(0.0, f64::min), high: if high > 0.0 { high } else { 1.0 } }
    }

    fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The vertical position of a value, from the top.
    fn height(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        ((1.0 - share) * (HEIGHT - 2.0) * 10.0).round() / 10.0 + 1.0
    }
}

/// The path of the values, the latest at the right. A run without a value interrupts the line.
fn line(series: &ValueSeries, scale: &Scale) -> String {
    let offset = MAX_RECENT_RUNS.saturating_sub(series.values.len());
    let mut path = String::new();
    let mut is_interrupted = true;
    for (at, value) in series.values.iter().enumerate() {
        if value.is_nan() {
            is_interrupted = true;
            continue;
        }
        let (x, y) = (offset as f64 + at as f64 + 0.5, scale.height(f64::from(*value)));
        // A point without neighbours is a line of minimal length with round ends.
        let _ = if is_interrupted { write!(path, "M{x} {y}h.01") } else { write!(path, "L{x} {y}") };
        is_interrupted = false;
    }
    path
}

/// The content of the chart in words.
fn description(series: &ValueSeries, like: &Measure, scale: &Scale) -> String {
    let values = || series.values.iter().map(|value| f64::from(*value)).filter(|value| !value.is_nan());
    let name = match &series.subject {
        Some(subject) => format!("{} of {subject}", series.name),
        None => series.name.clone(),
    };
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = (like.unit.format_value(low), like.unit.format_value(high));
    let range = if low == high { low } else { format!("{low} to {high}") };
    let mut text = format!("{name} in {} of the last {} runs: {range}", values().count(), series.values.len());
    for (status, limit) in limits(like) {
        let outside = if scale.contains(limit) { "" } else { ", outside of the chart" };
        let _ = write!(text, "; {status} at {}{outside}", like.unit.format_value(limit));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit::Max;

    fn series(values: &[f32]) -> ValueSeries {
        ValueSeries { name: "p95".to_owned(), subject: None, values: values.iter().copied().collect() }
    }

    fn measure(warn: f64, fail: f64) -> Measure {
        Max::<f64>::two_steps(warn, fail).unwrap().measure("p95", 1.0)
    }

    #[test]
    fn a_run_without_a_value_interrupts_the_line() {
        let series = series(&[1.0, 2.0, f32::NAN, 3.0]);
        let path = line(&series, &Scale::new(&series, &measure(4.0, 5.0)));
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
    }

    #[test]
    fn a_distant_limit_does_not_flatten_the_line_and_is_described() {
        let (series, like) = (series(&[1.0, 2.0]), measure(3.0, 1_000.0));
        let scale = Scale::new(&series, &like);
        assert!(scale.contains(3.0) && !scale.contains(1_000.0));
        assert_eq!(
            description(&series, &like, &scale),
            "p95 in 2 of the last 2 runs: 1 to 2; warn at 3; fail at 1000, outside of the chart"
        );
    }

    #[test]
    fn values_without_a_range_have_a_scale() {
        for values in [&[0.0, 0.0][..], &[-5.0], &[f32::INFINITY, 1.0]] {
            let series = series(values);
            let scale = Scale::new(&series, &measure(1.0, 2.0));
            assert!(scale.high > scale.low, "{values:?}");
            assert!(!line(&series, &scale).contains("NaN"), "{values:?}");
        }
    }
}
