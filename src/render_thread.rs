//! A thread that renders large pages one after another.
//!
//! It is separate from tokio's blocking threads: a probe on a hanging mount blocks its thread, and enough of them would
//! delay the scrape that reports them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{SendError, Sender, channel},
    thread,
};

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// Queue of the render thread; see the module documentation.
#[derive(Debug)]
pub(crate) struct RenderThread(Sender<Work>);

impl Default for RenderThread {
    fn default() -> Self {
        let (sender, receiver) = channel::<Work>();
        let thread = thread::Builder::new().name("render".to_owned()).spawn(move || {
            for work in receiver {
                // A panic in one page must not stop the thread. The waiting request receives no result.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "the render thread can't be started: pages are rendered on the main thread");
        }
        Self(sender)
    }
}

impl RenderThread {
    /// Runs work after all earlier work; returns `None` if it panicked.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        let work: Work = Box::new(move || drop(done.send(work())));
        // Sending fails only if the thread could not be started.
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
    async fn a_panic_stops_neither_the_thread_nor_the_waiting_task() {
        let renderer = RenderThread::default();
        assert_eq!(renderer.run(|| 1).await, Some(1));
        assert_eq!(renderer.run(|| -> i32 { panic!("a bug") }).await, None);
        assert_eq!(renderer.run(|| thread::current().name().map(str::to_owned)).await, Some(Some("render".to_owned())));
    }
}
