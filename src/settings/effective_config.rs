//! The configuration as it takes effect: every default filled in, secrets hidden by their type; and what tells two
//! configurations of a probe apart.
//!
//! It is packed while it is put together, one probe after the other: as text it would take more memory than all that is
//! kept of the probes.

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

/// What stands above the list of probes.
const PROBES_LINE: &str = "probes:\n";

/// The whole configuration as YAML, with every default filled in and secrets hidden: what `/config` shows.
#[derive(Debug)]
pub struct EffectiveConfig {
    compressed: Compressed,
}

impl EffectiveConfig {
    /// The text, piece by piece.
    fn decompress(&self) -> Decompressor {
        Decompressor::new(self.compressed.chunks.clone().into_iter(), &self.compressed.checksum)
    }

    /// The text, compressed as the first part of a stream.
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

/// The whole configuration in the order and with the words of its files, as far as it is written.
pub(super) struct EffectiveConfigBuilder(Compressor);

impl EffectiveConfigBuilder {
    /// Everything that comes before the probes.
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
        // As it stands in the whole list, of which the first line is there already.
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

/// Equal for two probes that say the same, with secrets and with everything that was filled in.
pub(super) fn fingerprint(info: &ProbeInfo, canonical: &str) -> [u8; 32] {
    let known = serde_json::to_vec(info).unwrap_or_default();
    Sha256::new().chain_update(known).chain_update([0]).chain_update(canonical).finalize().into()
}

/// Tells whether a probe still does the same after a restart; made from what is public, since it lies in the state
/// file.
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
