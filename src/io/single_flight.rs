//! Blocking work that can't be cancelled, such as opening a file on a dead mount. Each task occupies a thread. The
//! number of threads is bounded, and each key occupies at most one of them.
//!
//! A run that requests a key joins the task that is in flight for it. A hanging task therefore occupies one thread,
//! regardless of the number of runs that have given up waiting for it.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::model::{failure::Failure, words::Reason};

/// Tasks in flight, one for each key.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, T> {
    permits: Arc<Semaphore>,
    in_flight: Arc<Mutex<InFlight<K, T>>>,
}

type InFlight<K, T> = HashMap<K, Pending<T>>;
type Pending<T> = watch::Receiver<Option<Result<T, Failure>>>;

/// Removes a task from the list when it ends or panics.
struct InFlightGuard<K: Eq + Hash, T>(Arc<Mutex<InFlight<K, T>>>, K);

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Creates an empty list. The permits bound the number of threads; other instances may share them.
    pub(crate) fn new(permits: Arc<Semaphore>) -> Self {
        Self { permits, in_flight: Arc::default() }
    }

    /// Returns the result of the task in flight for the key, or runs this task if there is none.
    pub(crate) async fn run(
        &self,
        key: K,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let begun = self.in_flight.lock().get(&key).cloned();
        let mut pending = match begun {
            Some(pending) => pending,
            None => self.start_work(key, work).await?,
        };
        // A missing result means that the task panicked or the program ends.
        let result = pending.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
        result.unwrap_or_else(|| Err(work_aborted()))
    }

    async fn start_work(
        &self,
        key: K,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<Pending<T>, Failure> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| work_aborted())?;
        let mut in_flight = self.in_flight.lock();
        // Another run may have begun the task while this one waited for a permit.
        if let Some(pending) = in_flight.get(&key) {
            return Ok(pending.clone());
        }
        let (tell, pending) = watch::channel(None);
        in_flight.insert(key.clone(), pending.clone());
        let entry = InFlightGuard(Arc::clone(&self.in_flight), key);
        tokio::task::spawn_blocking(move || {
            // The permit and the entry are held until the task ends, even if every run has given up waiting for it.
            let (permit, entry) = (permit, entry);
            let result = work();
            // Both are released before the result is sent: a caller with a result finds a free permit, and its next
            // request starts a new task.
            drop((entry, permit));
            let _ = tell.send(Some(result));
        });
        Ok(pending)
    }
}

impl<K: Eq + Hash, T> Drop for InFlightGuard<K, T> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

fn work_aborted() -> Failure {
    Failure::new(Reason::Internal, "work on another thread broke off")
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicU32, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_hangs_holds_one_thread_however_many_runs_give_up_on_it_and_the_next_joins_it() {
        let (joint, begun) = (SingleFlight::new(Arc::new(Semaphore::new(2))), Arc::new(AtomicU32::new(0)));
        let (end, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        let hanging = || {
            let (begun, hang) = (Arc::clone(&begun), Arc::clone(&hang));
            joint.run("dead", move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = hang.lock().recv();
                Ok(1)
            })
        };
        for _ in 0..5 {
            assert!(timeout(SOON, hanging()).await.is_err());
        }
        assert_eq!(joint.run("healthy", || Ok(2)).await.unwrap(), 2, "there is room beside what hangs");
        let (late, ()) = tokio::join!(hanging(), async { end.send(()).unwrap() });
        assert_eq!((late.unwrap(), begun.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(joint.run("dead", || Ok(3)).await.unwrap(), 3, "what has ended is begun anew");
        assert_eq!(joint.permits.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_leaves_nothing_behind() {
        let joint = SingleFlight::<&str, u32>::new(Arc::new(Semaphore::new(1)));
        let panicked = joint.run("a", || panic!("of the work")).await;
        assert_eq!(panicked.unwrap_err().reason, Reason::Internal);
        assert_eq!(joint.run("a", || Ok(1)).await.unwrap(), 1);
    }
}
