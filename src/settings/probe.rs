//! Reads the entries of `probes`: common keys, one kind and the checks.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    CheckInfo, ProbeInfo, ProbeSettings, check,
    common::{KnownKind, MAX_NAME_LEN, NAME_PATTERN, split_keys, validate_name},
    dependencies, effective_config,
    files::take_key,
    global::{self, GlobalSettings},
    timing,
};
use crate::{
    catalogue,
    document::{Diagnostics, Location, MapEntry, Node, NodeValue},
    model::{metric, units::Period},
};

/// Top-level keys that this version doesn't support.
const PLANNED_KEYS: [&str; 2] = ["slos", "checklists"];
/// Labels that Prometheus adds to every series. With `honor_labels` the labels of the series win, and no alert would
/// match an info series with another job than the probe's other series.
const SCRAPE_LABELS: [&str; 2] = ["job", "instance"];
/// Settings of every probe, beside its kind and `checks`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CommonProbeKeys {
    /// Name of the probe, unique in the configuration; value of the label `probe`.
    #[schemars(with = "String", regex(pattern = NAME_PATTERN), length(max = MAX_NAME_LEN))]
    pub name: Option<String>,
    /// Time between the starts of two runs, from 100ms to 7d. Default: `defaults.interval`.
    pub interval: Option<Period>,
    /// Maximum duration of a run, at most the interval. Default: `defaults.timeout`, or the interval if it is shorter.
    pub timeout: Option<Period>,
    /// Time between the starts of two runs while the probe fails, at most the interval. Default: the interval.
    pub retry_interval: Option<Period>,
    /// Names of probes, or of checks as `PROBE/CHECK`. While the last run of one of them failed, this probe is skipped.
    pub depends_on: Vec<String>,
    /// Service that the probe observes. Default: the top-level `service`.
    pub service: Option<String>,
    /// Additional labels of the metrics `readiness_probe_info` and `readiness_check_info`.
    pub labels: BTreeMap<String, String>,
    /// Whether the probe runs and its checks are judged. Default: true.
    pub enabled: Option<bool>,
}

/// Names of the keys of [`CommonProbeKeys`].
pub(super) const COMMON_KEYS: [&str; 8] =
    ["name", "interval", "timeout", "retry_interval", "depends_on", "service", "labels", "enabled"];

/// Reads the probes of all documents and adds them to the effective configuration.
pub(super) fn load(
    documents: Vec<Node>,
    globals: &GlobalSettings,
    shown: &mut effective_config::EffectiveConfigBuilder,
    problems: &mut Diagnostics,
) -> Vec<ProbeSettings> {
    let known = catalogue::all().into_iter().map(|kind| KnownKind { check_kinds: (kind.checks)(), kind }).collect();
    let mut reader = ProbeReader { known, globals, names: HashMap::new(), graph: Vec::new(), shown, problems };
    let mut found = Vec::new();
    for mut document in documents {
        let entries = take_key(&mut document, "probes");
        reader.reject_unknown_keys(&document);
        match entries {
            None | Some(Node { value: NodeValue::Null, .. }) => {}
            Some(Node { value: NodeValue::List(items), .. }) => {
                found.extend(items.into_iter().filter_map(|item| reader.read_probe(item)));
            }
            Some(node) => reader.problems.push_expected(&node, "a list of probes"),
        }
    }
    dependencies::check_dependencies(&reader.graph, reader.problems);
    found
}

struct ProbeReader<'a> {
    known: Vec<KnownKind>,
    globals: &'a GlobalSettings,
    /// Location of each name.
    names: HashMap<String, Location>,
    graph: Vec<dependencies::DependencyNode>,
    shown: &'a mut effective_config::EffectiveConfigBuilder,
    problems: &'a mut Diagnostics,
}

