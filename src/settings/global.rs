//! Merges the global settings from layers: files, environment and flags.
//!
//! The `config` crate merges the layers. It loses locations, converts types silently and forgets the source of a value.
//! So the layers contain only indexes into a list of [`Node`]s, and the merged nodes are deserialized like any other
//! node.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use config::{Config, Environment, Map, Source, Value as Layered, ValueKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Concurrency, Flags, Server,
    files::take_key,
    inherit::{InheritedKeys, Level},
    misplaced_key::{KeyLevel, path_at_another_level},
    names,
};
use crate::{
    document::{Diagnostics, Interpolated, Location, MapEntry, Node, NodeValue},
    model::failure::Invalid,
};

/// Top-level keys that are merged from layers.
pub(super) const GLOBAL_KEYS: [&str; 5] = ["service", "server", "state", "defaults", "concurrency"];
/// Top-level keys with nested keys.
const SECTION_KEYS: [&str; 3] = ["server", "defaults", "concurrency"];
/// Keys of `server` that this version doesn't support.
const PLANNED_KEYS: [&str; 2] = ["web_config", "health_listen"];
/// Settings with a list; the environment separates the items by commas.
const LIST_KEYS: [&str; 2] = ["server.listen", "server.allowed_hosts"];
const ENVIRONMENT_PREFIX: &str = "READINESS_";

/// Settings of the daemon.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GlobalSettings {
    /// Service that the probes observe. A probe can override it.
    pub service: String,
    /// The HTTP server of the daemon.
    pub server: ServerScalars,
    /// Directory of the state file. Without this setting, no state survives a restart.
    pub state: Option<PathBuf>,
    /// Maximum number of concurrent runs.
    pub concurrency: Concurrency,
    /// Default values for probes and checks.
    pub defaults: InheritedKeys,
}

/// The HTTP server of the daemon.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerScalars {
    /// Addresses to listen on: `0.0.0.0:10980`, `[::1]:10980`, or `:10980` for every IPv4 address.
    pub listen: Vec<String>,
    /// Whether `POST /-/reload` is enabled.
    pub lifecycle: bool,
    /// URL under which clients reach the daemon, such as `https://readiness.example.com`. The commands on runbook pages
    /// contain this URL.
    pub external_url: Option<String>,
    /// Additional host names under which `/config` and `/-/reload` are served. IP addresses, `localhost` and the host
    /// of `external_url` are always allowed. Other names are refused, as a protection against DNS rebinding.
    pub allowed_hosts: Vec<String>,
}

impl Default for ServerScalars {
    fn default() -> Self {
        Self {
            listen: vec!["0.0.0.0:10980".to_owned()],
            lifecycle: false,
            external_url: None,
            allowed_hosts: Vec::new(),
        }
    }
}

/// Removes the global settings from the documents, and merges environment and flags.
pub(super) fn load(
    documents: &mut [Node],
    environment: &BTreeMap<String, String>,
    flags: &Flags,
    problems: &mut Diagnostics,
) -> LoadedGlobals {
    let mut layers = Layers::default();
    let mut builder = Config::builder();
    builder = builder.add_source(layers.file_layer(documents, problems));
    builder = builder.add_source(layers.environment_layer(environment, problems));
    builder = builder.add_source(layers.flag_layer(flags, problems));
    let merged = match builder.build() {
        Ok(config) => layers.restore_node(config.cache),
        Err(error) => {
            problems.push(Location::default(), format!("the settings can't be merged: {error}"), None);
            Node::new(Location::default(), NodeValue::Map(Vec::new()))
        }
    };
    let globals: GlobalSettings = merged.recover(problems).0.unwrap_or_default();
    let server = validate(&globals, &merged, problems);
    let node = merged.get("defaults").cloned().unwrap_or_else(|| Node::new(Location::default(), NodeValue::Null));
    let defaults = Level { keys: globals.defaults.clone(), node };
    defaults.validate(&[], problems);
    LoadedGlobals { settings: globals, server, defaults, written: merged }
}

/// The settings of the daemon with their sources.
pub(super) struct LoadedGlobals {
    pub settings: GlobalSettings,
    pub server: Server,
    /// The outermost level of inheritance.
    pub defaults: Level,
    /// The merged nodes, with the locations of the values.
    pub written: Node,
}

