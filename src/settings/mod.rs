//! Loads and validates the configuration. This module opens no socket and starts nothing.
//!
//! [`load`] takes these steps: files and includes, `${..}`, global settings merged with environment and flags, probes
//! with their checks, and validation across probes. It continues after an error where possible, so that all errors are
//! reported.

mod check;
mod common;
mod config_section;
mod dependencies;
mod effective_config;
mod effective_yaml;
mod files;
mod global;
mod inherit;
mod interpolate;
mod key_defaults;
mod misplaced_key;
mod names;
mod people_text;
mod probe;
mod schema;
mod text_file;
mod timing;

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Diagnostics, Location},
    kind::{CheckDescriptor, ProbeConfig},
    model::{
        failure::Invalid,
        measure::MeasureInfo,
        observation::Timing,
        words::{Alert, Category, Phase, Severity, WhilePending},
    },
};

pub use self::{
    effective_config::EffectiveConfig,
    key_defaults::{KeyGroup, built_in_default, daemon_schema, key_groups},
    schema::schema,
};

/// Sources of the configuration. Flags override the environment, and the environment overrides the files.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file, or a folder with `*.yaml` and `*.yml` files.
    pub path: PathBuf,
    /// The environment variables, passed in so that tests control them. They provide `${NAME}` and settings such as
    /// `READINESS_SERVER__LISTEN`.
    pub environment: BTreeMap<String, String>,
    /// Flags of the command line.
    pub flags: Flags,
}

/// Settings from the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--web.listen-address`; empty if not given.
    pub listen: Vec<String>,
    /// `--web.enable-lifecycle`.
    pub lifecycle: bool,
    /// `--web.external-url`.
    pub external_url: Option<String>,
    /// `--state.path`.
    pub state: Option<PathBuf>,
}

/// Loads the configuration.
///
/// # Errors
/// All errors with their locations.
pub fn load(sources: &Sources) -> Result<Settings, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut documents = files::load(&sources.path, &sources.environment, &mut problems);
    let globals = global::load(&mut documents, &sources.environment, &sources.flags, &mut problems);
    let mut shown = effective_config::EffectiveConfigBuilder::new(&globals, &problems);
    let probes = probe::load(documents, &globals, &mut shown, &mut problems);
    if !problems.is_empty() {
        return Err(problems.without_sources());
    }
    if probes.is_empty() {
        let message = format!("{} has no probes: nothing would be observed", sources.path.display());
        problems.push(Location::default(), message, None);
        return Err(problems);
    }
    let effective = Arc::new(shown.finish());
    let global::LoadedGlobals { settings, server, .. } = globals;
    Ok(Settings { server, state: settings.state, concurrency: settings.concurrency, probes, effective })
}

/// Returns the listening addresses of a configuration, ignoring errors in other settings.
///
/// # Errors
/// Errors of unreadable files that might contain the addresses, if neither flags nor environment provide them.
pub fn listen_addresses(sources: &Sources) -> Result<Vec<SocketAddr>, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut documents = files::load(&sources.path, &sources.environment, &mut problems);
    let is_written =
        documents.iter().filter_map(|document| document.get("server")).any(|it| it.get("listen").is_some());
    let is_above = !sources.flags.listen.is_empty() || sources.environment.contains_key("READINESS_SERVER__LISTEN");
    if !problems.is_empty() && !is_written && !is_above {
        return Err(problems.without_sources());
    }
    Ok(global::load(&mut documents, &sources.environment, &sources.flags, &mut problems).server.listen)
}

/// Rejects zero.
fn reject_zero(key: &'static str, number: usize) -> Option<Invalid> {
    (number == 0).then(|| Invalid::at(key, format!("`{key}` must be at least 1")))
}

/// A valid configuration.
pub struct Settings {
    /// Settings of the HTTP server.
    pub server: Server,
    /// Folder of the state file; without it no state survives a restart.
    pub state: Option<PathBuf>,
    /// Limits on concurrent runs.
    pub concurrency: Concurrency,
    /// The probes in the order of the files.
    pub probes: Vec<ProbeSettings>,
    /// The effective configuration.
    pub effective: Arc<EffectiveConfig>,
}

/// Settings of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Whether `POST /-/reload` is enabled.
    pub lifecycle: bool,
    /// URL under which clients reach the daemon, without a trailing slash.
    pub external_url: Option<String>,
    /// Additional host names under which `/config` and `/-/reload` are served.
    pub allowed_hosts: Vec<String>,
}

impl Server {
    /// Whether a host name may be used for `/config` and `/-/reload`.
    #[must_use]
    pub fn is_allowed_host(&self, host: &str) -> bool {
        let of_url = self.external_url.as_deref().and_then(names::host_of_url);
        of_url.iter().chain(&self.allowed_hosts).any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// Maximum number of concurrent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Concurrency {
    /// Maximum number of concurrent runs of all probes.
    pub total: usize,
    /// Maximum number of concurrent runs against one host.
    pub per_host: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { total: 512, per_host: 32 }
    }
}

