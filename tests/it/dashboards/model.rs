//! The JSON of the dashboards as the tests read it.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// One dashboard, as it stands in its file.
pub(super) struct Dashboard {
    /// File name without its end.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) json: Value,
}

/// A query of a panel.
pub(super) struct Target {
    pub(super) reference: String,
    pub(super) expression: String,
    pub(super) legend: String,
    pub(super) instant: bool,
    pub(super) table: bool,
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

/// Every dashboard that ships.
pub(super) fn all() -> Vec<Dashboard> {
    let files = fs::read_dir(folder().join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Dashboard { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), text, json }
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(all.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["backups", "check", "exporter", "overview"]);
    all
}

impl Dashboard {
    pub(super) fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap()
    }

    pub(super) fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    /// Panels that show something: without the rows that only part them.
    pub(super) fn charts(&self) -> impl Iterator<Item = &Value> {
        self.panels().iter().filter(|panel| panel["type"] != "row")
    }

    pub(super) fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    pub(super) fn variable(&self, name: &str) -> &Value {
        let found = self.variables().iter().find(|variable| variable["name"] == name);
        found.unwrap_or_else(|| panic!("{} has no variable {name}", self.name))
    }

    pub(super) fn annotations(&self) -> impl Iterator<Item = &Value> {
        let list = self.json["annotations"]["list"].as_array().unwrap();
        list.iter().filter(|annotation| annotation["builtIn"] != 1)
    }

    /// Every expression in PromQL, with words that say where it stands.
    pub(super) fn expressions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for panel in self.charts() {
            for target in targets(panel) {
                found.push((format!("{} {} {}", self.name, panel["title"], target.reference), target.expression));
            }
        }
        for annotation in self.annotations() {
            found.push((format!("{} annotation {}", self.name, annotation["name"]), text(annotation, "expr")));
        }
        found
    }
}

pub(super) fn targets(panel: &Value) -> Vec<Target> {
    let read = |target: &Value| Target {
        reference: text(target, "refId"),
        expression: text(target, "expr"),
        legend: text(target, "legendFormat"),
        instant: target["instant"].as_bool().unwrap(),
        table: target["format"] == "table",
    };
    panel["targets"].as_array().unwrap().iter().map(read).collect()
}

pub(super) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}")).to_owned()
}

/// Every string below a value whose key is the one given.
pub(super) fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    match value {
        Value::Array(list) => list.iter().flat_map(|value| strings(value, key)).collect(),
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == key => vec![&**text],
                _ => strings(value, key),
            })
            .collect(),
        _ => Vec::new(),
    }
}
