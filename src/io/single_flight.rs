//! Work that nobody can cancel, such as opening a file of a dead mount: each on a thread, so many at most, and for
//! each key one at a time.
//!
//! A run that asks for what is under way already joins it. What hangs therefore holds one thread, however many runs
//! have given up on it.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::model::{failure::Failure, words::Reason};

/// See the module.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, T> {
    room: Arc<Semaphore>,
    under_way: Arc<Mutex<InFlight<K, T>>>,
}

type InFlight<K, T> = HashMap<K, Pending<T>>;
type Pending<T> = watch::Receiver<Option<Result<T, Failure>>>;

/// Takes the work off the list when it has ended, however it ends.
struct Entry<K: Eq + Hash, T>(Arc<Mutex<InFlight<K, T>>>, K);

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Nothing under way; `room` may be shared with others.
    pub(crate) fn new(room: Arc<Semaphore>) -> Self {
        Self { room, under_way: Arc::default() }
    }

    /// The result of this work, or of the same work that somebody else has begun.
    pub(crate) async fn run(
        &self,
        key: K,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let begun = self.under_way.lock().get(&key).cloned();
        let mut pending = match begun {
            Some(pending) => pending,
            None => self.begin(key, work).await?,
        };
        // Without a result there was a panic, or the program ends.
        let result = pending.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
        result.unwrap_or_else(|| Err(broken_off()))
    }

    async fn begin(
        &self,
        key: K,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<Pending<T>, Failure> {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| broken_off())?;
        let mut under_way = self.under_way.lock();
        // Begun by another run while this one waited for room.
        if let Some(pending) = under_way.get(&key) {
            return Ok(pending.clone());
        }
        let (tell, pending) = watch::channel(None);
        under_way.insert(key.clone(), pending.clone());
        let entry = Entry(Arc::clone(&self.under_way), key);
        tokio::task::spawn_blocking(move || {
            // The permit and the entry are held until the work ends, even if every run has given up waiting for it.
            let (permit, entry) = (permit, entry);
            let result = work();
            // Both are released before the result is sent: a caller that has the result finds a free permit, and its
            // next request starts new work.
            drop((entry, permit));
            let _ = tell.send(Some(result));
        });
        Ok(pending)
    }
}

impl<K: Eq + Hash, T> Drop for Entry<K, T> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

fn broken_off() -> Failure {
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
        assert_eq!(joint.room.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_leaves_nothing_behind() {
        let joint = SingleFlight::<&str, u32>::new(Arc::new(Semaphore::new(1)));
        let panicked = joint.run("a", || panic!("of the work")).await;
        assert_eq!(panicked.unwrap_err().reason, Reason::Internal);
        assert_eq!(joint.run("a", || Ok(1)).await.unwrap(), 1);
    }
}
