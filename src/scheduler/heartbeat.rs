//! Heartbeat of the runtime that runs the probes.
//!
//! The HTTP server runs on another thread and answers even if a probe blocks the probe thread. The heartbeat tells the
//! server about such a stall, so that `/-/healthy` reports it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, time::MissedTickBehavior};

/// Interval between heartbeats.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Records heartbeats of a runtime; see the module documentation.
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

    /// Records heartbeats forever. The task must run on the probe runtime.
    pub async fn run(&self) {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.last.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// Time by which the next heartbeat is overdue; zero while the runtime is responsive.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        let since_beat = self.elapsed().saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(since_beat).saturating_sub(self.interval)
    }

    /// Number of live tasks of the runtime.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// Handle of the probe runtime.
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