/// Validates rules that the types don't express.
fn validate(globals: &GlobalSettings, written: &Node, problems: &mut Diagnostics) -> Server {
    let empty = Node::new(Location::default(), NodeValue::Null);
    let section = |key| written.get(key).unwrap_or(&empty);
    let mut invalid = |at: &Node, invalid: Option<Invalid>| {
        if let Some(invalid) = invalid {
            problems.push_invalid(at, invalid);
        }
    };
    invalid(section("concurrency"), super::reject_zero("total", globals.concurrency.total));
    invalid(section("concurrency"), super::reject_zero("per_host", globals.concurrency.per_host));

    let addresses = section("server").get("listen");
    let location = |index: usize| item_location(addresses, index);
    let mut listen = Vec::new();
    for (index, address) in globals.server.listen.iter().enumerate() {
        let whole = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.clone() };
        match whole.parse::<SocketAddr>() {
            Ok(address) if listen.contains(&address) => {
                problems.push(location(index), "this address is listed twice", None);
            }
            Ok(address) => listen.push(address),
            Err(_) => {
                let message = "expected an IP address and a port, as in 0.0.0.0:10980 or [::1]:10980";
                problems.push(location(index), message, None);
            }
        }
    }
    if listen.is_empty() && globals.server.listen.is_empty() {
        problems.push(
            addresses.map_or(Location::default(), |node| node.location),
            "at least one address is needed",
            None,
        );
    }
    let (external_url, allowed_hosts) = check_names(&globals.server, section("server"), problems);
    Server { listen, lifecycle: globals.server.lifecycle, external_url, allowed_hosts }
}

/// Validates the external URL and the allowed host names.
fn check_names(server: &ServerScalars, written: &Node, problems: &mut Diagnostics) -> (Option<String>, Vec<String>) {
    let url = server.external_url.as_deref().and_then(|text| {
        let location = written.get("external_url").map_or(Location::default(), |node| node.location);
        names::parse_external_url(text).map_err(|message| problems.push(location, message, None)).ok()
    });
    let mut hosts = Vec::new();
    for (index, text) in server.allowed_hosts.iter().enumerate() {
        match names::parse_host_name(text) {
            Ok(host) => hosts.push(host),
            Err(message) => problems.push(item_location(written.get("allowed_hosts"), index), message, None),
        }
    }
    (url, hosts)
}

/// Location of a list item.
fn item_location(list: Option<&Node>, index: usize) -> Location {
    match list.map(|node| (node, &node.value)) {
        Some((node, NodeValue::List(items))) => items.get(index).map_or(node.location, |item| item.location),
        Some((node, _)) => node.location,
        None => Location::default(),
    }
}

/// The sections with their keys.
pub(super) fn sections() -> Vec<KeyLevel> {
    vec![
        KeyLevel::of_type::<ServerScalars>("server"),
        KeyLevel::of_type::<InheritedKeys>("defaults"),
        KeyLevel::of_type::<Concurrency>("concurrency"),
    ]
}

/// The path of a key that a section doesn't have and another section has.
fn path_in_another_section(key: &str, section: &str) -> Option<String> {
    let (own, others): (Vec<_>, Vec<_>) = sections().into_iter().partition(|level| level.path == section);
    path_at_another_level(key, own.iter().flat_map(|level| level.keys.iter().map(String::as_str)), &others)
}

/// Values of all layers; the layers contain their indexes.
#[derive(Default)]
struct Layers(Vec<Node>);

