//! Change of a value per second over a window.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{checks::window::Window, model::units::Period};

/// The values of a window. The window survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Slope(Window<f64>);

impl Slope {
    /// Adds a finite value and returns the slope of the least-squares line through the window, in units per second, as
    /// the Prometheus function `deriv` does. Returns `None` until the window holds values of two moments.
    pub(super) fn add(&mut self, at: Timestamp, window: Period, value: f64) -> Option<f64> {
        self.0.push(at, window, value);
        let (newest, count) = (at.as_millisecond(), self.0.len() as f64);
        // Times relative to the newest run keep the sums small.
        let points = || self.0.runs().map(|(at, value)| ((at - newest) as f64 / 1e3, *value));
        let mean = |sum: f64| sum / count;
        let (mean_time, mean_value) =
            (mean(points().map(|(time, _)| time).sum()), mean(points().map(|(_, v)| v).sum()));
        let deviation = |(time, value): (f64, f64)| (time - mean_time, value - mean_value);
        let (products, squares) = points()
            .map(deviation)
            .fold((0.0, 0.0), |(products, squares), (time, value)| (products + time * value, squares + time * time));
        (squares > 0.0).then(|| products / squares)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WINDOW: Period = Period(Duration::from_secs(60));

    fn slope_of(points: &[(i64, f64)]) -> Option<f64> {
        let mut slope = Slope::default();
        points.iter().map(|(at, value)| slope.add(Timestamp::from_second(*at).unwrap(), WINDOW, *value)).last().unwrap()
    }

    #[test]
    fn the_slope_is_that_of_the_least_squares_line() {
        for (points, expected) in [
            (&[(0, 5.0)][..], None),
            (&[(0, 5.0), (0, 9.0)], None),
            (&[(0, 0.0), (10, 20.0)], Some(2.0)),
            (&[(0, 20.0), (10, 0.0)], Some(-2.0)),
            (&[(0, 7.0), (10, 7.0), (20, 7.0)], Some(0.0)),
            // By hand: times 0, 10, 20, 30, values 0, 10, 0, 30: (15 * 10 + 5 * 0 - ...) / 500.
            (&[(0, 0.0), (10, 10.0), (20, 0.0), (30, 30.0)], Some(0.8)),
            // Values older than the window do not count.
            (&[(0, 900.0), (100, 0.0), (110, 10.0)], Some(1.0)),
        ] {
            assert_eq!(slope_of(points), expected, "{points:?}");
        }
        let large = slope_of(&[(1_800_000_000, 1e12), (1_800_000_010, 1e12 + 10.0)]).unwrap();
        assert!((large - 1.0).abs() < 1e-9, "{large}");
    }
}
