//! Reads the entries of `probes`: common keys, one kind and the checks.

use std::{collections::HashMap, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    CheckInfo, ProbeInfo, ProbeSettings, check,
    common::{Activation, KnownKind, MAX_NAME_LEN, NAME_PATTERN, split_keys, validate_name},
    dependencies, effective_config,
    files::take_key,
    global::{self, LoadedGlobals},
    inherit::{INHERITED_KEYS, Level, join_labels, resolve_timing, valid_interval},
    misplaced_key::{KeyLevel, path_at_another_level},
    people_text::PeopleTexts,
};
use crate::{
    catalogue,
    checks::health,
    document::{Diagnostics, Location, MapEntry, Node, NodeValue},
};

/// Top-level keys that this version doesn't support.
const PLANNED_KEYS: [&str; 2] = ["slos", "checklists"];
/// Settings of a probe.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CommonProbeKeys {
    /// Name of the probe, unique in the configuration; value of the label `probe`.
    #[schemars(with = "String", regex(pattern = NAME_PATTERN), length(max = MAX_NAME_LEN))]
    pub name: Option<String>,
    /// Names of probes, or of checks as `PROBE/CHECK`. This probe is skipped while the last run of a listed probe
    /// failed, or while the last result of a listed check is a failure.
    pub depends_on: Vec<String>,
    /// Service that the probe observes. Default: the top-level `service`.
    pub service: Option<String>,
    /// Whether the probe runs and its checks are judged: true, false, or a text that states why the probe is disabled.
    /// Default: true.
    pub enabled: Option<Activation>,
    /// Whether the probe gets a `health` check if `checks` doesn't list one. Default: true. With `false`, a failed run
    /// makes the other checks `unknown`, and no check fails.
    pub health: Option<bool>,
}

/// Names of the keys that every probe may have.
pub(super) const COMMON_KEYS: [&str; 19] = [
    "name",
    "title",
    "summary",
    "interval",
    "timeout",
    "retry_interval",
    "depends_on",
    "service",
    "owner",
    "severity",
    "category",
    "gate",
    "pending",
    "labels",
    "runbook",
    "failure_threshold",
    "success_threshold",
    "enabled",
    health::NAME,
];

/// Reads the probes of all documents and adds them to the effective configuration.
pub(super) fn load(
    documents: Vec<Node>,
    globals: &LoadedGlobals,
    shown: &mut effective_config::EffectiveConfigBuilder,
    problems: &mut Diagnostics,
) -> Vec<ProbeSettings> {
    let known = catalogue::all().into_iter().map(|kind| KnownKind { check_kinds: (kind.checks)(), kind }).collect();
    let mut reader = ProbeReader { known, globals, names: HashMap::new(), graph: Vec::new(), shown, problems };
    let mut found = Vec::new();
    for mut document in documents {
        let entries = take_key(&mut document, "probes");
        let head = Level::take_head(&mut document, &globals.defaults, reader.problems);
        reader.reject_unknown_keys(&document);
        match entries {
            None | Some(Node { value: NodeValue::Null, .. }) => {}
            Some(Node { value: NodeValue::List(items), .. }) => {
                found.extend(items.into_iter().filter_map(|item| reader.read_probe(item, &head)));
            }
            Some(node) => reader.problems.push_expected(&node, "a list of probes"),
        }
    }
    dependencies::check_dependencies(&reader.graph, reader.problems);
    found
}

/// The levels below the top level.
fn levels_below_the_top() -> Vec<KeyLevel> {
    let mut levels = global::sections();
    levels.push(KeyLevel::with_keys("probes[]", COMMON_KEYS.into_iter().chain(["checks"])));
    levels.push(KeyLevel::with_keys("probes[].checks[]", check::COMMON_KEYS));
    levels
}

