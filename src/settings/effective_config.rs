//! The effective configuration with all defaults and without secrets, and the fingerprints of probes.
//!
//! The text is compressed while it is built, one probe after the other, because it would take more memory than the
//! state of the probes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    CheckInfo, ProbeInfo,
    check::CheckList,
    effective_yaml::{EffectiveYaml, Entry, ValueSource},
    global::LoadedGlobals,
    inherit::{INHERITED_KEYS, InheritedKeys, Level, label_sources, source_of},
    people_text::TEXT_KEYS,
    timing,
};
use crate::{
    checks::health,
    compress::{self, Compressed, Compressor, Decompressor, StreamPart},
    document::{Diagnostics, Location, Node},
    kind::EffectiveSettings,
    model::units::Period,
};

/// Line above the list of probes.
const PROBES_LINE: &str = "probes:\n";

/// The effective configuration as YAML, served at `/config`.
#[derive(Debug)]
pub struct EffectiveConfig {
    compressed: Compressed,
}

impl EffectiveConfig {
    /// Decompresses the text in chunks.
    fn decompress(&self) -> Decompressor {
        Decompressor::new(self.compressed.chunks.clone().into_iter(), &self.compressed.checksum)
    }

    /// The entry of a probe with one of its checks; `None` if there is no such check.
    #[must_use]
    pub fn check_section(&self, probe: &str, check: &str) -> Option<String> {
        super::config_section::check_section(&self.to_string(), probe, check)
    }

    /// The text, compressed as the first part of a gzip stream.
    pub(crate) fn compressed(&self) -> &Compressed {
        &self.compressed
    }
}

impl From<&str> for EffectiveConfig {
    fn from(text: &str) -> Self {
        Self { compressed: compress::compress_part(text.as_bytes(), StreamPart::First) }
    }
}

impl std::fmt::Display for EffectiveConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: Vec<_> = self.decompress().collect();
        f.write_str(&String::from_utf8_lossy(&bytes.concat()))
    }
}

/// Builds the effective configuration in the order and with the keys of the configuration files.
pub(super) struct EffectiveConfigBuilder(Compressor);

impl EffectiveConfigBuilder {
    /// Starts with everything before the probes. `files` has the names of the files.
    pub(super) fn new(globals: &LoadedGlobals, files: &Diagnostics) -> Self {
        let LoadedGlobals { settings, server, defaults, written } = globals;
        let entry = |key, value| Entry::new(key, value, ValueSource::of(written.get(key)));
        let mut yaml = EffectiveYaml::new(files);
        yaml.push_map(
            0,
            vec![
                entry("service", json!(settings.service)),
                entry("server", json!(server)),
                entry("state", json!(settings.state)),
                entry("concurrency", json!(settings.concurrency)),
                entry("defaults", json!(with_built_in(&defaults.keys))),
            ],
        );
        let mut compressor = Compressor::new(StreamPart::First);
        compressor.push(yaml.finish().as_bytes());
        compressor.push(PROBES_LINE.as_bytes());
        Self(compressor)
    }

    /// Adds one probe.
    pub(super) fn add_probe(
        &mut self,
        info: &ProbeInfo,
        effective: EffectiveSettings,
        sources: &ProbeSources<'_>,
        files: &Diagnostics,
    ) {
        let mut yaml = EffectiveYaml::new(files);
        let labels = label_sources(sources.levels);
        yaml.push_item(PROBE_INDENT, probe_entries(info, effective.probe, sources, &labels));
        yaml.push_key(PROBE_INDENT + 2, "checks");
        let settings = sources.checks.settings.iter().zip(&sources.checks.own);
        for ((info, effective), (settings, own)) in info.checks.iter().zip(effective.checks).zip(settings) {
            let levels: Vec<&Level> = std::iter::once(own).chain(sources.levels.iter().copied()).collect();
            let labels = label_sources(&[own]);
            yaml.push_item(PROBE_INDENT + 4, check_entries(info, effective, settings, &levels, &labels));
        }
        self.0.push(yaml.finish().as_bytes());
    }

    pub(super) fn finish(self) -> EffectiveConfig {
        EffectiveConfig { compressed: self.0.finish() }
    }
}

/// The nodes from which a probe was read.
pub(super) struct ProbeSources<'a> {
    /// Inherited values of the probe, nearest first.
    pub levels: &'a [&'a Level],
    /// Settings of the probe kind.
    pub settings: &'a Node,
    /// Settings of the daemon.
    pub global: &'a Node,
    pub checks: &'a CheckList,
}

