//! Reads the `checks` of a probe: names, or maps with one check kind and the common keys.
//!
//! The common keys may stand beside the kind or among its settings: people write `- health: {severity: critical}`.

use std::collections::{BTreeSet, HashMap};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;

use super::{
    CheckInfo,
    common::{KnownKind, MAX_NAME_LEN, NAME_PATTERN, split_keys, validate_name},
    global::GlobalSettings,
    reject_zero,
};
use crate::{
    catalogue,
    checks::health,
    document::{Diagnostics, Location, MapEntry, Node, NodeValue, list_words, nearest_word},
    kind::{CheckDescriptor, CheckNode, EffectiveSettings, ProbeConfig},
    model::{
        failure::Invalid,
        observation::Timing,
        words::{Category, Severity},
    },
};

/// Settings of every check, beside its kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CommonCheckKeys {
    /// Name of the check, unique within the probe. Default: the check kind.
    #[schemars(regex(pattern = NAME_PATTERN), length(max = MAX_NAME_LEN))]
    pub name: Option<String>,
    /// Importance of a failure. Default: the severity of the check kind.
    pub severity: Option<Severity>,
    /// Aspect of readiness that the check covers. Default: the category of the check kind.
    pub category: Option<Category>,
    /// Whether `/ready` takes the check into account. Default: true, unless the severity is `info`.
    pub gate: Option<bool>,
    /// Team or person that is responsible for the check.
    pub owner: Option<String>,
    /// URL (`http://` or `https://`) of a page with instructions for a failure.
    #[schemars(regex(pattern = "^https?://"))]
    pub runbook: Option<String>,
    /// Purpose of the check, in one sentence.
    pub summary: Option<String>,
    #[schemars(range(min = 1))]
    /// Number of consecutive worse results before the status gets worse. Default: `defaults.failure_threshold`.
    pub failure_threshold: Option<u32>,
    #[schemars(range(min = 1))]
    /// Number of consecutive better results before the status gets better. Default: `defaults.success_threshold`.
    pub success_threshold: Option<u32>,
    /// Whether the check is judged. Default: true.
    pub enabled: Option<bool>,
}

/// Names of the keys of [`CommonCheckKeys`].
pub(super) const COMMON_KEYS: [&str; 10] = [
    "name",
    "severity",
    "category",
    "gate",
    "owner",
    "runbook",
    "summary",
    "failure_threshold",
    "success_threshold",
    "enabled",
];

/// The checks of one probe with their settings.
pub(super) struct CheckList {
    pub infos: Vec<CheckInfo>,
    settings: Vec<Node>,
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

/// Reads the checks of a probe. `health` is added if it is not configured.
pub(super) fn read(
    node: Option<Node>,
    known: &KnownKind,
    all: &[KnownKind],
    globals: &GlobalSettings,
    problems: &mut Diagnostics,
) -> CheckList {
    let items = match node {
        None | Some(Node { value: NodeValue::Null, .. }) => Vec::new(),
        Some(Node { value: NodeValue::List(items), .. }) => items,
        Some(node) => {
            problems.push_expected(&node, "a list of checks");
            Vec::new()
        }
    };
    let mut reader = CheckReader { known, all, globals, problems, names: HashMap::new() };
    let found: Vec<_> = items.into_iter().filter_map(|item| reader.read_check(item)).collect();
    let has_health = found.iter().any(|(info, _)| info.kind == health::NAME);
    let added = known.check_kinds.iter().find(|descriptor| descriptor.name == health::NAME).filter(|_| !has_health);
    let added = added.map(|descriptor| {
        let settings = Node::new(Location::default(), NodeValue::Null);
        (reader.check_info(descriptor, CommonCheckKeys::default()), settings)
    });
    let (infos, settings) = added.into_iter().chain(found).unzip();
    CheckList { infos, settings }
}

struct CheckReader<'a> {
    known: &'a KnownKind,
    all: &'a [KnownKind],
    globals: &'a GlobalSettings,
    problems: &'a mut Diagnostics,
    /// Location of each name.
    names: HashMap<String, Location>,
}

impl<'a> CheckReader<'a> {
    fn read_check(&mut self, node: Node) -> Option<(CheckInfo, Node)> {
        let location = node.location;
        let (beside, kinds) = match &node.value {
            NodeValue::Text(name) => {
                let descriptor = self.find_check_kind(name, location)?;
                self.reject_duplicate(name, name, location);
                return Some((
                    self.check_info(descriptor, CommonCheckKeys::default()),
                    Node::new(location, NodeValue::Null),
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
        for invalid in validate(&values) {
            self.problems.push_invalid(&common, invalid);
        }
        let named = common.get("name").map_or(location, |node| node.location);
        let shown = common.get("name").and_then(Node::source_text).unwrap_or(descriptor.name);
        self.reject_duplicate(values.name.as_deref().unwrap_or(descriptor.name), shown, named);
        Some((self.check_info(descriptor, values), settings))
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
        let known = self.known;
        if let Some(descriptor) = known.check_kinds.iter().find(|descriptor| descriptor.name == name) {
            return Some(descriptor);
        }
        let kind = known.kind.name;
        let elsewhere = self.all.iter().flat_map(|known| &known.check_kinds).any(|descriptor| descriptor.name == name);
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
        self.known.check_kinds.iter().map(|descriptor| descriptor.name).collect()
    }

    fn reject_duplicate(&mut self, name: &str, shown: &str, location: Location) {
        if let Some(first) = self.names.insert(name.to_owned(), location) {
            let first = first.line;
            let message = format!("check `{shown}` is already defined in line {first}: give each a `name` of its own");
            self.problems.push(location, message, None);
        }
    }

    fn check_info(&self, kind: &CheckDescriptor, common: CommonCheckKeys) -> CheckInfo {
        let severity = common.severity.unwrap_or(kind.severity);
        let defaults = &self.globals.defaults;
        CheckInfo {
            name: common.name.unwrap_or_else(|| kind.name.to_owned()),
            category: common.category.unwrap_or(kind.category),
            severity,
            gate: common.gate.unwrap_or(severity.gates_by_default()),
            owner: common.owner.unwrap_or_default(),
            runbook: common.runbook.unwrap_or_default(),
            summary: common.summary.unwrap_or_default(),
            failure_threshold: common.failure_threshold.unwrap_or(defaults.failure_threshold),
            success_threshold: common.success_threshold.unwrap_or(defaults.success_threshold),
            enabled: common.enabled.unwrap_or(true),
            ..CheckInfo::of(kind)
        }
    }
}

/// Validates rules that the types don't express.
fn validate(common: &CommonCheckKeys) -> Vec<Invalid> {
    let name = common.name.as_deref().and_then(|name| validate_name(name).err());
    let runbook = common.runbook.as_deref().and_then(|runbook| {
        let url =
            url::Url::parse(runbook).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.is_none().then(|| Invalid::at("runbook", "expected the whole address of a page: http:// or https://"))
    });
    let threshold = |key, number: Option<u32>| number.and_then(|number| reject_zero(key, number as usize));
    let thresholds = [
        threshold("failure_threshold", common.failure_threshold),
        threshold("success_threshold", common.success_threshold),
    ];
    [name, runbook].into_iter().chain(thresholds).flatten().collect()
}

/// Keys of this check kind, from its schema.
fn own_keys(descriptor: &CheckDescriptor) -> BTreeSet<String> {
    let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = (descriptor.schema)(&mut inline.into_generator());
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}
