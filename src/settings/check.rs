//! Reads the `checks` of a probe: names, or maps with one check kind and the common keys.
//!
//! The common keys may stand beside the kind or among its settings: people write `- health: {severity: critical}`.

use std::collections::{BTreeSet, HashMap};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;

use super::{
    CheckInfo,
    common::{Activation, KnownKind, MAX_NAME_LEN, NAME_PATTERN, split_keys, validate_name},
    inherit::{Level, find},
    people_text::PeopleTexts,
    timing::{MAX_INTERVAL, MIN_INTERVAL},
};
use crate::{
    catalogue,
    checks::health,
    document::{Diagnostics, Location, MapEntry, Node, NodeValue, list_words, nearest_word},
    kind::{CheckDescriptor, CheckNode, EffectiveSettings, ProbeConfig},
    model::{observation::Timing, words::Severity},
};

/// Settings of a check.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CommonCheckKeys {
    /// Name of the check, unique within the probe. Default: the check kind.
    #[schemars(regex(pattern = NAME_PATTERN), length(max = MAX_NAME_LEN))]
    pub name: Option<String>,
    /// Whether the check is judged: true, false, or a text that states why the check is disabled. Default: true.
    pub enabled: Option<Activation>,
}

/// Names of the keys that every check may have.
pub(super) const COMMON_KEYS: [&str; 13] = [
    "name",
    "title",
    "summary",
    "severity",
    "category",
    "gate",
    "pending",
    "owner",
    "labels",
    "runbook",
    "failure_threshold",
    "success_threshold",
    "enabled",
];

/// Severity of a health check that the configuration doesn't list: a failure creates a ticket and pages nobody.
pub(super) const IMPLICIT_HEALTH_SEVERITY: Severity = Severity::Warning;
/// Failure threshold of a health check that the configuration doesn't list: one lost run is no fault.
pub(super) const IMPLICIT_HEALTH_THRESHOLD: u32 = 2;

/// The parts of a probe's configuration that its checks depend on.
pub(super) struct ProbeScope<'a> {
    pub known: &'a KnownKind,
    pub all: &'a [KnownKind],
    /// The levels from which checks inherit, nearest first.
    pub levels: &'a [&'a Level],
    /// Texts of the probe, for its health check.
    pub texts: &'a PeopleTexts,
    /// The key `health` of the probe: whether the check is added, and the location of the key.
    pub health: Option<(bool, Location)>,
}

/// The checks of one probe with their settings.
pub(super) struct CheckList {
    pub infos: Vec<CheckInfo>,
    /// Settings of each check.
    pub settings: Vec<Node>,
    /// Common keys of each check.
    pub own: Vec<Level>,
}

impl CheckList {
    /// Reads the settings of a probe and of its checks.
    pub(super) fn read(
        &self,
        settings: &Node,
        known: &KnownKind,
        timing: Timing,
        problems: &mut Diagnostics,
    ) -> Option<(Box<dyn ProbeConfig>, EffectiveSettings)> {
        let nodes = self.infos.iter().zip(&self.settings);
        let checks: Vec<_> = nodes.map(|(info, settings)| CheckNode { kind: info.kind, settings }).collect();
        (known.kind.read)(settings, &checks, timing, problems)
    }

    /// Reads the settings like [`CheckList::read`] where the interval has an error that is already reported. Only errors
    /// that remain with the shortest and with the longest interval are reported.
    pub(super) fn read_without_interval(
        &self,
        settings: &Node,
        known: &KnownKind,
        problems: &mut Diagnostics,
    ) -> Option<(Box<dyn ProbeConfig>, EffectiveSettings)> {
        let read_with = |interval| {
            let mut found = problems.without_list();
            let timing = Timing { interval, retry_interval: interval, timeout: interval };
            (self.read(settings, known, timing, &mut found), found)
        };
        let ((_, with_shortest), (config, with_longest)) = (read_with(MIN_INTERVAL), read_with(MAX_INTERVAL));
        problems.push_common(&with_shortest, &with_longest);
        config
    }

