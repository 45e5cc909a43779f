//! Where a handshake is computed: on the event loop, or on another thread.
//!
//! The server chooses the keys and the number of signatures that a client verifies. One handshake may take 50 ms of a
//! processor, which would delay every other run on the event loop. A usual one takes less than a millisecond, and the
//! change to another thread and back costs a quarter of that. So a host whose recent handshakes were cheap is served on
//! the event loop, and a host that is new or was expensive is served in a [`Lane`].

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{io::lane::Lane, model::failure::Failure};

/// Longest time that one step of a cheap handshake takes.
const MAX_CHEAP_STEP: Duration = Duration::from_millis(2);
/// Cheap handshakes in a row after which a new host is served on the event loop.
const TRIALS: u16 = 3;
/// Cheap handshakes in a row after which a host that was expensive once is served on the event loop again. One
/// expensive step in a hundred handshakes is what a hostile host can achieve.
const TRIALS_AFTER_EXPENSIVE: u16 = 100;
/// Hosts that are remembered. Redirects may lead to any number of hosts.
const MAX_HOSTS: usize = 20_000;

/// The handshakes of the process.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    lane: Lane,
    /// Cheap handshakes that each host still needs before it is served on the event loop.
    trials: Mutex<HashMap<String, u16>>,
}

impl Handshakes {
    /// Drives one handshake with a host.
    ///
    /// # Errors
    /// `internal`: the handshake panicked.
    pub(super) async fn drive_handshake<F>(&self, host: &str, handshake: F) -> Result<F::Output, Failure>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut cost = Cost { of: self, host, longest_step: Duration::ZERO };
        if self.trials.lock().get(host) == Some(&0) {
            return Ok(measure_steps(handshake, &mut cost.longest_step).await);
        }
        let measured = async move {
            let mut longest = Duration::ZERO;
            let output = measure_steps(handshake, &mut longest).await;
            (output, longest)
        };
        let (output, longest) = self.lane.drive_future(host, measured).await?;
        cost.longest_step = longest;
        Ok(output)
    }

    fn record(&self, host: &str, longest_step: Duration) {
        let mut hosts = self.trials.lock();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            // Hosts that were expensive stay. A host that finds no place is served in the lane.
            hosts.retain(|_, trials| *trials > TRIALS);
            if hosts.len() >= MAX_HOSTS {
                return;
            }
        }
        let trials = hosts.entry(host.to_owned()).or_insert(TRIALS);
        *trials = if longest_step > MAX_CHEAP_STEP { TRIALS_AFTER_EXPENSIVE } else { trials.saturating_sub(1) };
    }
}

/// Records the cost of a handshake when it ends, also when its run is given up.
struct Cost<'a> {
    of: &'a Handshakes,
    host: &'a str,
    longest_step: Duration,
}

impl Drop for Cost<'_> {
    fn drop(&mut self) {
        // A handshake that was given up in the lane has told nothing.
        if self.longest_step > Duration::ZERO {
            self.of.record(self.host, self.longest_step);
        }
    }
}

async fn measure_steps<F: Future>(work: F, longest: &mut Duration) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|task| {
        let start = Instant::now();
        let polled = work.as_mut().poll(task);
        *longest = start.elapsed().max(*longest);
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use super::*;

    /// The thread on which a handshake of one step ran.
    async fn thread_of(handshakes: &Handshakes, host: &str, step: Duration) -> ThreadId {
        let step = async move {
            thread::sleep(step);
            thread::current().id()
        };
        handshakes.drive_handshake(host, step).await.unwrap()
    }

    #[tokio::test]
    async fn only_hosts_with_cheap_handshakes_are_served_on_the_event_loop() {
        let (handshakes, here) = (Handshakes::default(), thread::current().id());
        let expensive = MAX_CHEAP_STEP * 2;
        // The scheduler of a busy machine may make a cheap step long, which starts the trials again.
        let mut count = 0;
        while thread_of(&handshakes, "cheap", Duration::ZERO).await != here {
            count += 1;
            assert!(count < 1_000, "the host is never trusted");
        }
        assert!(count >= TRIALS, "trusted after {count}");
        for _ in 0..10 {
            assert_ne!(thread_of(&handshakes, "expensive", expensive).await, here);
        }
        // One expensive step on the event loop, then none for a hundred handshakes.
        thread_of(&handshakes, "cheap", expensive).await;
        for _ in 0..TRIALS_AFTER_EXPENSIVE {
            assert_ne!(thread_of(&handshakes, "cheap", Duration::ZERO).await, here);
        }
    }

    #[tokio::test]
    async fn an_expensive_step_counts_although_its_run_is_given_up() {
        let handshakes = Handshakes::default();
        handshakes.trials.lock().insert("host".to_owned(), 0);
        let stalling = async {
            thread::sleep(MAX_CHEAP_STEP * 2);
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(Duration::from_millis(20), handshakes.drive_handshake("host", stalling)).await;
        assert_eq!(handshakes.trials.lock().get("host"), Some(&TRIALS_AFTER_EXPENSIVE));
    }

    #[test]
    fn the_number_of_remembered_hosts_is_bounded() {
        let handshakes = Handshakes::default();
        handshakes.record("expensive", MAX_CHEAP_STEP * 2);
        (0..MAX_HOSTS * 2 + 10).for_each(|n| handshakes.record(&n.to_string(), Duration::from_micros(1)));
        assert!(handshakes.trials.lock().len() <= MAX_HOSTS);
        assert_eq!(handshakes.trials.lock().get("expensive"), Some(&TRIALS_AFTER_EXPENSIVE));
        (0..MAX_HOSTS * 2).for_each(|n| handshakes.record(&n.to_string(), MAX_CHEAP_STEP * 2));
        assert!(handshakes.trials.lock().len() <= MAX_HOSTS);
    }
}