/// A probe's public configuration and its settings.
pub struct ProbeSettings {
    /// Public configuration.
    pub info: Arc<ProbeInfo>,
    /// Settings of the probe and its checks.
    pub config: Box<dyn ProbeConfig>,
    /// Fingerprint of the configuration, including secrets. A reload keeps a probe running if its fingerprint is
    /// unchanged.
    pub fingerprint: [u8; 32],
    /// Digest of the configuration without secrets. A saved state is restored only under the same identity.
    pub identity: [u8; 16],
}

/// Public configuration of a probe, without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeInfo {
    /// Unique name.
    pub name: String,
    /// Name for people; may be empty.
    pub title: String,
    /// Name of the probe kind.
    pub kind: &'static str,
    /// Service that the probe observes.
    pub service: String,
    /// Host with its port, socket, or pattern of the files that the probe observes, without secrets. Empty if only a
    /// secret file names it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Configured labels for the info metrics, inherited labels included.
    pub labels: BTreeMap<String, String>,
    /// Interval, retry interval and timeout.
    pub timing: Timing,
    /// Names of probes, or of checks as `PROBE/CHECK`. This probe is skipped while the last run of a listed probe
    /// failed, or while the last result of a listed check is a failure.
    pub depends_on: Vec<String>,
    /// Whether the probe runs.
    pub enabled: bool,
    /// Reason for which the probe is disabled; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub disabled_reason: String,
    /// Phases of a run in order.
    pub phases: &'static [Phase],
    /// The checks, including `health`.
    pub checks: Vec<Arc<CheckInfo>>,
}

/// Public configuration of a check, without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct CheckInfo {
    /// Name, unique within the probe.
    pub name: String,
    /// Name for people; may be empty. [`CheckInfo::title_of`] returns the fallback.
    pub title: String,
    /// Name of the check kind.
    pub kind: &'static str,
    /// Aspect of readiness that the check covers.
    pub category: Category,
    /// Importance of a failure.
    pub severity: Severity,
    /// Whether the overall verdict depends on the check.
    pub gate: bool,
    /// Effect on the overall verdict while the check is pending for lack of observations.
    pub pending: WhilePending,
    /// Responsible person or team; may be empty.
    pub owner: String,
    /// URL of a page with instructions, or steps in Markdown; may be empty.
    pub runbook: String,
    /// Impact of a failure in one sentence; may be empty.
    pub summary: String,
    /// Labels of the check itself, which override the labels of its probe.
    pub labels: BTreeMap<String, String>,
    /// Consecutive worse results before the status gets worse.
    pub failure_threshold: u32,
    /// Consecutive better results before the status gets better.
    pub success_threshold: u32,
    /// Whether the check is judged.
    pub enabled: bool,
    /// Reason for which the check is disabled; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub disabled_reason: String,
    /// The alert that reports its failures.
    #[serde(skip)]
    pub alert: Alert,
    /// The measures that the check kind may report.
    #[serde(skip)]
    pub measures: &'static [MeasureInfo],
}

impl CheckInfo {
    /// Creates the configuration of a check kind with all defaults.
    #[must_use]
    pub fn of(kind: &CheckDescriptor) -> Self {
        Self {
            name: kind.name.to_owned(),
            title: String::new(),
            kind: kind.name,
            category: kind.category,
            severity: kind.severity,
            gate: kind.severity.gates_by_default(),
            pending: kind.while_pending,
            owner: String::new(),
            runbook: String::new(),
            summary: String::new(),
            labels: BTreeMap::new(),
            failure_threshold: 1,
            success_threshold: 1,
            enabled: true,
            disabled_reason: String::new(),
            alert: kind.alert,
            measures: kind.measures,
        }
    }

    /// The name of the check for people: its title, or `PROBE/CHECK`.
    #[must_use]
    pub fn title_of(&self, probe: &str) -> Cow<'_, str> {
        if self.title.is_empty() { format!("{probe}/{}", self.name).into() } else { (&*self.title).into() }
    }

    /// The URL of the runbook; empty if the runbook consists of steps.
    #[must_use]
    pub fn runbook_url(&self) -> &str {
        if self.has_runbook_url() { &self.runbook } else { "" }
    }

    /// The steps of the runbook in Markdown; empty if the runbook is a URL.
    #[must_use]
    pub fn runbook_steps(&self) -> &str {
        if self.has_runbook_url() { "" } else { &self.runbook }
    }

    fn has_runbook_url(&self) -> bool {
        !self.runbook.trim().contains(char::is_whitespace)
    }
}
