//! The effective configuration with all defaults and without secrets, and the fingerprints of probes.
//!
//! The text is compressed while it is built, one probe after the other, because it would take more memory than the
//! state of the probes.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{CheckInfo, ProbeInfo, Server, global::GlobalSettings};
use crate::{
    compress::{self, Compressed, Compressor, Decompressor, StreamPart},
    document::to_yaml,
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
    /// Starts with everything before the probes.
    pub(super) fn new(globals: &GlobalSettings, server: &Server) -> Self {
        #[derive(Serialize)]
        struct Head<'a> {
            service: &'a str,
            server: &'a Server,
            state: &'a Option<std::path::PathBuf>,
            concurrency: super::Concurrency,
            defaults: &'a super::timing::Defaults,
        }
        let GlobalSettings { service, state, concurrency, defaults, .. } = globals;
        let head = to_yaml(&Head { service, server, state, concurrency: *concurrency, defaults });
        let mut compressor = Compressor::new(StreamPart::First);
        compressor.push(head.as_bytes());
        compressor.push(PROBES_LINE.as_bytes());
        Self(compressor)
    }

    /// Adds one probe.
    pub(super) fn add_probe(&mut self, info: &ProbeInfo, effective: EffectiveSettings) {
        // The probe is serialized as a list, and the first line of the list is already written.
        let list = to_yaml(&json!({ "probes": [probe_to_json(info, effective)] }));
        self.0.push(list.trim_start_matches(PROBES_LINE).as_bytes());
    }

    pub(super) fn finish(self) -> EffectiveConfig {
        EffectiveConfig { compressed: self.0.finish() }
    }
}

fn probe_to_json(info: &ProbeInfo, effective: EffectiveSettings) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), json!(info.name));
    map.insert(info.kind.into(), effective.probe);
    let timing = info.timing;
    for (key, period) in
        [("interval", timing.interval), ("timeout", timing.timeout), ("retry_interval", timing.retry_interval)]
    {
        map.insert(key.into(), json!(Period(period)));
    }
    map.insert("depends_on".into(), json!(info.depends_on));
    map.insert("service".into(), json!(info.service));
    map.insert("labels".into(), json!(info.labels));
    map.insert("enabled".into(), json!(info.enabled));
    let checks = info.checks.iter().zip(effective.checks);
    map.insert("checks".into(), checks.map(|(info, settings)| check_to_json(info, settings)).collect());
    map.into()
}

fn check_to_json(info: &CheckInfo, settings: Value) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), json!(info.name));
    map.insert(info.kind.into(), settings);
    if let Ok(Value::Object(rest)) = serde_json::to_value(info) {
        map.extend(rest.into_iter().filter(|(key, _)| key != "kind" && key != "name"));
    }
    map.into()
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
