//! Lanes for CPU-bound work whose amount a peer chooses, such as the key derivation of a login or a TLS handshake.
//!
//! A lane runs the work on a separate thread, one task at a time. Each host has a queue, and only the first task of
//! each queue competes for the lane. A host with expensive tasks therefore delays other hosts by one task, not by one
//! task for each of its probes.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::model::{failure::Failure, words::Reason};

/// A lane: one task at a time.
#[derive(Debug)]
pub(crate) struct Lane {
    turn: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), hosts: Mutex::default() }
    }
}

impl Lane {
    /// Runs a task on a thread when it is the turn of the host. A task that has begun runs to its end, even if the
    /// caller stops waiting.
    ///
    /// # Errors
    /// `internal`: the task panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        host: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let host = self.host_queue(host).acquire_owned().await;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            // Both permits are held until the task ends, even if its run has ended.
            let _permits = (host, turn);
            work()
        });
        done.await.map_err(|error| Failure::from_error(Reason::Internal, "work on another thread broke off", &error))
    }

    /// Drives a future with expensive polls: each poll is a task of this lane.
    ///
    /// # Errors
    /// `internal`: the task panicked.
    pub(crate) async fn drive_future<F>(&self, host: &str, future: F) -> Result<F::Output, Failure>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut future = Box::pin(future);
        let signal = Arc::new(Signal { is_woken: AtomicBool::new(true), task: AtomicWaker::new() });
        loop {
            signal.wait().await;
            let waker = Waker::from(Arc::clone(&signal));
            let (back, polled) = self.run(host, move || poll_once(future, &waker)).await?;
            match polled {
                Poll::Ready(output) => return Ok(output),
                Poll::Pending => future = back,
            }
        }
    }

    fn host_queue(&self, name: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        // Permits and waiting tasks hold references to the semaphore of their host.
        hosts.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(hosts.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// Polls a future once and returns it.
pub(crate) fn poll_once<F: Future + ?Sized>(mut future: Pin<Box<F>>, waker: &Waker) -> (Pin<Box<F>>, Poll<F::Output>) {
    let polled = future.as_mut().poll(&mut Context::from_waker(waker));
    (future, polled)
}

/// Waker of a future. It records that the future must be polled again, and wakes the task that owns the future. The
/// task may also wake for other reasons.
struct Signal {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Signal {
    async fn wait(&self) {
        std::future::poll_fn(|task| {
            self.task.register(task.waker());
            if self.is_woken.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;

    #[tokio::test]
    async fn a_host_that_asks_for_much_is_waited_for_once() {
        let lane = Lane::default();
        let (order, ran) = mpsc::channel();
        let work = |host: &'static str| {
            let order = order.clone();
            lane.run(host, move || {
                std::thread::sleep(Duration::from_millis(20));
                order.send(host)
            })
        };
        let greedy = futures_util::future::join_all((0..10).map(|_| work("greedy")));
        let _ = tokio::join!(greedy, work("usual"));
        let order: Vec<_> = ran.try_iter().collect();
        assert_eq!((order.len(), order[1]), (11, "usual"), "{order:?}");
        lane.run("next", || ()).await.unwrap();
        assert!(lane.hosts.lock().len() <= 1, "hosts without work are forgotten");
    }

    #[tokio::test]
    async fn each_poll_is_off_the_event_loop_and_its_wakers_work() {
        let lane = Lane::default();
        let here = std::thread::current().id();
        let sleepy = async move {
            for _ in 0..3 {
                assert_ne!(std::thread::current().id(), here);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            7
        };
        let start = Instant::now();
        assert_eq!(lane.drive_future("host", sleepy).await, Ok(7));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert_eq!(
            lane.drive_future("host", async { panic!("of the work") }).await.unwrap_err().reason,
            Reason::Internal
        );
        assert_eq!(lane.run("host", || 1).await, Ok(1), "a panic leaves the lane free");
    }
}
