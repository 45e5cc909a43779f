//! Bound on the bytes and messages of a server for one run.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::model::{failure::Failure, words::Reason};

/// Maximum number of bytes for one run. A login and a result take some kilobytes. The driver buffers whole messages.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Maximum number of messages for one run, including asynchronous ones. A login and a result take about thirty.
pub(super) const MAX_MESSAGES: usize = 10_000;

/// Remaining bytes and messages of a run, and the failure if the server exceeded them. Clones share the state, because
/// the driver reports only that the connection was closed.
#[derive(Clone, Debug)]
pub(super) struct ByteBudget(Arc<Mutex<Left>>);

#[derive(Debug)]
struct Left {
    bytes: usize,
    messages: usize,
    refusal: Option<Failure>,
}

impl Default for ByteBudget {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Left { bytes: MAX_BYTES, messages: MAX_MESSAGES, refusal: None })))
    }
}

impl ByteBudget {
    /// Restores the full budget for another run.
    pub(super) fn restore(&self) {
        let mut left = self.left();
        (left.bytes, left.messages) = (MAX_BYTES, MAX_MESSAGES);
    }

    /// Counts a message by its header, before its payload arrives.
    pub(super) fn count_message(&self, header: usize, payload: usize) -> Result<(), Failure> {
        {
            let mut left = self.left();
            let Some(messages) = left.messages.checked_sub(1) else {
                return Err(too_large(format!("the server sent more than {MAX_MESSAGES} messages for one run")));
            };
            left.messages = messages;
            if payload.saturating_add(header) > left.bytes {
                return Err(too_large(format!(
                    "the server announces a message of {payload} bytes; one run may take {} MiB in all",
                    MAX_BYTES >> 20
                )));
            }
        }
        self.count_bytes(header)
    }

    /// Counts received bytes.
    pub(super) fn count_bytes(&self, bytes: usize) -> Result<(), Failure> {
        let mut left = self.left();
        left.bytes = left
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| too_large(format!("the server sent more than {} MiB for one run", MAX_BYTES >> 20)))?;
        Ok(())
    }

    /// Records the failure for which the connection is closed.
    pub(super) fn record_refusal(&self, refusal: &Failure) {
        self.left().refusal.get_or_insert_with(|| refusal.clone());
    }

    /// The recorded failure.
    pub(super) fn recorded_refusal(&self) -> Option<Failure> {
        self.left().refusal.clone()
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock()
    }
}

fn too_large(text: String) -> Failure {
    Failure::new(Reason::TooLarge, text)
}
