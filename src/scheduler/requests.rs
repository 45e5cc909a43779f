//! Requests for immediate runs. A probe that fails requests a run of its dependencies before its failure is published.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// Shortest time between the starts of two requested runs of a probe. Dependents that fail together share one run.
const MIN_REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// Requests by the name of the requested probe. Clones share the requests.
#[derive(Debug, Clone)]
pub(super) struct RunRequests {
    entries: Arc<Mutex<HashMap<String, Arc<RunRequest>>>>,
    attempts: watch::Sender<u64>,
}

/// The request for one probe.
#[derive(Debug, Default)]
pub(super) struct RunRequest {
    notify: Notify,
    times: Mutex<RequestTimes>,
}

#[derive(Debug, Default)]
struct RequestTimes {
    /// The requested run must start at this time or later.
    wanted: Option<Instant>,
    /// Start of the last attempt whose result is on the board.
    attempted: Option<Instant>,
    /// Time at which the board received the last failure or skip.
    failed: Option<Instant>,
}

impl Default for RunRequests {
    fn default() -> Self {
        Self { entries: Arc::default(), attempts: watch::Sender::new(0) }
    }
}

impl RunRequests {
    /// Registers a probe and returns its request.
    pub(super) fn register(&self, probe: &str) -> Arc<RunRequest> {
        let request = Arc::<RunRequest>::default();
        self.entries.lock().insert(probe.to_owned(), Arc::clone(&request));
        request
    }

    /// Removes a probe that stops.
    pub(super) fn remove(&self, probe: &str) {
        self.entries.lock().remove(probe);
    }

    /// Requests a run of a probe that starts at `wanted` or later.
    pub(super) fn request(&self, probe: &str, wanted: Instant) {
        let Some(request) = self.entries.lock().get(probe).cloned() else { return };
        let mut times = request.times.lock();
        times.wanted = times.wanted.max(Some(wanted));
        request.notify.notify_one();
    }

    /// Whether the board has an attempt of the probe that started at `wanted` or later.
    pub(super) fn is_satisfied(&self, probe: &str, wanted: Instant) -> bool {
        let request = self.entries.lock().get(probe).cloned();
        request.is_some_and(|request| request.times.lock().attempted >= Some(wanted))
    }

    /// Whether the board has received a failure or a skip of the probe since a time.
    pub(super) fn has_failed_since(&self, probe: &str, since: Instant) -> bool {
        let request = self.entries.lock().get(probe).cloned();
        request.is_some_and(|request| request.times.lock().failed >= Some(since))
    }

    /// Returns a receiver that is notified after each attempt of any probe.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.attempts.subscribe()
    }

    /// Records that the board has the result of an attempt.
    pub(super) fn record_attempt(&self, request: &RunRequest, start: Instant, failed: bool) {
        {
            let mut times = request.times.lock();
            times.attempted = Some(start);
            if failed {
                times.failed = Some(Instant::now());
            }
        }
        self.attempts.send_modify(|attempts| *attempts += 1);
    }
}

impl RunRequest {
    /// Waits for a request and returns the earliest start of the requested run, or `None` if an attempt has already
    /// satisfied the request.
    pub(super) async fn next(&self) -> Option<Instant> {
        self.notify.notified().await;
        let times = self.times.lock();
        let is_open = times.wanted > times.attempted;
        is_open.then(|| times.attempted.map_or(Instant::now(), |last| last + MIN_REQUEST_INTERVAL))
    }
}
