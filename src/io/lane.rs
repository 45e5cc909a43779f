//! CPU-bound work whose amount a peer chooses, such as the key derivation of a login or a TLS handshake.
//!
//! It runs on threads of its own, never on the event loop. A lane does one piece of work at a time, and of each host's
//! pieces only one waits for its turn together with those of other hosts, so that a host that asks for much is waited
//! for once and not once for each of its probes.

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

/// A thread's worth of such work.
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
    /// Runs work on a thread when it is this host's turn. Work that has begun ends, even if its result is no longer
    /// waited for.
    ///
    /// # Errors
    /// `internal`: it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        host: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let host = self.host(host).acquire_owned().await;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            // Both held until the work ends, however long ago its run was given up.
            let _permits = (host, turn);
            work()
        });
        done.await.map_err(|error| Failure::from_error(Reason::Internal, "work on another thread broke off", &error))
    }

    /// Drives a future of which any poll may be expensive: each runs in this lane.
    ///
    /// # Errors
    /// `internal`: it panicked.
    pub(crate) async fn drive<F>(&self, host: &str, future: F) -> Result<F::Output, Failure>
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

    fn host(&self, name: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        // Permits and waiting runs hold a host's semaphore, too.
        hosts.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(hosts.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// Polls a future once, and gives it back.
pub(crate) fn poll_once<F: Future + ?Sized>(mut future: Pin<Box<F>>, waker: &Waker) -> (Pin<Box<F>>, Poll<F::Output>) {
    let polled = future.as_mut().poll(&mut Context::from_waker(waker));
    (future, polled)
}

/// Tells the task that owns a future that it must be polled again. The task itself is woken for other reasons, too.
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
        assert_eq!(lane.drive("host", sleepy).await, Ok(7));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert_eq!(lane.drive("host", async { panic!("of the work") }).await.unwrap_err().reason, Reason::Internal);
        assert_eq!(lane.run("host", || 1).await, Ok(1), "a panic leaves the lane free");
    }
}
