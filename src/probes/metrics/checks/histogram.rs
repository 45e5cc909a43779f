//! Quantiles of a classic histogram, computed exactly as by `histogram_quantile` of Prometheus
//! (<https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile>).

/// A histogram with cumulative buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper bound and count of each bucket, both ascending.
    buckets: Vec<(f64, f64)>,
}

/// A quantile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// Value by interpolation within a bucket.
    At(f64),
    /// Lower bound of the value, for a quantile in the bucket without an upper bound. Prometheus returns the lower
    /// bound.
    AtLeast(f64),
}

impl Histogram {
    /// Creates a histogram from buckets in any order. Counts of equal bounds are added. A count below that of the
    /// previous bucket is raised to it, because a service may update a histogram during a scrape. `None` without a
    /// bucket `+Inf` or without another bucket.
    #[must_use]
    pub fn new(buckets: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let mut sorted: Vec<_> = buckets.into_iter().filter(|(bound, _)| !bound.is_nan()).collect();
        sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(sorted.len());
        for (bound, count) in sorted {
            match buckets.last_mut() {
                Some((last, sum)) if *last == bound => *sum += count,
                _ => buckets.push((bound, count)),
            }
        }
        let mut most = f64::NEG_INFINITY;
        for (_, count) in &mut buckets {
            most = most.max(*count);
            *count = most;
        }
        let has_end = buckets.last().is_some_and(|(bound, _)| *bound == f64::INFINITY);
        (has_end && buckets.len() > 1).then_some(Self { buckets })
    }

    /// Number of observations.
    #[must_use]
    pub fn observations(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// Value of a quantile; `None` without observations.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Quantile> {
        let rank = share * self.observations();
        // A count of 0 or NaN has no quantile.
        if self.observations().partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        let ((_, bounded), first) = (self.buckets.split_last()?, *self.buckets.first()?);
        let at = bounded.partition_point(|(_, count)| *count < rank);
        let Some(&(end, count)) = bounded.get(at) else {
            return bounded.last().map(|(bound, _)| Quantile::AtLeast(*bound));
        };
        let (start, below) = match at.checked_sub(1).and_then(|before| bounded.get(before)) {
            Some(before) => *before,
            // The first bucket starts at 0, unless its upper bound is 0 or negative.
            None if first.0 <= 0.0 => return Some(Quantile::At(first.0)),
            None => (0.0, 0.0),
        };
        Some(Quantile::At(start + (end - start) * ((rank - below) / (count - below))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_follow_the_rules_of_histogram_quantile() {
        use Quantile::{At, AtLeast};
        let cases = [
            ("within the first bucket", &[(1.0, 10.0), (2.0, 10.0), (INF, 10.0)][..], 0.5, Some(At(0.5))),
            ("within the second", &[(1.0, 5.0), (2.0, 10.0), (INF, 10.0)], 0.9, Some(At(1.8))),
            ("at a bound", &[(1.0, 5.0), (2.0, 10.0), (INF, 10.0)], 0.5, Some(At(1.0))),
            ("beyond the last bound", &[(1.0, 5.0), (2.0, 6.0), (INF, 10.0)], 0.9, Some(AtLeast(2.0))),
            ("a first bucket that ends at 0", &[(0.0, 9.0), (INF, 10.0)], 0.5, Some(At(0.0))),
            ("a first bucket below 0", &[(-1.0, 9.0), (1.0, 10.0), (INF, 10.0)], 0.5, Some(At(-1.0))),
            ("out of order", &[(INF, 10.0), (2.0, 10.0), (1.0, 5.0)], 0.9, Some(At(1.8))),
            ("a bound twice", &[(1.0, 2.0), (1.0, 3.0), (2.0, 10.0), (INF, 10.0)], 0.9, Some(At(1.8))),
            ("counts that fall", &[(1.0, 5.0), (2.0, 4.0), (3.0, 10.0), (INF, 9.0)], 0.9, Some(At(2.8))),
            ("nothing observed", &[(1.0, 0.0), (INF, 0.0)], 0.5, None),
            ("NaN observed", &[(1.0, f64::NAN), (INF, f64::NAN)], 0.5, None),
            ("NaN as a bound", &[(f64::NAN, 3.0), (1.0, 10.0), (INF, 10.0)], 0.5, Some(At(0.5))),
        ];
        for (case, buckets, share, expected) in cases {
            assert_eq!(Histogram::new(buckets.iter().copied()).unwrap().quantile(share), expected, "{case}");
        }
        for (case, buckets) in
            [("no bucket +Inf", &[(1.0, 5.0), (2.0, 10.0)][..]), ("only +Inf", &[(INF, 5.0)]), ("no bucket", &[])]
        {
            assert_eq!(Histogram::new(buckets.iter().copied()), None, "{case}");
        }
    }

    proptest! {
        #[test]
        fn a_quantile_lies_within_the_bounds(counts in prop::collection::vec(0.0..1e9_f64, 2..20), share in 0.01..1.0_f64) {
            let last = counts.len() - 1;
            let buckets = (0..).zip(&counts).map(|(at, count)| (if at == last { INF } else { at as f64 }, *count));
            let histogram = Histogram::new(buckets).unwrap();
            if let Some(Quantile::At(value) | Quantile::AtLeast(value)) = histogram.quantile(share) {
                prop_assert!((0.0..=last as f64).contains(&value), "{value}");
            }
        }
    }
}