/// Indentation of the list of probes.
const PROBE_INDENT: usize = 2;

/// The defaults, with the built-in values of keys that have one.
fn with_built_in(keys: &InheritedKeys) -> InheritedKeys {
    let interval = keys.interval.unwrap_or(timing::DEFAULT_INTERVAL);
    InheritedKeys {
        interval: Some(interval),
        timeout: Some(keys.timeout.unwrap_or(timing::DEFAULT_TIMEOUT.min(interval))),
        failure_threshold: Some(keys.failure_threshold.unwrap_or(1)),
        success_threshold: Some(keys.success_threshold.unwrap_or(1)),
        ..keys.clone()
    }
}

fn probe_entries<'a>(
    info: &'a ProbeInfo,
    settings: Value,
    sources: &ProbeSources<'a>,
    labels: &'a BTreeMap<String, Location>,
) -> Vec<Entry<'a>> {
    let own = sources.levels.first().map(|level| &level.node);
    let inherited =
        |key, period| Entry::new(key, json!(Period(period)), ValueSource::at(source_of(sources.levels, key)));
    let of_probe = |key| own.and_then(|node| node.get(key));
    let written = |key, value| Entry::new(key, value, ValueSource::of(of_probe(key)));
    let service = of_probe("service").or_else(|| sources.global.get("service"));
    let title = (!info.title.is_empty()).then(|| written("title", json!(info.title)));
    let mut entries = vec![
        written("name", json!(info.name)),
        Entry::new(info.kind, settings, ValueSource::Node(sources.settings)),
        inherited("interval", info.timing.interval),
        inherited("timeout", info.timing.timeout),
        inherited("retry_interval", info.timing.retry_interval),
        written("depends_on", json!(info.depends_on)),
        Entry::new("service", json!(info.service), ValueSource::of(service)),
        Entry::new("labels", json!(info.labels), ValueSource::Keys(labels)),
        written("enabled", enabled_to_json(info.enabled, &info.disabled_reason)),
    ];
    entries.splice(1..1, title);
    entries
}

fn check_entries<'a>(
    info: &'a CheckInfo,
    settings: Value,
    written: &'a Node,
    levels: &[&'a Level],
    labels: &'a BTreeMap<String, Location>,
) -> Vec<Entry<'a>> {
    let own = levels.first().map(|level| &level.node);
    let mut map = match serde_json::to_value(info) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let of_check = |key: &str| own.and_then(|node| node.get(key)).map(Node::key_location);
    let mut entries = vec![
        Entry::new("name", map.remove("name").unwrap_or_default(), ValueSource::at(of_check("name"))),
        Entry::new(info.kind, settings, ValueSource::Node(written)),
    ];
    map.remove("kind");
    map.remove("disabled_reason");
    map.insert("enabled".to_owned(), enabled_to_json(info.enabled, &info.disabled_reason));
    if info.labels.is_empty() {
        map.remove("labels");
    }
    for (key, value) in map {
        // The texts of the probe are the fallback of its health check.
        let is_fallback = || TEXT_KEYS.contains(&&*key) && info.kind == health::NAME;
        let of_probe = || levels.get(1).filter(|_| is_fallback())?.node.get(&key).map(Node::key_location);
        let source = match &*key {
            "labels" => ValueSource::Keys(labels),
            key if INHERITED_KEYS.contains(&key) => ValueSource::at(source_of(levels, key)),
            key => ValueSource::at(of_check(key).or_else(of_probe)),
        };
        entries.push(Entry::new(key, value, source));
    }
    entries
}

/// Value of the key `enabled`.
fn enabled_to_json(enabled: bool, disabled_reason: &str) -> Value {
    if enabled || disabled_reason.is_empty() { json!(enabled) } else { json!(disabled_reason) }
}

/// Fingerprint of a probe's configuration, including secrets and interpolated values.
pub(super) fn fingerprint(info: &ProbeInfo, canonical: &str) -> [u8; 32] {
    let known = serde_json::to_vec(info).unwrap_or_default();
    Sha256::new().chain_update(known).chain_update([0]).chain_update(canonical).finalize().into()
}

/// Identity of a probe's configuration without secrets, because the state file contains it.
pub(super) fn identity(info: &ProbeInfo, effective: &EffectiveSettings) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(info.kind);
    digest.update(effective.probe.to_string());
    for (info, check) in info.checks.iter().zip(&effective.checks) {
        digest.update([0]);
        digest.update(&info.name);
        digest.update(check.to_string());
    }
    let mut identity = [0; 16];
    identity.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    identity
}
