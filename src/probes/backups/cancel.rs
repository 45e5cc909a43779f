//! Cancellation of work on another thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::model::{failure::Failure, words::Reason};

/// Cancels the work on another thread when it is dropped.
#[derive(Debug)]
pub(super) struct CancelOnDrop(Arc<AtomicBool>);

/// Tells the work on another thread that its run was dropped.
#[derive(Debug, Clone)]
pub(crate) struct CancelFlag(Arc<AtomicBool>);

/// Creates a guard for the run and a flag for its work.
pub(super) fn halt() -> (CancelOnDrop, CancelFlag) {
    let flag = Arc::new(AtomicBool::new(false));
    (CancelOnDrop(Arc::clone(&flag)), CancelFlag(flag))
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl CancelFlag {
    /// Called between two steps of the work.
    ///
    /// # Errors
    /// `canceled`: the run was dropped.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::new(Reason::Canceled, "the run was canceled"));
        }
        Ok(())
    }
}
