//! What an operator writes, read and held together: nothing here opens a socket or starts anything.
//!
//! [`load`] goes through it in this order: files and what they include, `${..}`, the scalar settings with environment
//! and flags laid over them, every probe with its checks, and at last what only shows in all of them together. It
//! goes on after a mistake wherever it can, so that all of them are listed.

mod check;
mod common;
mod dependencies;
mod effective_config;
mod files;
mod global;
mod interpolate;
mod names;
mod probe;
mod schema;
mod text_file;
mod timing;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    document::{Diagnostics, Location},
    kind::{CheckDescriptor, ProbeConfig},
    model::{
        failure::Invalid,
        measure::MeasureInfo,
        observation::Timing,
        words::{Alert, Category, Phase, Severity},
    },
};

pub use self::{effective_config::EffectiveConfig, schema::schema};

/// Where settings come from. The later ones win: the files, the environment, the flags.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file, or a folder whose `*.yaml` and `*.yml` are joined in the order of their names.
    pub path: PathBuf,
    /// The environment, given rather than looked up so that tests have their own: for `${NAME}`, and for scalar
    /// settings as `READINESS_SERVER__LISTEN`.
    pub environment: BTreeMap<String, String>,
    /// What the command line says.
    pub flags: Flags,
}

/// Scalar settings of the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--web.listen-address`; empty where it isn't given.
    pub listen: Vec<String>,
    /// `--web.enable-lifecycle`.
    pub lifecycle: bool,
    /// `--web.external-url`.
    pub external_url: Option<String>,
    /// `--state.path`.
    pub state: Option<PathBuf>,
}

/// Reads the configuration; it either holds together or everything that is wrong with it is listed.
///
/// # Errors
/// All mistakes with their places.
pub fn load(sources: &Sources) -> Result<Settings, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut documents = files::load(&sources.path, &sources.environment, &mut problems);
    let (globals, server) = global::load(&mut documents, &sources.environment, &sources.flags, &mut problems);
    let mut shown = effective_config::EffectiveConfigBuilder::new(&globals, &server);
    let probes = probe::load(documents, &globals, &mut shown, &mut problems);
    if !problems.is_empty() {
        return Err(problems.without_sources());
    }
    if probes.is_empty() {
        let message = format!("{} has no probes: nothing would be watched", sources.path.display());
        problems.push(Location::default(), message, None);
        return Err(problems);
    }
    let effective = Arc::new(shown.finish());
    Ok(Settings { server, state: globals.state, concurrency: globals.concurrency, probes, effective })
}

/// Where a daemon with these settings listens; mistakes elsewhere in them don't matter.
///
/// # Errors
/// What is wrong with files that can't be read and might have named an address, where nothing that goes before them
/// does.
pub fn listen_addresses(sources: &Sources) -> Result<Vec<SocketAddr>, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut documents = files::load(&sources.path, &sources.environment, &mut problems);
    let is_written =
        documents.iter().filter_map(|document| document.get("server")).any(|it| it.get("listen").is_some());
    let is_above = !sources.flags.listen.is_empty() || sources.environment.contains_key("READINESS_SERVER__LISTEN");
    if !problems.is_empty() && !is_written && !is_above {
        return Err(problems.without_sources());
    }
    Ok(global::load(&mut documents, &sources.environment, &sources.flags, &mut problems).1.listen)
}

/// Refuses a number that must not be zero.
fn reject_zero(key: &'static str, number: usize) -> Option<Invalid> {
    (number == 0).then(|| Invalid::at(key, format!("`{key}` must be at least 1")))
}

/// A whole configuration that holds together.
pub struct Settings {
    /// The doors.
    pub server: Server,
    /// The folder for what must survive a restart; nothing survives without.
    pub state: Option<PathBuf>,
    /// How much may run at once.
    pub concurrency: Concurrency,
    /// Every probe, in the order of the files.
    pub probes: Vec<ProbeSettings>,
    /// The whole of it as it takes effect.
    pub effective: Arc<EffectiveConfig>,
}

/// Settings of the daemon's own doors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Whether POST `/-/reload` is switched on.
    pub lifecycle: bool,
    /// URL under which clients reach this daemon, without a slash at its end.
    pub external_url: Option<String>,
    /// Host names, beside that of the external URL, with which `/config` and `/-/reload` may be requested.
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

/// One probe: what everyone may know of it, and its settings.
pub struct ProbeSettings {
    /// What the board knows of it.
    pub info: Arc<ProbeInfo>,
    /// Its settings and those of its checks.
    pub config: Box<dyn ProbeConfig>,
    /// Equal for two configurations in which this probe and its checks say the same, secrets included: then a
    /// reload leaves it running.
    pub fingerprint: [u8; 32],
    /// A digest of what it is configured to do, secrets left out: what was saved under another one is not taken back
    /// after a restart.
    pub identity: [u8; 16],
}

/// What everyone may know of a probe; no secrets.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeInfo {
    /// Unique.
    pub name: String,
    /// Name of its kind.
    pub kind: &'static str,
    /// What it is about.
    pub service: String,
    /// The user's own labels; they end up on the info metrics.
    pub labels: BTreeMap<String, String>,
    /// When it runs.
    pub timing: Timing,
    /// While a probe named here fails, this one is skipped.
    pub depends_on: Vec<String>,
    /// Switched on.
    pub enabled: bool,
    /// The phases of its runs, in their order.
    pub phases: &'static [Phase],
    /// Its checks; `health` is always among them.
    pub checks: Vec<Arc<CheckInfo>>,
}

/// What everyone may know of a check; no secrets.
#[derive(Debug, Clone, Serialize)]
pub struct CheckInfo {
    /// Unique within its probe.
    pub name: String,
    /// Name of its kind.
    pub kind: &'static str,
    /// The part of readiness that it is about.
    pub category: Category,
    /// How bad it is when it fails.
    pub severity: Severity,
    /// Whether it takes part in the overall verdict.
    pub gate: bool,
    /// Who looks after it; may be empty.
    pub owner: String,
    /// URL of a page that says what to do; may be empty.
    pub runbook: String,
    /// A sentence of the user about what this check is for; may be empty.
    pub summary: String,
    /// So many runs in a row must be worse before the status gets worse.
    pub failure_threshold: u32,
    /// So many runs in a row must be better before the status gets better.
    pub success_threshold: u32,
    /// Switched on.
    pub enabled: bool,
    /// The alert that reports its failures.
    #[serde(skip)]
    pub alert: Alert,
    /// The measures that its kind may report.
    #[serde(skip)]
    pub measures: &'static [MeasureInfo],
}

impl CheckInfo {
    /// A check of a kind with every key at its default.
    #[must_use]
    pub fn of(kind: &CheckDescriptor) -> Self {
        Self {
            name: kind.name.to_owned(),
            kind: kind.name,
            category: kind.category,
            severity: kind.severity,
            gate: kind.severity.gates(),
            owner: String::new(),
            runbook: String::new(),
            summary: String::new(),
            failure_threshold: 1,
            success_threshold: 1,
            enabled: true,
            alert: kind.alert,
            measures: kind.measures,
        }
    }
}
