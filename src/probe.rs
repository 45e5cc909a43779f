//! Trait `Probe`: observes a target.
//!
//! All I/O with targets happens in [`Probe::observe`]. A probe never judges; its checks do.

use std::future::Future;

use crate::{
    io::context::Context,
    model::{
        metric::Sample,
        observation::{Facts, Incomplete},
    },
};

/// A probe: collects the facts of one target in each run.
pub trait Probe: Send + Sync + 'static {
    /// Facts of a run.
    type Facts: Facts;

    /// Host of the target. The number of concurrent runs against one host is bounded. `None` for local targets.
    fn host(&self) -> Option<&str> {
        None
    }

    /// Adds the labels that only the probe knows, such as the location of backups, to the limit of a check.
    fn add_probe_labels(&self, limit: &mut Sample) {
        let _ = limit;
    }

    /// Runs once. A run changes nothing at the target. Dropping the future cancels the run, and no work continues
    /// afterwards.
    fn observe(&self, cx: &Context) -> impl Future<Output = Result<Self::Facts, Incomplete<Self::Facts>>> + Send;
}
