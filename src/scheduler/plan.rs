//! Computes the start times of a probe's runs. It is pure arithmetic on instants.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::observation::Timing;

/// Longest delay of a probe's first run, so that an hourly probe has a verdict soon after a start.
const MAX_INITIAL_DELAY: Duration = Duration::from_secs(10);

/// Schedule of one probe: slots at multiples of the interval, shifted by a hash of the name.
#[derive(Debug)]
pub(super) struct Plan {
    interval: Duration,
    retry_interval: Duration,
    /// The first slot.
    first_slot: Instant,
    next: Instant,
    /// Whether the next run starts outside of the slots, so that it may extend into the next slot.
    is_off_slot: bool,
}

impl Plan {
    pub(super) fn new(name: &str, timing: Timing, origin: Instant) -> Self {
        let fraction = hash_fraction(name);
        let Timing { interval, retry_interval, .. } = timing;
        let first = origin + interval.min(MAX_INITIAL_DELAY).mul_f64(fraction);
        Self {
            interval,
            retry_interval,
            first_slot: origin + interval.mul_f64(fraction),
            next: first,
            is_off_slot: false,
        }
    }

    /// Start time of the next run.
    pub(super) fn next_run(&self) -> Instant {
        self.next
    }

    /// Moves the next run to an earlier time; later runs return to their slots.
    pub(super) fn bring_forward(&mut self, to: Instant) {
        self.is_off_slot |= to < self.next;
        self.next = self.next.min(to);
    }

    /// Moves the next run to a later time if it was planned for an earlier one.
    pub(super) fn delay_to(&mut self, to: Instant) {
        self.is_off_slot |= to > self.next;
        self.next = self.next.max(to);
    }

    /// Returns the first slot after an instant.
    pub(super) fn slot_after(&self, now: Instant) -> Instant {
        let Some(past) = now.checked_duration_since(self.first_slot) else { return self.first_slot };
        let slots = past.as_nanos() / self.interval.as_nanos().max(1) + 1;
        // A u32 holds 13 years of the shortest interval.
        self.first_slot + self.interval * u32::try_from(slots).unwrap_or(u32::MAX)
    }

    /// Schedules the next run after a run has ended, earlier if the run failed. Returns the number of missed slots.
    pub(super) fn complete_run(&mut self, now: Instant, failed: bool) -> u64 {
        let is_off_slot = std::mem::take(&mut self.is_off_slot);
        let slot = self.slot_after(self.next);
        let retry = self.next + self.retry_interval;
        let wanted = if failed && self.retry_interval < self.interval { retry.min(slot) } else { slot };
        if wanted >= now {
            self.next = wanted;
            return 0;
        }
        let resumed = self.slot_after(now);
        let missed = if is_off_slot {
            now.saturating_duration_since(self.next).as_nanos() / self.interval.as_nanos().max(1)
        } else if slot < now {
            (resumed - slot).as_nanos() / self.interval.as_nanos().max(1)
        } else {
            // Only the faster retry was missed, which is not an overrun.
            0
        };
        // A late retry starts at once.
        self.next = if slot >= now { now } else { resumed };
        u64::try_from(missed).unwrap_or(u64::MAX)
    }
}

/// Maps a name to a fraction between 0 and 1, the same after every restart.
fn hash_fraction(name: &str) -> f64 {
    // DefaultHasher::new() has fixed keys; if they ever change, starts are only spread differently.
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
            .map(|n| (Plan::new(&format!("probe-{n}"), timing(10, 10), origin).next_run() - origin).as_secs_f64())
            .collect();
        for tenth in 0..10 {
            let within = starts.iter().filter(|start| **start as u64 == tenth).count();
            assert!((60..=140).contains(&within), "{within} of 1000 start in second {tenth}");
        }
        assert_eq!(hash_fraction("api"), hash_fraction("api"));
        let slow = Plan::new("backups", timing(3_600, 3_600), origin);
        assert!(slow.next_run() - origin <= MAX_INITIAL_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn runs_keep_to_their_grid_however_long_they_take() {
        let origin = Instant::now();
        let mut plan = Plan::new("api", timing(10, 10), origin);
        let first = plan.next_run();
        for n in 1..=100 {
            assert_eq!(plan.complete_run(plan.next_run() + Duration::from_millis(n * 90), false), 0);
            assert_eq!(plan.next_run(), first + Duration::from_secs(10) * n as u32);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_probe_is_retried_sooner_and_returns_to_its_grid() {
        let mut plan = Plan::new("api", timing(10, 4), Instant::now());
        let first = plan.next_run();
        let seconds = Duration::from_secs;
        for offset in [4, 8, 10, 14] {
            plan.complete_run(plan.next_run() + seconds(1), true);
            assert_eq!(plan.next_run(), first + seconds(offset));
        }
        plan.complete_run(plan.next_run() + seconds(1), false);
        assert_eq!(plan.next_run(), first + seconds(20));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overrun_is_counted_and_not_queued() {
        let mut plan = Plan::new("api", timing(10, 10), Instant::now());
        let first = plan.next_run();
        assert_eq!(plan.complete_run(first + Duration::from_secs(35), false), 3);
        assert_eq!(plan.next_run(), first + Duration::from_secs(40));
    }
}
