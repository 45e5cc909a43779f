//! A line chart of the values of a measure in the recent runs, with the limits as horizontal lines.

use std::fmt::Write;

use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};

use crate::{
    board::ValueSeries,
    model::{measure::Measure, units::Unit, words::Status},
};

/// Height of the chart in the units of its view box.
const HEIGHT: f64 = 100.0;
/// Share of the range that is added above and below it, so that no line lies on an edge.
const PADDING: f64 = 0.1;
/// Growth of the range up to which a second limit is part of the chart. A more distant limit would flatten the line.
const MAX_GROWTH: f64 = 2.5;
/// Smallest distance between two labels of the vertical axis, as a share of the height.
const LABEL_DISTANCE: f64 = 0.16;

/// Class of the labels that state no limit.
const READING: &str = "reading";

/// Draws the values. `limits` are the measures that have the limits and the unit; `span` is the time of the first and of
/// the last run.
pub(super) fn chart(series: &ValueSeries, limits: &[Measure], span: Option<(Timestamp, Timestamp)>) -> Markup {
    let Some(unit) = limits.first().map(|limit| limit.unit) else { return html! {} };
    let scale = Scale::new(series, limits);
    let width = series.values.len().max(1);
    html! {
        figure .series .of-times[unit == Unit::Timestamp] {
            figcaption { (description(series, limits, &scale)) }
            // The caption contains the numbers.
            svg .axis aria-hidden="true" {
                @for (class, value) in scale.labels(limits) {
                    text class=(class) x="100%" y={ (scale.height(value)) "%" } { (unit.format_value(value)) }
                }
            }
            svg .plot viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                @for (status, limit) in steps(limits).filter(|(_, limit)| scale.contains(*limit)) {
                    path .limit.(status) d={ "M0 " (scale.height(limit)) "H" (width) } {}
                }
                path .line d=(line(series, &scale)) {}
            }
            @if let Some((first, last)) = span { p .times { (time_label(first, last)) (time_label(last, first)) } }
        }
    }
}

/// The limits of measures with the status beyond each.
fn steps(limits: &[Measure]) -> impl Iterator<Item = (Status, f64)> {
    let levels = limits.iter().flat_map(|limit| [(Status::Warn, limit.warn), (Status::Fail, limit.fail)]);
    levels.filter_map(|(status, limit)| Some((status, limit?))).filter(|(_, limit)| limit.is_finite())
}

