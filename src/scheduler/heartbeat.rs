//! Sign of life of the runtime that runs the probes.
//!
//! The HTTP server runs on another thread, so it answers even if a probe never gives the thread of the probes back.
//! This tells it, so that the server doesn't call such a daemon healthy.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, time::MissedTickBehavior};

/// Interval of the beats.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Heartbeat {
    runtime: Handle,
    start: Instant,
    interval: Duration,
    /// Time of the last beat, in milliseconds after `start`.
    last: AtomicU64,
}

impl Heartbeat {
    /// The heartbeat of a runtime; it counts as alive from this moment.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self::with_interval(runtime, BEAT_INTERVAL)
    }

    fn with_interval(runtime: Handle, interval: Duration) -> Self {
        Self { runtime, start: Instant::now(), interval, last: AtomicU64::new(0) }
    }

    /// Beats for ever; to be run on the runtime of the probes.
    pub async fn run(&self) {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.last.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// Time for which the runtime has been overdue: zero while it beats regularly.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        let since_beat = self.elapsed().saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(since_beat).saturating_sub(self.interval)
    }

    /// Tasks of the runtime that are alive.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// The runtime of the probes.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runtime_that_is_kept_busy_stands_still_and_recovers() {
        let heartbeat = std::sync::Arc::new(Heartbeat::with_interval(Handle::current(), Duration::from_millis(150)));
        let beating = std::sync::Arc::clone(&heartbeat);
        tokio::spawn(async move { beating.run().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(heartbeat.stalled_for(), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(450));
        assert!(heartbeat.stalled_for() > Duration::from_millis(100), "{:?}", heartbeat.stalled_for());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(heartbeat.stalled_for(), Duration::ZERO);
    }
}
