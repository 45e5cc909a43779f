//! How much a server may still send for one run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{failure::Failure, words::Reason};

/// Most bytes for one run; a login and an answer take some kilobytes. The driver keeps each message whole.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Most messages for one run, asynchronous ones included; a login and an answer take about thirty.
pub(super) const MAX_MESSAGES: usize = 10_000;

/// What is left of the limits for a run, and why the server was cut off if it was. Clones share it: the driver knows
/// only that a connection is closed once its own task has ended.
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
    /// Another run begins.
    pub(super) fn renew(&self) {
        let mut left = self.left();
        (left.bytes, left.messages) = (MAX_BYTES, MAX_MESSAGES);
    }

    /// Counts a message by its header, before its payload comes.
    pub(super) fn message(&self, header: usize, payload: usize) -> Result<(), Failure> {
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
        self.spend(header)
    }

    /// Counts bytes that came.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Failure> {
        let mut left = self.left();
        left.bytes = left
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| too_large(format!("the server sent more than {} MiB for one run", MAX_BYTES >> 20)))?;
        Ok(())
    }

    /// Keeps why the server is cut off.
    pub(super) fn refuse(&self, refusal: &Failure) {
        self.left().refusal.get_or_insert_with(|| refusal.clone());
    }

    /// Why the server was cut off, if it was.
    pub(super) fn refusal(&self) -> Option<Failure> {
        self.left().refusal.clone()
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_large(text: String) -> Failure {
    Failure::new(Reason::TooLarge, text)
}