/// The time of a run in UTC, with the date if the chart begins on another day than it ends.
fn time_label(at: Timestamp, other: Timestamp) -> Markup {
    let (zoned, other) = (at.to_zoned(TimeZone::UTC), other.to_zoned(TimeZone::UTC));
    let format = if zoned.date() == other.date() { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M UTC" };
    html! { time datetime=(at) { (zoned.strftime(format)) } }
}

/// Range of the vertical axis.
struct Scale {
    low: f64,
    high: f64,
    /// The range without the padding.
    content: (f64, f64),
    /// Smallest and largest value.
    values: (f64, f64),
}

impl Scale {
    /// The range contains all values and the nearest limit, and further limits that are not too distant.
    fn new(series: &ValueSeries, limits: &[Measure]) -> Self {
        let values = || series.values.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite());
        let (mut low, mut high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        if low > high {
            (low, high) = (0.0, 0.0);
        }
        let values = (low, high);
        let distance = |limit: f64| (limit - high).max(low - limit).max(0.0);
        let mut others: Vec<f64> = steps(limits).map(|(_, limit)| limit).collect();
        others.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
        for (at, limit) in others.into_iter().enumerate() {
            let (wide_low, wide_high) = (low.min(limit), high.max(limit));
            let max_range = ((high - low) * MAX_GROWTH).max(high.abs() / 2.0);
            if at == 0 || wide_high - wide_low <= max_range {
                (low, high) = (wide_low, wide_high);
            }
        }
        // A range that begins near zero begins at zero, so that heights can be compared.
        if low > 0.0 && low < high / 2.0 {
            low = 0.0;
        }
        let padding = if high > low { (high - low) * PADDING } else { (high.abs() * PADDING).max(1.0) };
        let is_from_zero = low == 0.0 && high > 0.0;
        let content = (low, high);
        Self { low: if is_from_zero { 0.0 } else { low - padding }, high: high + padding, content, values }
    }

    fn contains(&self, value: f64) -> bool {
        let (low, high) = self.content;
        (low..=high).contains(&value)
    }

    /// The vertical position of a value, from the top.
    fn height(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        ((1.0 - share) * (HEIGHT - 4.0) * 10.0).round() / 10.0 + 2.0
    }

    /// The labels of the axis with their classes: limits first, then the largest and the smallest value, then zero. A
    /// label that would cover another one is left out.
    fn labels(&self, limits: &[Measure]) -> Vec<(&'static str, f64)> {
        let (smallest, largest) = self.values;
        let mut wanted: Vec<(&'static str, f64)> =
            steps(limits).map(|(status, limit)| (status.as_str(), limit)).collect();
        wanted.reverse();
        wanted.extend([(READING, largest), (READING, smallest), (READING, 0.0)]);
        let mut labels: Vec<(&'static str, f64)> = Vec::new();
        for (class, value) in wanted.into_iter().filter(|(_, value)| self.contains(*value)) {
            let is_free =
                |(_, other): &(_, f64)| (self.height(value) - self.height(*other)).abs() >= LABEL_DISTANCE * HEIGHT;
            if labels.iter().all(is_free) {
                labels.push((class, value));
            }
        }
        labels
    }
}

/// The path of the values, the latest at the right. A run without a value interrupts the line.
fn line(series: &ValueSeries, scale: &Scale) -> String {
    let mut path = String::new();
    let mut is_interrupted = true;
    for (at, value) in series.values.iter().enumerate() {
        if value.is_nan() {
            is_interrupted = true;
            continue;
        }
        let (x, y) = (at as f64 + 0.5, scale.height(f64::from(*value)));
        // A point without neighbours is a line of minimal length with round ends.
        let _ = if is_interrupted { write!(path, "M{x} {y}h.01") } else { write!(path, "L{x} {y}") };
        is_interrupted = false;
    }
    path
}

/// The content of the chart in words.
fn description(series: &ValueSeries, limits: &[Measure], scale: &Scale) -> String {
    let Some(unit) = limits.first().map(|limit| limit.unit) else { return String::new() };
    let values = || series.values.iter().map(|value| f64::from(*value)).filter(|value| !value.is_nan());
    let name = match &series.subject {
        Some(subject) => format!("{} of {subject}", series.name),
        None => series.name.clone(),
    };
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = (unit.format_value(low), unit.format_value(high));
    let range = if low == high { low } else { format!("{low} to {high}") };
    let runs = match (values().count(), series.values.len()) {
        (1, 1) => "the last run".to_owned(),
        (measured, runs) if measured == runs => format!("the last {runs} runs"),
        (measured, runs) => format!("{measured} of the last {runs} runs"),
    };
    let mut text = format!("{name} in {runs}: {range}");
    for (status, limit) in steps(limits) {
        let outside = if scale.contains(limit) { "" } else { " (outside of the chart)" };
        let _ = write!(text, "; {status} at {}{outside}", unit.format_value(limit));
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

    fn limits(warn: f64, fail: f64) -> Vec<Measure> {
        vec![Max::<f64>::two_steps(warn, fail).unwrap().measure("p95", 1.0)]
    }

    #[test]
    fn a_run_without_a_value_interrupts_the_line() {
        let series = series(&[1.0, 2.0, f32::NAN, 3.0]);
        let path = line(&series, &Scale::new(&series, &limits(4.0, 5.0)));
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
    }

    #[test]
    fn the_nearest_limit_is_always_in_the_chart_and_a_distant_one_is_described() {
        let (values, measures) = (series(&[1.0, 2.0]), limits(3.0, 1_000.0));
        let scale = Scale::new(&values, &measures);
        assert!(scale.contains(3.0) && !scale.contains(1_000.0));
        assert_eq!(
            description(&values, &measures, &scale),
            "p95 in the last 2 runs: 1 to 2; warn at 3; fail at 1000 (outside of the chart)"
        );
        let (values, measures) = (series(&[0.001]), limits(300.0, 400.0));
        let scale = Scale::new(&values, &measures);
        assert!(scale.contains(300.0) && scale.contains(400.0), "{} to {}", scale.low, scale.high);
        assert!(description(&values, &measures, &scale).starts_with("p95 in the last run: "));
    }

    #[test]
    fn lines_keep_a_distance_from_the_edges() {
        for (values, warn, fail) in [
            (&[100.0, 101.0][..], 110.0, 120.0),
            (&[5.0, 5.0], 5.0, 6.0),
            (&[-3.0, 8.0], 8.0, 9.0),
            (&[7.0], 7.5, 1_000.0),
        ] {
            let (values, measures) = (series(values), limits(warn, fail));
            let scale = Scale::new(&values, &measures);
            let nearest = steps(&measures).map(|(_, limit)| limit).filter(|limit| scale.contains(*limit));
            let drawn = values.values.iter().map(|value| f64::from(*value)).chain(nearest);
            for value in drawn {
                assert!((5.0..95.0).contains(&scale.height(value)), "{value} of {values:?} at {}", scale.height(value));
            }
        }
    }

    #[test]
    fn labels_do_not_cover_each_other_and_state_the_limits_first() {
        let values = series(&[0.99, 1.0]);
        let measures = limits(1.01, 20.0);
        let labels = Scale::new(&values, &measures).labels(&measures);
        assert_eq!(labels.first(), Some(&("warn", 1.01)), "{labels:?}");
        for (at, (_, one)) in labels.iter().enumerate() {
            let scale = Scale::new(&values, &measures);
            for (_, other) in &labels[at + 1..] {
                assert!((scale.height(*one) - scale.height(*other)).abs() >= LABEL_DISTANCE * HEIGHT, "{labels:?}");
            }
        }
    }

    #[test]
    fn values_without_a_range_have_a_scale() {
        for values in [&[0.0, 0.0][..], &[-5.0], &[f32::INFINITY, 1.0], &[f32::NAN], &[f32::INFINITY]] {
            let series = series(values);
            let scale = Scale::new(&series, &limits(1.0, 2.0));
            assert!(scale.high > scale.low, "{values:?}");
            assert!(!line(&series, &scale).contains("NaN"), "{values:?}");
        }
    }
}
