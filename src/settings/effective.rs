//! The configuration as it takes effect: every default filled in, secrets hidden by their type; and what tells two
//! configurations of a probe apart.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{CheckInfo, ProbeInfo, ProbeSettings, Server, scalars::Scalars};
use crate::{node::to_yaml, units::Period};

/// The whole configuration as YAML, in the order and with the words of its files. A text, because as a tree ten
/// thousand probes would take as much memory as everything else of them.
pub(super) fn of(scalars: &Scalars, server: &Server, probes: &[ProbeSettings]) -> String {
    #[derive(Serialize)]
    struct Whole<'a> {
        service: &'a str,
        server: &'a Server,
        state: &'a Option<std::path::PathBuf>,
        concurrency: super::Concurrency,
        defaults: &'a super::scalars::Defaults,
        probes: Probes<'a>,
    }
    to_yaml(&Whole {
        service: &scalars.service,
        server,
        state: &scalars.state,
        concurrency: scalars.concurrency,
        defaults: &scalars.defaults,
        probes: Probes(probes),
    })
}

/// Written one after the other, so that only one of them is a tree at a time.
struct Probes<'a>(&'a [ProbeSettings]);

impl Serialize for Probes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(probe))
    }
}

fn probe(probe: &ProbeSettings) -> Value {
    let info = &probe.info;
    let mut map = Map::new();
    map.insert("name".into(), json!(info.name));
    map.insert(info.kind.into(), probe.written.effective().clone());
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
    let checks = info.checks.iter().zip(probe.written.effective_checks());
    map.insert("checks".into(), checks.map(|(info, settings)| check(info, settings)).collect());
    map.into()
}

fn check(info: &CheckInfo, settings: &Value) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), json!(info.name));
    map.insert(info.kind.into(), settings.clone());
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
