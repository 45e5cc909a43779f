//! How much runs at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Concurrency;

/// Room for runs, overall and for each host; clones share it.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimiter {
    total: Arc<Semaphore>,
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// The right to run, given back when dropped.
#[derive(Debug)]
pub struct Permits {
    _host: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimiter {
    /// Room for so many.
    #[must_use]
    pub fn new(concurrency: Concurrency) -> Self {
        let total = concurrency.total.clamp(1, Semaphore::MAX_PERMITS);
        Self { total: Arc::new(Semaphore::new(total)), per_host: concurrency.per_host.max(1), hosts: Arc::default() }
    }

    /// Waits for room. The host comes first: whoever waits for a slow host must not hold room that others could use.
    pub async fn acquire(&self, host: Option<&str>) -> Permits {
        let host = match host {
            // Semaphores are never closed, so this always gives a permit.
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