    /// Returns the canonical form of the settings of a probe and its checks, for a fingerprint.
    pub(super) fn write_canonical(&self, settings: &Node) -> String {
        let mut text = String::new();
        std::iter::once(settings).chain(&self.settings).for_each(|node| {
            node.write_canonical(&mut text);
            text.push('\n');
        });
        text
    }
}

/// Reads the checks of a probe. `health` is added if it is neither configured nor switched off.
pub(super) fn read(node: Option<Node>, scope: &ProbeScope<'_>, problems: &mut Diagnostics) -> CheckList {
    let items = match node {
        None | Some(Node { value: NodeValue::Null, .. }) => Vec::new(),
        Some(Node { value: NodeValue::List(items), .. }) => items,
        Some(node) => {
            problems.push_expected(&node, "a list of checks");
            Vec::new()
        }
    };
    let mut reader = CheckReader { scope, problems, names: HashMap::new() };
    let is_empty = items.is_empty();
    let found: Vec<_> = items.into_iter().filter_map(|item| reader.read_check(item)).collect();
    let has_health = found.iter().any(|(info, ..)| info.kind == health::NAME);
    let added = match scope.health {
        Some((false, location)) => {
            if has_health {
                let message = "`health: false` removes the health check, but `checks` lists one: remove either";
                reader.problems.push(location, message, None);
            } else if is_empty {
                let message = "without its health check, this probe has no check: nothing would be judged";
                reader.problems.push(location, message, None);
            }
            None
        }
        _ => reader.implicit_health().filter(|_| !has_health),
    };
    let mut list = CheckList { infos: Vec::new(), settings: Vec::new(), own: Vec::new() };
    for (info, settings, own) in added.into_iter().chain(found) {
        list.infos.push(info);
        list.settings.push(settings);
        list.own.push(own);
    }
    list
}

type ReadCheck = (CheckInfo, Node, Level);

struct CheckReader<'a> {
    scope: &'a ProbeScope<'a>,
    problems: &'a mut Diagnostics,
    /// Location of each name.
    names: HashMap<String, Location>,
}

impl<'a> CheckReader<'a> {
    /// The health check of a probe that lists none.
    fn implicit_health(&self) -> Option<ReadCheck> {
        let kind = self.scope.known.check_kinds.iter().find(|descriptor| descriptor.name == health::NAME)?;
        let info = self.check_info(
            kind,
            CommonCheckKeys::default(),
            PeopleTexts::default(),
            &Level::default(),
            &Node::new(Location::default(), NodeValue::Null),
        );
        let (severity, failure_threshold) = (
            find(self.scope.levels, |keys| keys.severity).map_or(IMPLICIT_HEALTH_SEVERITY, |(severity, _)| severity),
            find(self.scope.levels, |keys| keys.failure_threshold)
                .map_or(IMPLICIT_HEALTH_THRESHOLD, |(count, _)| count),
        );
        let info = CheckInfo { severity, failure_threshold, ..info };
        Some((info, Node::new(Location::default(), NodeValue::Null), Level::default()))
    }

