//! One thread for what takes long to write: pages of thousands of lines, one at a time.
//!
//! It is not tokio's pool of blocking threads, for there a probe that hangs in a dead mount keeps its thread, and
//! enough of them would hold up the scrape that is to tell of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{SendError, Sender, channel},
    thread,
};

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// See the module.
#[derive(Debug)]
pub(crate) struct RenderThread(Sender<Work>);

impl Default for RenderThread {
    fn default() -> Self {
        let (sender, receiver) = channel::<Work>();
        let thread = thread::Builder::new().name("render".to_owned()).spawn(move || {
            for work in receiver {
                // A bug in one page must not take the others along; whoever waits for it sees that nothing came.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread for rendering: pages are made between everything else");
        }
        Self(sender)
    }
}

impl RenderThread {
    /// Does work after all that was asked for before; `None` if it panicked.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        let work: Work = Box::new(move || drop(done.send(work())));
        // Only without a thread is there nobody to take it.
        if let Err(SendError(work)) = self.0.send(work) {
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_neither_the_thread_nor_the_one_who_waits() {
        let renderer = RenderThread::default();
        assert_eq!(renderer.run(|| 1).await, Some(1));
        assert_eq!(renderer.run(|| -> i32 { panic!("a bug") }).await, None);
        assert_eq!(renderer.run(|| thread::current().name().map(str::to_owned)).await, Some(Some("render".to_owned())));
    }
}
