//! Limits on concurrent runs.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Concurrency;

/// Limits concurrent runs, overall and for each host. Clones share the limits.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimiter {
    total: Arc<Semaphore>,
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// Permission for one run, returned on drop.
#[derive(Debug)]
pub struct Permits {
    _host: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimiter {
    /// Creates a limiter with the configured limits.
    #[must_use]
    pub fn new(concurrency: Concurrency) -> Self {
        let total = concurrency.total.clamp(1, Semaphore::MAX_PERMITS);
        Self { total: Arc::new(Semaphore::new(total)), per_host: concurrency.per_host.max(1), hosts: Arc::default() }
    }

    /// Waits for permission to run. It acquires the host's permit first, so that runs waiting for a slow host hold no
    /// global permit.
    pub async fn acquire(&self, host: Option<&str>) -> Permits {
        let host = match host {
            // The semaphores are never closed, so acquiring always succeeds.
            Some(host) => self.host(host).acquire_owned().await.ok(),
            None => None,
        };
        Permits { _host: host, _total: Arc::clone(&self.total).acquire_owned().await.ok() }
    }

    fn host(&self, name: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        let host = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(name.to_owned(), Arc::clone(&host));
        host
    }
}
