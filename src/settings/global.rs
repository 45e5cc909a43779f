//! The scalar settings, in layers: what the files say, then the environment, then the flags.
//!
//! The `config` crate lays the layers over each other. It knows no places, turns types into each other silently and
//! forgets which variable a value came from; so what goes through it are not the values but their numbers in a list
//! of [`Node`]s, and the result is read like any other piece.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use config::{Config, Environment, Map, Source, Value as Layered, ValueKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Concurrency, Flags, Server, files::take, names, timing::Defaults};
use crate::{
    document::{Diagnostics, Interpolated, Location, MapEntry, Node, NodeValue},
    model::failure::Invalid,
};

/// Top-level keys that are layered.
pub(super) const KEYS: [&str; 5] = ["service", "server", "state", "defaults", "concurrency"];
/// Those of them that have keys of their own.
const SECTIONS: [&str; 3] = ["server", "defaults", "concurrency"];
/// Keys of `server` that this version can't do yet.
const NOT_YET: [&str; 2] = ["web_config", "health_listen"];
/// Settings that are lists: in the environment, their items are separated by commas.
const LISTS: [&str; 2] = ["server.listen", "server.allowed_hosts"];
const PREFIX: &str = "READINESS_";

/// The scalar settings as they are written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GlobalSettings {
    /// What the checks are about, unless a probe says otherwise.
    pub service: String,
    /// The daemon's own doors.
    pub server: ServerScalars,
    /// The folder for what must survive a restart; nothing survives without.
    pub state: Option<PathBuf>,
    /// How many runs may be under way at once.
    pub concurrency: Concurrency,
    /// What probes and checks take unless they say otherwise.
    pub defaults: Defaults,
}

/// The daemon's own doors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerScalars {
    /// Addresses to listen on: `0.0.0.0:10980`, `[::1]:10980`, or `:10980` for every IPv4 address.
    pub listen: Vec<String>,
    /// Whether POST `/-/reload` is switched on.
    pub lifecycle: bool,
    /// URL under which clients reach the daemon, as in `https://readiness.example.com`: the commands of runbooks use it.
    pub external_url: Option<String>,
    /// Host names with which `/config` and `/-/reload` may be requested, beside the host of `external_url`. Literal
    /// addresses and `localhost` are always allowed; any other name may belong to a web site that was made to resolve to
    /// this daemon.
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

/// Takes the scalar settings out of the documents and lays environment and flags over them.
pub(super) fn load(
    documents: &mut [Node],
    environment: &BTreeMap<String, String>,
    flags: &Flags,
    problems: &mut Diagnostics,
) -> (GlobalSettings, Server) {
    let mut layers = Layers::default();
    let mut builder = Config::builder();
    builder = builder.add_source(layers.files(documents, problems));
    builder = builder.add_source(layers.environment(environment, problems));
    builder = builder.add_source(layers.flags(flags, problems));
    let merged = match builder.build() {
        Ok(config) => layers.node(config.cache),
        Err(error) => {
            problems.push(Location::default(), format!("the settings can't be laid over each other: {error}"), None);
            Node::new(Location::default(), NodeValue::Map(Vec::new()))
        }
    };
    let scalars: GlobalSettings = merged.salvage(problems).0.unwrap_or_default();
    let server = rules(&scalars, &merged, problems);
    (scalars, server)
}

/// Rules that the types don't hold.
fn rules(scalars: &GlobalSettings, written: &Node, problems: &mut Diagnostics) -> Server {
    let empty = Node::new(Location::default(), NodeValue::Null);
    let section = |key| written.get(key).unwrap_or(&empty);
    let defaults = section("defaults");
    let mut invalid = |at: &Node, broken: Option<Invalid>| {
        if let Some(broken) = broken {
            problems.invalid(at, broken);
        }
    };
    invalid(defaults, super::timing::interval(scalars.defaults.interval));
    invalid(
        defaults,
        super::timing::within("timeout", scalars.defaults.timeout, scalars.defaults.interval).filter(|_| {
            // The default timeout gives way to a shorter interval; one that was written doesn't.
            defaults.get("timeout").is_some() || scalars.defaults.timeout.0.is_zero()
        }),
    );
    invalid(defaults, super::at_least_one("failure_threshold", scalars.defaults.failure_threshold as usize));
    invalid(defaults, super::at_least_one("success_threshold", scalars.defaults.success_threshold as usize));
    invalid(section("concurrency"), super::at_least_one("total", scalars.concurrency.total));
    invalid(section("concurrency"), super::at_least_one("per_host", scalars.concurrency.per_host));

    let addresses = section("server").get("listen");
    let place = |index: usize| item_place(addresses, index);
    let mut listen = Vec::new();
    for (index, address) in scalars.server.listen.iter().enumerate() {
        let whole = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.clone() };
        match whole.parse::<SocketAddr>() {
            Ok(address) if listen.contains(&address) => {
                problems.push(place(index), "this address is there twice", None);
            }
            Ok(address) => listen.push(address),
            Err(_) => {
                let message = "expected an IP address and a port, as in 0.0.0.0:10980 or [::1]:10980";
                problems.push(place(index), message, None);
            }
        }
    }
    if listen.is_empty() && scalars.server.listen.is_empty() {
        problems.push(addresses.map_or(Location::default(), |node| node.place), "at least one address is needed", None);
    }
    let (external_url, allowed_hosts) = names(&scalars.server, section("server"), problems);
    Server { listen, lifecycle: scalars.server.lifecycle, external_url, allowed_hosts }
}