struct ProbeReader<'a> {
    known: Vec<KnownKind>,
    globals: &'a LoadedGlobals,
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
                let valid = || global::GLOBAL_KEYS.into_iter().chain(["include", "probes"]).chain(INHERITED_KEYS);
                match path_at_another_level(key, valid(), &levels_below_the_top()) {
                    Some(path) => self.problems.push(node.key, format!("unknown key `{key}`"), Some(path)),
                    None => self.problems.push_unknown(node.key, "key", key, valid()),
                }
            }
        }
    }

    fn read_probe(&mut self, mut node: Node, head: &Level) -> Option<ProbeSettings> {
        let before = self.problems.len();
        let location = node.location;
        if !matches!(node.value, NodeValue::Map(_)) {
            self.problems.push_expected(&node, "a probe: a map with `name` and a kind");
            return None;
        }
        let checks = take_key(&mut node, "checks");
        let (common, kinds) = split_keys(node, &COMMON_KEYS);
        let CommonProbeKeys { name, depends_on, service, enabled, health: has_health } =
            common.recover(self.problems).0.unwrap_or_default();
        let texts = self.read_texts(&common);
        let own = Level::read(common, &[head, &self.globals.defaults], self.problems);
        let levels = [&own, head, &self.globals.defaults];
        let common = &own.node;
        let timing = resolve_timing(&levels);
        let name = self.read_name(name, common, location);
        self.graph.push(dependencies::DependencyNode::new(&name, &depends_on, common.get("depends_on"), location));

        if kinds.is_empty() && checks.as_ref().is_some_and(|node| matches!(node.value, NodeValue::Map(_))) {
            self.problems.push(location, "probes of kind `checks` are not supported yet", None);
            return None;
        }
        let (index, settings) = self.read_kind(kinds, location)?;
        let known = self.known.get(index)?;
        let health_key = has_health.zip(common.get(health::NAME).map(Node::key_location));
        let scope = check::ProbeScope { known, all: &self.known, levels: &levels, texts: &texts, health: health_key };
        let checks = check::read(checks, &scope, self.problems);
        let config = match valid_interval(&levels) {
            Some(_) => checks.read(&settings, known, timing, self.problems),
            None => checks.read_without_interval(&settings, known, self.problems),
        };
        if self.problems.len() > before {
            return None;
        }
        let canonical = checks.write_canonical(&settings);
        let activation = enabled.unwrap_or(Activation::Enabled);
        let (enabled, disabled_reason) = (activation.is_enabled(), activation.into_reason());
        // A check of a disabled probe is disabled, so that it doesn't block the overall verdict. A reason of its own
        // stays.
        let switched = |info: &CheckInfo| {
            let mut info = info.clone();
            if !enabled && info.disabled_reason.is_empty() {
                info.disabled_reason.clone_from(&disabled_reason);
            }
            Arc::new(CheckInfo { enabled: info.enabled && enabled, ..info })
        };
        // Allocated at the exact size; an in-place collection would keep the larger allocation.
        let mut infos = Vec::with_capacity(checks.infos.len());
        infos.extend(checks.infos.iter().map(switched));
        if let Some(node) = self.graph.last_mut() {
            node.set_checks(infos.iter().map(|info| info.name.clone()));
        }
        let (config, effective) = config?;
        let info = ProbeInfo {
            name,
            title: texts.title.unwrap_or_default(),
            kind: known.kind.name,
            service: service.unwrap_or_else(|| self.globals.settings.service.clone()),
            target: config.target(),
            labels: join_labels(&levels),
            timing,
            depends_on,
            enabled,
            disabled_reason: disabled_reason.clone(),
            phases: known.kind.phases,
            checks: infos,
        };
        let fingerprint = effective_config::fingerprint(&info, &canonical);
        let identity = effective_config::identity(&info, &effective);
        let sources = effective_config::ProbeSources {
            levels: &levels,
            settings: &settings,
            global: &self.globals.written,
            checks: &checks,
        };
        self.shown.add_probe(&info, effective, &sources, self.problems);
        Some(ProbeSettings { info: Arc::new(info), config, fingerprint, identity })
    }

    fn read_texts(&mut self, common: &Node) -> PeopleTexts {
        let texts: PeopleTexts = common.recover(self.problems).0.unwrap_or_default();
        let (texts, invalid) = texts.validated();
        for invalid in invalid {
            self.problems.push_invalid(common, invalid);
        }
        texts
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
}
