//! The daemon's metrics about itself: metrics of the `prometheus` crate in a registry.
//!
//! Each daemon has a registry of its own, so that tests and embedding programs can run several in one process. Names,
//! labels and help texts come from [`crate::model::metric`].

use parking_lot::Mutex;
use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector, proto::MetricFamily,
};

use crate::model::metric::{self, Family};

/// Metrics of one daemon. Updates are atomic and need no lock.
#[derive(Debug)]
pub struct DaemonMetrics {
    registry: Registry,
    /// Error of the last attempt to load the configuration, if the attempt failed.
    reload_error: Mutex<Option<ReloadError>>,
    /// 1 if the last attempt to load the configuration worked, else 0.
    pub reload_successful: IntGauge,
    /// Time of the last successful load, in seconds since the epoch.
    pub reload_timestamp: Gauge,
    /// Panics caught in probes and checks.
    pub panics: IntCounter,
    /// State files written.
    pub state_writes: IntCounter,
    /// State files that could not be written.
    pub state_failures: IntCounter,
    /// Seconds that the last rendering of a metrics page took.
    pub render_duration: Gauge,
    /// Tasks that are alive.
    pub tasks: IntGauge,
}

/// The first error of a failed reload, for pages and the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadError {
    /// File and line; empty if the error has no location.
    pub location: String,
    /// Description of the error and of the correction.
    pub message: String,
    /// Number of further errors.
    pub more: usize,
}

/// The families of these metrics.
pub(crate) static FAMILIES: [&Family; 7] = [
    &metric::BUILD_INFO,
    &metric::CONFIG_RELOAD_SUCCESSFUL,
    &metric::CONFIG_RELOAD_TIMESTAMP,
    &metric::SCRAPE_DURATION,
    &metric::TASKS,
    &metric::PANICS,
    &metric::STATE_WRITES,
];

impl Default for DaemonMetrics {
    fn default() -> Self {
        let registry = Registry::new();
        registered(&registry, build_info());
        let state_writes =
            registered(&registry, IntCounterVec::new(options(&metric::STATE_WRITES), metric::STATE_WRITES.labels));
        Self {
            reload_successful: registered(&registry, IntGauge::with_opts(options(&metric::CONFIG_RELOAD_SUCCESSFUL))),
            reload_timestamp: registered(&registry, Gauge::with_opts(options(&metric::CONFIG_RELOAD_TIMESTAMP))),
            panics: registered(&registry, IntCounter::with_opts(options(&metric::PANICS))),
            state_writes: state_writes.with_label_values(&["success"]),
            state_failures: state_writes.with_label_values(&["failure"]),
            render_duration: registered(&registry, Gauge::with_opts(options(&metric::SCRAPE_DURATION))),
            tasks: registered(&registry, IntGauge::with_opts(options(&metric::TASKS))),
            reload_error: Mutex::default(),
            registry,
        }
    }
}

impl DaemonMetrics {
    /// The registry that holds these metrics; further collectors may be added to it.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The current values of every collector in the registry.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Records a successful load of the configuration.
    pub fn record_reload(&self, seconds_since_epoch: f64) {
        *self.reload_error.lock() = None;
        self.reload_successful.set(1);
        self.reload_timestamp.set(seconds_since_epoch);
    }

    /// Records a failed load of the configuration.
    pub fn record_failed_reload(&self, error: Option<ReloadError>) {
        *self.reload_error.lock() = error;
        self.reload_successful.set(0);
    }

    /// The first error of the last load, if the load failed.
    #[must_use]
    pub fn reload_error(&self) -> Option<ReloadError> {
        self.reload_error.lock().clone()
    }
}

/// Version, revision and compiler of this build; the value is always 1.
///
/// # Errors
/// The name or a label is not valid, which a test excludes.
pub(crate) fn build_info() -> prometheus::Result<IntGaugeVec> {
    let info = IntGaugeVec::new(options(&metric::BUILD_INFO), metric::BUILD_INFO.labels)?;
    let labels = [env!("CARGO_PKG_VERSION"), env!("READINESS_REVISION"), env!("READINESS_RUSTC")];
    info.get_metric_with_label_values(&labels)?.set(1);
    Ok(info)
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

#[expect(
    clippy::expect_used,
    reason = "names and labels are constants: an invalid or repeated one fails in every test that creates a board"
)]
fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("valid names and labels");
    registry.register(Box::new(metric.clone())).expect("each metric is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_daemons_in_one_process_count_separately_and_expose_only_known_families() {
        let (one, other) = (DaemonMetrics::default(), DaemonMetrics::default());
        one.panics.inc();
        one.state_failures.inc();
        one.record_reload(17.0);
        assert_eq!((one.panics.get(), other.panics.get()), (1, 0));
        assert_eq!((one.reload_successful.get(), other.reload_successful.get()), (1, 0));
        let gathered = one.gather();
        let names: BTreeSet<_> = gathered.iter().map(MetricFamily::name).collect();
        assert_eq!(names, FAMILIES.iter().map(|family| family.name).collect());
        assert!(FAMILIES.iter().all(|family| metric::ALL.contains(family)));
        let writes = gathered.iter().find(|family| family.name() == metric::STATE_WRITES.name).unwrap();
        let values: Vec<_> = writes.get_metric().iter().map(|metric| metric.get_counter().get_value()).collect();
        assert_eq!(values, [1.0, 0.0], "sorted by label value: failure, success");
    }
}
