//! Limits the number of connections and the time of each.
//!
//! At the limit, a new connection closes the connection with the oldest last request. So an idle or slow client keeps
//! its connection only while no other client needs it. A scraper whose connection was closed reconnects by itself.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::exposition::max_open_files;

/// Most connections. If the process may open few files, the limit is a quarter of them, so that clients don't take the
/// file descriptors of the probes.
const MAX_CONNECTIONS: usize = 128;
/// Fewest connections, regardless of the limit on open files.
const MIN_CONNECTIONS: usize = 4;
/// Time from the connection to its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from one request to the next, including the response. It exceeds the usual scrape interval.
const NEXT_REQUEST_TIMEOUT: Duration = Duration::from_secs(65);

#[derive(Debug)]
pub(super) struct Connections {
    slots: Arc<Semaphore>,
    open: Mutex<ConnectionTable>,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    last: u64,
    entries: HashMap<u64, ConnectionEntry>,
}

#[derive(Debug)]
struct ConnectionEntry {
    last_request: Instant,
    deadline: Instant,
    close: CancellationToken,
}

/// Slot of one connection, released on drop.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    id: u64,
    close: CancellationToken,
    connections: Arc<Connections>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Default for Connections {
    fn default() -> Self {
        let slots = max_open_files()
            .map_or(MAX_CONNECTIONS, |files| MAX_CONNECTIONS.min((files / 4.0) as usize).max(MIN_CONNECTIONS));
        Self { slots: Arc::new(Semaphore::new(slots)), open: Mutex::default() }
    }
}

impl Connections {
    /// Waits for a slot, and closes an idle connection if all slots are taken.
    pub(super) async fn acquire(self: &Arc<Self>) -> ConnectionGuard {
        if self.slots.available_permits() == 0 {
            self.close_idle();
        }
        // The semaphore is never closed.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let id = {
            let mut open = self.lock();
            open.last += 1;
            open.last
        };
        ConnectionGuard { id, close: CancellationToken::new(), connections: Arc::clone(self), _slot: slot }
    }

    /// Closes all connections, even during a response.
    pub(super) fn close_all(&self) {
        self.lock().entries.values().for_each(|entry| entry.close.cancel());
    }

    /// Closes the connection with the oldest last request.
    pub(super) fn close_idle(&self) {
        let open = self.lock();
        let idle =
            open.entries.values().filter(|entry| !entry.close.is_cancelled()).min_by_key(|entry| entry.last_request);
        if let Some(entry) = idle {
            entry.close.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionTable> {
        self.open.lock()
    }
}

impl ConnectionGuard {
    /// Registers the connection after it was accepted.
    pub(super) fn register(&self) {
        let now = Instant::now();
        let entry =
            ConnectionEntry { last_request: now, deadline: now + FIRST_REQUEST_TIMEOUT, close: self.close.clone() };
        self.connections.lock().entries.insert(self.id, entry);
    }

    /// Records the arrival of a request.
    pub(super) fn record_request(&self) {
        let now = Instant::now();
        if let Some(entry) = self.connections.lock().entries.get_mut(&self.id) {
            (entry.last_request, entry.deadline) = (now, now + NEXT_REQUEST_TIMEOUT);
        }
    }

    /// Waits until the connection must close.
    pub(super) async fn wait_until_closed(&self) {
        let overdue = async {
            loop {
                let deadline = self.connections.lock().entries.get(&self.id).map(|entry| entry.deadline);
                match deadline {
                    Some(deadline) if deadline > Instant::now() => sleep_until(deadline).await,
                    _ => return,
                }
            }
        };
        tokio::select! {
            () = self.close.cancelled() => {}
            () = overdue => {}
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.lock().entries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_idlest_connection_makes_room_for_a_new_one() {
        let connections = Arc::new(Connections::default());
        let mut guards = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let guard = connections.acquire().await;
            guard.register();
            guards.push(guard);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        guards[0].record_request();
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.acquire().await }
        });
        guards[1].wait_until_closed().await;
        assert!(!guards[0].close.is_cancelled() && !waiting.is_finished());
        drop(guards.remove(1));
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_goes_early_and_one_with_requests_late() {
        let connections = Arc::new(Connections::default());
        let guard = connections.acquire().await;
        let start = Instant::now();
        guard.register();
        guard.wait_until_closed().await;
        assert_eq!(start.elapsed(), FIRST_REQUEST_TIMEOUT);
        guard.record_request();
        guard.wait_until_closed().await;
        assert_eq!(start.elapsed(), FIRST_REQUEST_TIMEOUT + NEXT_REQUEST_TIMEOUT);
    }
}