/// One layer: dotted keys and indexes of values.
#[derive(Debug, Clone)]
struct Layer(Map<String, Layered>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Layered>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layers {
    fn file_layer(&mut self, documents: &mut [Node], problems: &mut Diagnostics) -> Layer {
        let mut layer = Map::new();
        let mut places: BTreeMap<&str, Location> = BTreeMap::new();
        for document in documents {
            for key in GLOBAL_KEYS {
                let Some(node) = take_key(document, key) else { continue };
                if let Some(first) = places.get(key) {
                    let first = problems.describe_location(*first);
                    problems.push(node.key_location(), format!("`{key}` is already defined in {first}"), None);
                } else {
                    places.insert(key, node.key_location());
                    let value = if SECTION_KEYS.contains(&key) {
                        self.add_section(key, node, problems)
                    } else {
                        self.add_leaf(node)
                    };
                    layer.insert(key.to_owned(), value);
                }
            }
        }
        Layer(layer)
    }

    fn environment_layer(&mut self, environment: &BTreeMap<String, String>, problems: &mut Diagnostics) -> Layer {
        // Variables with `__` are settings. Without it only two variables are, because Kubernetes sets variables such
        // as READINESS_PORT for a service named `readiness`.
        let is_ours = |name: &str| {
            name.strip_prefix(ENVIRONMENT_PREFIX)
                .is_some_and(|rest| rest.contains("__") || rest == "SERVICE" || rest == "STATE")
        };
        let ours: Map<String, String> =
            environment.iter().filter(|(name, _)| is_ours(name)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let source = Environment::with_prefix("READINESS").prefix_separator("_").separator("__").source(Some(ours));
        let mut layer = Map::new();
        for (key, value) in source.collect().unwrap_or_default() {
            let name = format!("{ENVIRONMENT_PREFIX}{}", key.replace('.', "__").to_uppercase());
            let location = Location {
                source: problems.add_source(format!("environment variable {name}"), "".into()),
                ..Location::default()
            };
            let Ok(text) = value.into_string() else { continue };
            let section = key.split('.').next().unwrap_or_default();
            if !GLOBAL_KEYS.contains(&section) {
                problems.push_unknown(location, "section", section, GLOBAL_KEYS);
                continue;
            }
            let value = if LIST_KEYS.contains(&&*key) {
                NodeValue::List(text.split(',').map(|item| interpolated_node(location, &name, item.trim())).collect())
            } else {
                interpolated_node(location, &name, &text).value
            };
            layer.insert(key, self.add_leaf(Node { key: location, location, value }));
        }
        Layer(layer)
    }

    fn flag_layer(&mut self, flags: &Flags, problems: &mut Diagnostics) -> Layer {
        let mut layer = Map::new();
        let mut set = |key: &str, flag: &str, value: &mut dyn FnMut(Location) -> Option<NodeValue>| {
            let location =
                Location { source: problems.add_source(format!("flag {flag}"), "".into()), ..Location::default() };
            if let Some(value) = value(location) {
                layer.insert(key.to_owned(), self.add_leaf(Node { key: location, location, value }));
            }
        };
        set("server.listen", "--web.listen-address", &mut |location| {
            let texts = flags.listen.iter().map(|text| Node::new(location, NodeValue::Text(text.as_str().into())));
            (!flags.listen.is_empty()).then(|| NodeValue::List(texts.collect()))
        });
        set("server.lifecycle", "--web.enable-lifecycle", &mut |_| flags.lifecycle.then_some(NodeValue::Bool(true)));
        set("server.external_url", "--web.external-url", &mut |_| {
            Some(NodeValue::Text(flags.external_url.as_deref()?.into()))
        });
        set("state", "--state.path", &mut |_| {
            Some(NodeValue::Text(flags.state.as_ref()?.to_string_lossy().into_owned().into()))
        });
        Layer(layer)
    }

    fn add_leaf(&mut self, node: Node) -> Layered {
        let number = self.0.len() as u64;
        self.0.push(node);
        Layered::new(None, ValueKind::U64(number))
    }

    /// Adds a section. Sections merge key by key; other values, including lists, replace the value of the layer below.
    fn add_section(&mut self, section: &str, node: Node, problems: &mut Diagnostics) -> Layered {
        let NodeValue::Map(entries) = node.value else { return self.add_leaf(node) };
        let mut table = Map::new();
        for MapEntry { key, node } in entries {
            if PLANNED_KEYS.contains(&&*key) {
                problems.push(node.key, format!("`{key}` is not supported yet"), None);
            } else if let Some(path) = path_in_another_section(&key, section) {
                problems.push(node.key, format!("unknown key `{key}`"), Some(path));
            } else {
                table.insert(key.into(), self.add_leaf(node));
            }
        }
        Layered::new(None, ValueKind::Table(table))
    }

    /// Replaces the indexes by the values.
    fn restore_node(&mut self, layered: Layered) -> Node {
        match layered.kind {
            ValueKind::Table(table) => {
                let mut entries: Vec<_> = table
                    .into_iter()
                    .map(|(key, value)| MapEntry { key: key.into(), node: self.restore_node(value) })
                    .collect();
                // The order of the files determines the order of the messages.
                entries.sort_by_key(|entry| entry.node.key);
                Node::new(Location::default(), NodeValue::Map(entries))
            }
            ValueKind::U64(number) => {
                let node = usize::try_from(number).ok().and_then(|number| self.0.get_mut(number));
                let nothing = || Node::new(Location::default(), NodeValue::Null);
                node.map_or_else(nothing, |node| std::mem::replace(node, nothing()))
            }
            _ => Node::new(Location::default(), NodeValue::Null),
        }
    }
}

/// Creates a node for a variable: its value may be a number and is never displayed.
fn interpolated_node(location: Location, name: &str, text: &str) -> Node {
    let written = format!("${{{name}}}").into();
    let resolved = Interpolated { value: text.to_owned(), source: written, parts: vec![text.to_owned()] };
    Node { key: location, location, value: NodeValue::Interpolated(Box::new(resolved)) }
}