impl ProbeReader<'_> {
    /// Reports unknown top-level keys.
    fn reject_unknown_keys(&mut self, document: &Node) {
        if !matches!(document.value, NodeValue::Map(_)) {
            return self.problems.push_expected(document, "a map with keys such as `probes`");
        }
        for MapEntry { key, node } in document.entries() {
            if PLANNED_KEYS.contains(&&**key) {
                self.problems.push(node.key, format!("`{key}` is not supported yet"), None);
            } else {
                let valid = global::GLOBAL_KEYS.into_iter().chain(["include", "probes"]);
                self.problems.push_unknown(node.key, "key", key, valid);
            }
        }
    }

    fn read_probe(&mut self, mut node: Node) -> Option<ProbeSettings> {
        let before = self.problems.len();
        let location = node.location;
        if !matches!(node.value, NodeValue::Map(_)) {
            self.problems.push_expected(&node, "a probe: a map with `name` and a kind");
            return None;
        }
        let checks = take_key(&mut node, "checks");
        let (common, kinds) = split_keys(node, &COMMON_KEYS);
        let CommonProbeKeys { name, interval, timeout, retry_interval, depends_on, service, labels, enabled } =
            common.recover(self.problems).0.unwrap_or_default();
        let (timing, invalid) =
            timing::TimingKeys { interval, retry_interval, timeout }.with_defaults(&self.globals.defaults);
        for invalid in invalid {
            self.problems.push_invalid(&common, invalid);
        }
        self.check_labels(&common);
        let name = self.read_name(name, &common, location);
        self.graph.push(dependencies::DependencyNode::new(&name, &depends_on, common.get("depends_on"), location));

        if kinds.is_empty() && checks.as_ref().is_some_and(|node| matches!(node.value, NodeValue::Map(_))) {
            self.problems.push(location, "probes of kind `checks` are not supported yet", None);
            return None;
        }
        let (index, settings) = self.read_kind(kinds, location)?;
        let known = self.known.get(index)?;
        let checks = check::read(checks, known, &self.known, self.globals, self.problems);
        let config = checks.read(&settings, known, timing, self.problems);
        if self.problems.len() > before {
            return None;
        }
        let canonical = checks.write_canonical(&settings);
        let enabled = enabled.unwrap_or(true);
        // A check of a disabled probe is disabled, so that it doesn't block the overall verdict.
        let switched = |info: CheckInfo| Arc::new(CheckInfo { enabled: info.enabled && enabled, ..info });
        // Allocated at the exact size; an in-place collection would keep the larger allocation.
        let mut infos = Vec::with_capacity(checks.infos.len());
        infos.extend(checks.infos.into_iter().map(switched));
        if let Some(node) = self.graph.last_mut() {
            node.set_checks(infos.iter().map(|info| info.name.clone()));
        }
        let info = ProbeInfo {
            name,
            kind: known.kind.name,
            service: service.unwrap_or_else(|| self.globals.service.clone()),
            labels,
            timing,
            depends_on,
            enabled,
            phases: known.kind.phases,
            checks: infos,
        };
        let (config, effective) = config?;
        let fingerprint = effective_config::fingerprint(&info, &canonical);
        let identity = effective_config::identity(&info, &effective);
        self.shown.add_probe(&info, effective);
        Some(ProbeSettings { info: Arc::new(info), config, fingerprint, identity })
    }

    fn read_name(&mut self, name: Option<String>, common: &Node, location: Location) -> String {
        let at = common.get("name");
        let Some(name) = name else {
            if at.is_none_or(Node::is_null) {
                self.problems.push(location, "key `name` is missing: every probe has one", None);
            }
            return String::new();
        };
        if let Err(invalid) = validate_name(&name) {
            self.problems.push_invalid(common, invalid);
        }
        let here = at.map_or(location, |node| node.location);
        if let Some(first) = self.names.insert(name.clone(), here) {
            let first = self.problems.describe_location(first);
            let shown = at.and_then(Node::source_text).unwrap_or_default();
            self.problems.push(here, format!("probe `{shown}` is already defined in {first}"), None);
        }
        name
    }

    /// Finds the probe kind among the remaining keys, and its settings.
    fn read_kind(&mut self, kinds: Vec<MapEntry>, location: Location) -> Option<(usize, Node)> {
        let mut found: Option<(usize, Node)> = None;
        let mut named = false;
        for MapEntry { key, node } in kinds {
            if let Some(index) = self.known.iter().position(|known| known.kind.name == &*key) {
                if let Some((first, _)) = &found {
                    let first = self.known.get(*first).map_or("", |known| known.kind.name);
                    let message = format!("a second kind, `{key}`, beside `{first}`: a probe has one kind");
                    self.problems.push(node.key, message, None);
                } else {
                    found = Some((index, node));
                }
            } else if catalogue::planned_kinds().any(|kind| *kind == *key) {
                self.problems.push(node.key, format!("probes of kind `{key}` are not supported yet"), None);
            } else {
                let kinds = self.known.iter().map(|known| known.kind.name);
                self.problems.push_unknown(
                    node.key,
                    "key",
                    &key,
                    COMMON_KEYS.into_iter().chain(["checks"]).chain(kinds),
                );
            }
            named = true;
        }
        if !named {
            let kinds: Vec<_> = self.known.iter().map(|known| known.kind.name).collect();
            let message = format!("a probe needs a kind: {}", crate::document::list_words(&kinds));
            self.problems.push(location, message, None);
        }
        found
    }

    fn check_labels(&mut self, common: &Node) {
        let Some(labels) = common.get("labels") else { return };
        let ours: HashSet<&str> =
            [metric::PROBE_INFO.labels, metric::CHECK_INFO.labels].into_iter().flatten().copied().collect();
        for MapEntry { key, node } in labels.entries() {
            let message = if !metric::is_label_name(key) {
                format!("`{key}` is not a label name: letters, digits and `_`, neither a digit nor `__` first")
            } else if ours.contains(&**key) {
                format!("the label `{key}` is already used by the daemon itself")
            } else if SCRAPE_LABELS.contains(&&**key) {
                format!(
                    "the label `{key}` says where Prometheus scraped a series, and alerts go by it: choose another \
                     name, such as `service_{key}`"
                )
            } else {
                continue;
            };
            self.problems.push(node.key, message, None);
        }
    }
}