/// The names under which the daemon is reached.
fn names(server: &ServerScalars, written: &Node, problems: &mut Diagnostics) -> (Option<String>, Vec<String>) {
    let url = server.external_url.as_deref().and_then(|text| {
        let place = written.get("external_url").map_or(Location::default(), |node| node.place);
        names::external_url(text).map_err(|message| problems.push(place, message, None)).ok()
    });
    let mut hosts = Vec::new();
    for (index, text) in server.allowed_hosts.iter().enumerate() {
        match names::host(text) {
            Ok(host) => hosts.push(host),
            Err(message) => problems.push(item_place(written.get("allowed_hosts"), index), message, None),
        }
    }
    (url, hosts)
}

/// Place of an item of a list.
fn item_place(list: Option<&Node>, index: usize) -> Location {
    match list.map(|node| (node, &node.value)) {
        Some((node, NodeValue::List(items))) => items.get(index).map_or(node.place, |item| item.place),
        Some((node, _)) => node.place,
        None => Location::default(),
    }
}

/// The values of all layers; the layers themselves hold numbers of it.
#[derive(Default)]
struct Layers(Vec<Node>);

/// One layer: dotted keys and numbers of values.
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
    fn files(&mut self, documents: &mut [Node], problems: &mut Diagnostics) -> Layer {
        let mut layer = Map::new();
        let mut places: BTreeMap<&str, Location> = BTreeMap::new();
        for document in documents {
            for key in KEYS {
                let Some(node) = take(document, key) else { continue };
                if let Some(first) = places.get(key) {
                    let first = problems.name_of(*first);
                    problems.push(node.head(), format!("`{key}` is there already, in {first}"), None);
                } else {
                    places.insert(key, node.head());
                    let value = if SECTIONS.contains(&key) { self.section(node, problems) } else { self.leaf(node) };
                    layer.insert(key.to_owned(), value);
                }
            }
        }
        Layer(layer)
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>, problems: &mut Diagnostics) -> Layer {
        // `__` makes a variable ours; of those without only two are, because Kubernetes sets variables of the form
        // READINESS_PORT for a service named `readiness`.
        let is_ours = |name: &str| {
            name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__") || rest == "SERVICE" || rest == "STATE")
        };
        let ours: Map<String, String> =
            environment.iter().filter(|(name, _)| is_ours(name)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let source = Environment::with_prefix("READINESS").prefix_separator("_").separator("__").source(Some(ours));
        let mut layer = Map::new();
        for (key, value) in source.collect().unwrap_or_default() {
            let name = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
            let place = Location {
                source: problems.source(format!("environment variable {name}"), "".into()),
                ..Location::default()
            };
            let Ok(text) = value.into_string() else { continue };
            let section = key.split('.').next().unwrap_or_default();
            if !KEYS.contains(&section) {
                problems.unknown_word(place, "section", section, KEYS);
                continue;
            }
            let value = if LISTS.contains(&&*key) {
                NodeValue::List(text.split(',').map(|item| filled_in(place, &name, item.trim())).collect())
            } else {
                filled_in(place, &name, &text).value
            };
            layer.insert(key, self.leaf(Node { key: place, place, value }));
        }
        Layer(layer)
    }

    fn flags(&mut self, flags: &Flags, problems: &mut Diagnostics) -> Layer {
        let mut layer = Map::new();
        let mut set = |key: &str, flag: &str, value: &mut dyn FnMut(Location) -> Option<NodeValue>| {
            let place = Location { source: problems.source(format!("flag {flag}"), "".into()), ..Location::default() };
            if let Some(value) = value(place) {
                layer.insert(key.to_owned(), self.leaf(Node { key: place, place, value }));
            }
        };
        set("server.listen", "--web.listen-address", &mut |place| {
            let texts = flags.listen.iter().map(|text| Node::new(place, NodeValue::Text(text.as_str().into())));
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

    fn leaf(&mut self, node: Node) -> Layered {
        let number = self.0.len() as u64;
        self.0.push(node);
        Layered::new(None, ValueKind::U64(number))
    }

    /// A section is laid over another key by key; anything else, lists too, replaces what is below it.
    fn section(&mut self, node: Node, problems: &mut Diagnostics) -> Layered {
        let NodeValue::Map(entries) = node.value else { return self.leaf(node) };
        let mut table = Map::new();
        for MapEntry { key, node } in entries {
            if NOT_YET.contains(&&*key) {
                problems.push(node.key, format!("`{key}` is not supported yet"), None);
            } else {
                table.insert(key.into(), self.leaf(node));
            }
        }
        Layered::new(None, ValueKind::Table(table))
    }

    /// Puts the values back in place of their numbers.
    fn node(&mut self, layered: Layered) -> Node {
        match layered.kind {
            ValueKind::Table(table) => {
                let mut entries: Vec<_> = table
                    .into_iter()
                    .map(|(key, value)| MapEntry { key: key.into(), node: self.node(value) })
                    .collect();
                // In the order of the files, so that messages come in it too.
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

/// What a variable holds may be meant as a number, and is never shown.
fn filled_in(place: Location, name: &str, text: &str) -> Node {
    let written = format!("${{{name}}}").into();
    let resolved = Interpolated { text: text.to_owned(), written, parts: vec![text.to_owned()] };
    Node { key: place, place, value: NodeValue::Interpolated(Box::new(resolved)) }
}
