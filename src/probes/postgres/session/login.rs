//! Keeps the key derivation of a login off the event loop.
//!
//! With SCRAM, the server chooses how often the client hashes: 45 ms of CPU at the most that the driver computes. The
//! driver does so inside of its login future, in the poll in which it reads the server's challenge. The channel holds
//! the challenge back and closes a gate; that one poll then takes place on another thread.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
};

use crate::{
    io::{lane::poll_once, resources::Resources},
    model::failure::Failure,
};

/// Most iterations that are derived in the lane for usual logins. PostgreSQL asks for 4,096 unless it is configured
/// otherwise.
const MAX_LIGHT_ITERATIONS: u32 = 4_096;

/// Closed while a challenge is held back. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<AtomicU32>);

/// The gate stands open.
const OPEN: u32 = 0;

impl Gate {
    /// Holds a challenge back that asks for a number of iterations.
    pub(super) fn close(&self, iterations: u32) {
        self.0.store(iterations.max(OPEN + 1), Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.iterations().is_some()
    }

    fn open(&self) {
        self.0.store(OPEN, Ordering::Release);
    }

    /// The iterations that the challenge behind it asks for; `None` while it stands open.
    fn iterations(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Acquire)).filter(|iterations| *iterations != OPEN)
    }
}

/// Drives a login to its end. Waits for a turn among the logins of all probes where a proof is asked for.
///
/// # Errors
/// `internal`: the driver panicked.
pub(super) async fn drive<T: Send + 'static>(
    login: impl Future<Output = T> + Send + 'static,
    gate: &Gate,
    host: &str,
    shared: &Resources,
) -> Result<T, Failure> {
    let mut login: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(login);
    loop {
        let step = std::future::poll_fn(|task| match login.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => gate.iterations().map_or(Poll::Pending, |iterations| Poll::Ready(Err(iterations))),
        });
        let iterations = match step.await {
            Ok(done) => return Ok(done),
            Err(iterations) => iterations,
        };
        let lane = if iterations <= MAX_LIGHT_ITERATIONS { &shared.light_logins } else { &shared.heavy_logins };
        let opened = gate.clone();
        // Nothing need be woken: the login is polled again here, right afterwards.
        let derive = move || {
            opened.open();
            poll_once(login, Waker::noop())
        };
        let (back, polled) = lane.run(host, derive).await?;
        match polled {
            Poll::Ready(done) => return Ok(done),
            Poll::Pending => login = back,
        }
    }
}