    fn read_check(&mut self, node: Node) -> Option<ReadCheck> {
        let location = node.location;
        let (beside, kinds) = match &node.value {
            NodeValue::Text(name) => {
                let descriptor = self.find_check_kind(name, location)?;
                self.reject_duplicate(name, name, location);
                let own = Level::default();
                return Some((
                    self.check_info(
                        descriptor,
                        CommonCheckKeys::default(),
                        PeopleTexts::default(),
                        &own,
                        &Node::new(location, NodeValue::Null),
                    ),
                    Node::new(location, NodeValue::Null),
                    own,
                ));
            }
            NodeValue::Map(_) => split_keys(node, &COMMON_KEYS),
            _ => {
                self.problems.push_expected(&node, "a check: its name, or a map with its name and settings");
                return None;
            }
        };
        let (descriptor, settings) = self.read_kind(kinds, location)?;
        let (inside, settings) = if matches!(settings.value, NodeValue::Map(_)) {
            let (inside, mut rest) = split_keys(settings.clone(), &COMMON_KEYS);
            self.reject_misspelled(descriptor, &mut rest);
            (inside, Node { value: NodeValue::Map(rest), ..settings })
        } else {
            (Node::new(location, NodeValue::Map(Vec::new())), settings)
        };
        let common = self.merge_common_keys(beside, inside);
        let values: CommonCheckKeys = common.recover(self.problems).0.unwrap_or_default();
        if let Some(Err(invalid)) = values.name.as_deref().map(validate_name) {
            self.problems.push_invalid(&common, invalid);
        }
        let texts: PeopleTexts = common.recover(self.problems).0.unwrap_or_default();
        let (texts, invalid) = texts.validated();
        for invalid in invalid {
            self.problems.push_invalid(&common, invalid);
        }
        let own = Level::read(common, self.scope.levels, self.problems);
        let common = &own.node;
        let named = common.get("name").map_or(location, |node| node.location);
        let shown = common.get("name").and_then(Node::source_text).unwrap_or(descriptor.name);
        let name = values.name.as_deref().unwrap_or(descriptor.name);
        self.reject_duplicate(name, shown, named);
        Some((self.check_info(descriptor, values, texts, &own, &settings), settings, own))
    }

    /// Removes and reports misspelled common keys, because the check would report them without a suggestion.
    fn reject_misspelled(&mut self, descriptor: &CheckDescriptor, settings: &mut Vec<MapEntry>) {
        settings.retain(|MapEntry { key, node }| {
            if nearest_word(key, COMMON_KEYS).is_none() {
                return true;
            }
            let own = own_keys(descriptor);
            let meant = nearest_word(key, own.iter().map(String::as_str).chain(COMMON_KEYS));
            let is_common = meant.is_some_and(|meant| COMMON_KEYS.contains(&meant));
            if is_common {
                self.problems.push_unknown(node.key, "key", key, COMMON_KEYS);
            }
            !is_common
        });
    }

    /// Merges the common keys from both locations.
    fn merge_common_keys(&mut self, beside: Node, inside: Node) -> Node {
        let (location, key) = (beside.location, beside.key);
        let NodeValue::Map(mut entries) = beside.value else { return inside };
        if let NodeValue::Map(more) = inside.value {
            for entry in more {
                if entries.iter().any(|other| other.key == entry.key) {
                    let message =
                        format!("`{}` is set twice: beside the check's kind and among its settings", entry.key);
                    self.problems.push(entry.node.key, message, None);
                } else {
                    entries.push(entry);
                }
            }
        }
        Node { key, location, value: NodeValue::Map(entries) }
    }

