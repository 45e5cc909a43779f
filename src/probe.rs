//! Vocabulary of observing: what a probe is, what one run of it brings back and the reasons why it may not.
//!
//! All I/O of the program's purpose happens behind [`Probe::observe`]. A probe never judges: that is `check`'s work.

use std::future::Future;

use crate::{
    io::context::Context,
    model::{
        metric::Sample,
        observation::{Facts, Incomplete},
    },
};

/// Something that observes one thing, again and again.
pub trait Probe: Send + Sync + 'static {
    /// What one run brings back.
    type Facts: Facts;

    /// The host it talks to: runs against one host are bounded together. `None` for local work.
    fn host(&self) -> Option<&str> {
        None
    }

    /// Fills in the labels of a check's limit that only the probe knows, such as where its backups are.
    fn label_limit(&self, limit: &mut Sample) {
        let _ = limit;
    }

    /// One run. It changes nothing at the other end and may be dropped at any await: dropping is cancellation,
    /// and nothing of it goes on afterwards.
    fn observe(&self, cx: &Context) -> impl Future<Output = Result<Self::Facts, Incomplete<Self::Facts>>> + Send;
}
