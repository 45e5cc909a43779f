//! Moves the key derivation of a login to another thread.
//!
//! With SCRAM, the server chooses the number of hash iterations of the client: up to 45 ms of CPU time with the maximum
//! of the driver. The driver computes the hash in the poll that reads the challenge of the server. The transport holds
//! the challenge back and closes a gate. The next poll then runs on another thread.

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

/// Maximum number of iterations in the lane for usual logins: the default of PostgreSQL.
const MAX_LIGHT_ITERATIONS: u32 = 4_096;

/// Gate that is closed while a challenge is held back. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<AtomicU32>);

/// State of an open gate.
const OPEN: u32 = 0;

impl Gate {
    /// Closes the gate for a challenge with a number of iterations.
    pub(super) fn close(&self, iterations: u32) {
        self.0.store(iterations.max(OPEN + 1), Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.iterations().is_some()
    }

    fn open(&self) {
        self.0.store(OPEN, Ordering::Release);
    }

    /// Number of iterations of the challenge that is held back; `None` for an open gate.
    fn iterations(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Acquire)).filter(|iterations| *iterations != OPEN)
    }
}

/// Drives a login to its end. A challenge waits for a turn in a lane that all probes share.
///
/// # Errors
/// `internal`: the driver panicked.
pub(super) async fn drive_login<T: Send + 'static>(
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
        // No waker is needed, because the login is polled again directly afterwards.
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