    /// Finds the check kind among the remaining keys, and its settings.
    fn read_kind(&mut self, kinds: Vec<MapEntry>, location: Location) -> Option<(&'a CheckDescriptor, Node)> {
        let mut found: Option<(&'a CheckDescriptor, Node)> = None;
        let mut named = false;
        for MapEntry { key, node } in kinds {
            named = true;
            let Some(descriptor) = self.find_check_kind(&key, node.key) else { continue };
            match &found {
                Some((first, _)) => {
                    let message = format!("a second kind, `{key}`, beside `{}`: write two checks", first.name);
                    self.problems.push(node.key, message, None);
                }
                None => found = Some((descriptor, node)),
            }
        }
        if !named {
            let message = format!("a check needs a kind: {}", list_words(&self.check_kind_names()));
            self.problems.push(location, message, None);
        }
        found
    }

    fn find_check_kind(&mut self, name: &str, location: Location) -> Option<&'a CheckDescriptor> {
        let known = self.scope.known;
        if let Some(descriptor) = known.check_kinds.iter().find(|descriptor| descriptor.name == name) {
            return Some(descriptor);
        }
        let kind = known.kind.name;
        let elsewhere =
            self.scope.all.iter().flat_map(|known| &known.check_kinds).any(|descriptor| descriptor.name == name);
        if elsewhere {
            let message =
                format!("a `{kind}` probe can't feed `{name}`: it can feed {}", list_words(&self.check_kind_names()));
            self.problems.push(location, message, None);
        } else if catalogue::planned_checks().any(|check| check == name) {
            self.problems.push(location, format!("checks of kind `{name}` are not supported yet"), None);
        } else {
            // The message lists the valid words only if no word is near.
            let suggestion =
                nearest_word(name, self.check_kind_names().into_iter().chain(COMMON_KEYS)).map(str::to_owned);
            let message = match &suggestion {
                Some(_) => format!("unknown check `{name}`"),
                None => format!(
                    "unknown check `{name}`: a `{kind}` probe can feed {}",
                    list_words(&self.check_kind_names())
                ),
            };
            self.problems.push(location, message, suggestion);
        }
        None
    }

    fn check_kind_names(&self) -> Vec<&'static str> {
        self.scope.known.check_kinds.iter().map(|descriptor| descriptor.name).collect()
    }

    fn reject_duplicate(&mut self, name: &str, shown: &str, location: Location) {
        if let Some(first) = self.names.insert(name.to_owned(), location) {
            let first = first.line;
            let message = format!("check `{shown}` is already defined in line {first}: give each a `name` of its own");
            self.problems.push(location, message, None);
        }
    }

    fn check_info(
        &self,
        kind: &CheckDescriptor,
        common: CommonCheckKeys,
        texts: PeopleTexts,
        own: &Level,
        settings: &Node,
    ) -> CheckInfo {
        let levels: Vec<&Level> = std::iter::once(own).chain(self.scope.levels.iter().copied()).collect();
        let severity = find(&levels, |keys| keys.severity).map_or(kind.severity, |(severity, _)| severity);
        let text = |get: fn(&PeopleTexts) -> &Option<String>| {
            let of_probe = get(self.scope.texts).as_ref().filter(|_| kind.name == health::NAME);
            get(&texts).as_ref().or(of_probe).cloned().unwrap_or_default()
        };
        let activation = common.enabled.unwrap_or(Activation::Enabled);
        CheckInfo {
            title: text(|texts| &texts.title),
            summary: text(|texts| &texts.summary),
            name: common.name.unwrap_or_else(|| kind.name.to_owned()),
            category: find(&levels, |keys| keys.category).map_or(kind.category, |(category, _)| category),
            severity,
            gate: find(&levels, |keys| keys.gate)
                .map_or_else(|| severity.gates_by_default() && !kind.looks_back.applies_to(settings), |(gate, _)| gate),
            pending: find(&levels, |keys| keys.pending).map_or(kind.while_pending, |(pending, _)| pending),
            owner: find(&levels, |keys| keys.owner.clone()).map(|(owner, _)| owner).unwrap_or_default(),
            labels: own.keys.labels.clone(),
            runbook: find(&levels, |keys| keys.runbook.clone()).map(|(runbook, _)| runbook).unwrap_or_default(),
            failure_threshold: find(&levels, |keys| keys.failure_threshold).map_or(1, |(count, _)| count),
            success_threshold: find(&levels, |keys| keys.success_threshold).map_or(1, |(count, _)| count),
            enabled: activation.is_enabled(),
            disabled_reason: activation.into_reason(),
            ..CheckInfo::of(kind)
        }
    }
}

/// Keys of this check kind, from its schema.
fn own_keys(descriptor: &CheckDescriptor) -> BTreeSet<String> {
    let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = (descriptor.schema)(&mut inline.into_generator());
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}
