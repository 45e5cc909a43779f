//! When a probe runs next: pure arithmetic on instants.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::observation::Timing;

/// First runs are spread over at most this, so that a probe with an interval of an hour has a verdict soon.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// The plan of one probe: a grid of one interval, shifted by a hash of the name.
#[derive(Debug)]
pub(super) struct Plan {
    interval: Duration,
    retry_interval: Duration,
    /// The first slot of the grid.
    grid: Instant,
    next: Instant,
}

impl Plan {
    pub(super) fn new(name: &str, timing: Timing, origin: Instant) -> Self {
        let share = share(name);
        let Timing { interval, retry_interval, .. } = timing;
        let first = origin + interval.min(FIRST_WITHIN).mul_f64(share);
        Self { interval, retry_interval, grid: origin + interval.mul_f64(share), next: first }
    }

    /// When the next run is to start.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Runs earlier than planned; what follows keeps to the grid.
    pub(super) fn bring_forward(&mut self, to: Instant) {
        self.next = self.next.min(to);
    }

    /// The slot of the grid that follows an instant.
    pub(super) fn after(&self, now: Instant) -> Instant {
        let Some(past) = now.checked_duration_since(self.grid) else { return self.grid };
        let slots = past.as_nanos() / self.interval.as_nanos().max(1) + 1;
        // A u32 of intervals is 13 years at the shortest interval.
        self.grid + self.interval * u32::try_from(slots).unwrap_or(u32::MAX)
    }

    /// A run has ended: plans the next one, sooner while the probe fails, and tells how many slots have passed.
    pub(super) fn done(&mut self, now: Instant, failed: bool) -> u64 {
        let slot = self.after(self.next);
        let retry = self.next + self.retry_interval;
        let wanted = if failed && self.retry_interval < self.interval { retry.min(slot) } else { slot };
        if wanted >= now {
            self.next = wanted;
            return 0;
        }
        let resumed = self.after(now);
        let missed = if slot < now {
            (resumed - slot).as_nanos() / self.interval.as_nanos().max(1)
        } else {
            // Only the faster retry was missed: nothing that was promised.
            0
        };
        // A late retry is made up for at once.
        self.next = if slot >= now { now } else { resumed };
        u64::try_from(missed).unwrap_or(u64::MAX)
    }
}

/// A share of 0 to 1 that a name always gets: the same after each restart.
fn share(name: &str) -> f64 {
    // DefaultHasher::new() has fixed keys; should they ever change, starts are merely spread in another way.
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn timing(interval: u64, retry: u64) -> Timing {
        Timing {
            interval: Duration::from_secs(interval),
            retry_interval: Duration::from_secs(retry),
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn starts_are_spread_over_the_interval_and_the_same_after_a_restart() {
        let origin = Instant::now();
        let starts: Vec<f64> = (0..1_000)
            .map(|n| (Plan::new(&format!("probe-{n}"), timing(10, 10), origin).next() - origin).as_secs_f64())
            .collect();
        for tenth in 0..10 {
            let within = starts.iter().filter(|start| **start as u64 == tenth).count();
            assert!((60..=140).contains(&within), "{within} of 1000 start in second {tenth}");
        }
        assert_eq!(share("api"), share("api"));
        let slow = Plan::new("backups", timing(3_600, 3_600), origin);
        assert!(slow.next() - origin <= FIRST_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn runs_keep_to_their_grid_however_long_they_take() {
        let origin = Instant::now();
        let mut plan = Plan::new("api", timing(10, 10), origin);
        let first = plan.next();
        for n in 1..=100 {
            assert_eq!(plan.done(plan.next() + Duration::from_millis(n * 90), false), 0);
            assert_eq!(plan.next(), first + Duration::from_secs(10) * n as u32);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_probe_is_retried_sooner_and_returns_to_its_grid() {
        let mut plan = Plan::new("api", timing(10, 4), Instant::now());
        let first = plan.next();
        let seconds = Duration::from_secs;
        for offset in [4, 8, 10, 14] {
            plan.done(plan.next() + seconds(1), true);
            assert_eq!(plan.next(), first + seconds(offset));
        }
        plan.done(plan.next() + seconds(1), false);
        assert_eq!(plan.next(), first + seconds(20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overrun_is_counted_and_not_queued() {
        let mut plan = Plan::new("api", timing(10, 10), Instant::now());
        let first = plan.next();
        assert_eq!(plan.done(first + Duration::from_secs(35), false), 3);
        assert_eq!(plan.next(), first + Duration::from_secs(40));
    }
}
