//! The configuration as it takes effect: every default filled in, secrets hidden by their type; and what tells two
//! configurations of a probe apart.
//!
//! It is kept packed, and while it is put together never more than one probe is a tree: either would take more memory
//! than all that is kept of the probes.

use std::io::{BufWriter, Write};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{CheckInfo, ProbeInfo, Server, scalars::Scalars};
use crate::{
    gzip::{Packer, Place, Sum, Unpacker},
    kind::Effect,
    node::write_yaml,
    units::Period,
};

/// So much text is packed at once.
const PIECE: usize = 32 << 10;

/// The whole configuration as YAML, with every default filled in and secrets hidden: what `/config` shows.
#[derive(Debug)]
pub struct Effective {
    packed: bytes::Bytes,
    sum: Sum,
}

impl Effective {
    fn packed(packer: Packer) -> Self {
        let (packed, sum) = packer.finish();
        Self { packed, sum }
    }

    /// The text, piece by piece.
    pub(crate) fn unpack(&self) -> Unpacker {
        Unpacker::new(&self.packed, &self.sum)
    }
}

impl From<&str> for Effective {
    fn from(text: &str) -> Self {
        let mut packer = Packer::new(Place::First);
        packer.push(text.as_bytes());
        Self::packed(packer)
    }
}

impl std::fmt::Display for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: Vec<_> = self.unpack().collect();
        f.write_str(&String::from_utf8_lossy(&bytes.concat()))
    }
}

/// The whole configuration in the order and with the words of its files; `probes` are lines of [`line()`].
pub(super) fn of(scalars: &Scalars, server: &Server, probes: &str) -> Effective {
    #[derive(Serialize)]
    struct Whole<'a> {
        service: &'a str,
        server: &'a Server,
        state: &'a Option<std::path::PathBuf>,
        concurrency: super::Concurrency,
        defaults: &'a super::scalars::Defaults,
        probes: Probes<'a>,
    }
    let whole = Whole {
        service: &scalars.service,
        server,
        state: &scalars.state,
        concurrency: scalars.concurrency,
        defaults: &scalars.defaults,
        probes: Probes(probes),
    };
    let mut packer = Packer::new(Place::First);
    let mut text = BufWriter::with_capacity(PIECE, &mut packer);
    if let Err(error) = write_yaml(&whole, &mut text) {
        let _ = writeln!(text, "# {error}");
    }
    // The rest goes to the packer, which refuses nothing.
    drop(text);
    Effective::packed(packer)
}

/// Written one after the other, so that only one of them is a tree at a time.
struct Probes<'a>(&'a str);

impl Serialize for Probes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default()))
    }
}

/// Adds one probe, as a line of JSON.
pub(super) fn line(info: &ProbeInfo, effect: Effect, lines: &mut String) {
    let mut map = Map::new();
    map.insert("name".into(), json!(info.name));
    map.insert(info.kind.into(), effect.probe);
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
    let checks = info.checks.iter().zip(effect.checks);
    map.insert("checks".into(), checks.map(|(info, settings)| check(info, settings)).collect());
    lines.push_str(&Value::from(map).to_string());
    lines.push('\n');
}

fn check(info: &CheckInfo, settings: Value) -> Value {
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
pub(super) fn identity(info: &ProbeInfo, effect: &Effect) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(info.kind);
    digest.update(effect.probe.to_string());
    for (info, check) in info.checks.iter().zip(&effect.checks) {
        digest.update([0]);
        digest.update(&info.name);
        digest.update(check.to_string());
    }
    let mut identity = [0; 16];
    identity.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    identity
}
