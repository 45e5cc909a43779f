//! The JSON Schema says the same as the loader, as far as a schema can.

use std::{
    fs,
    path::{Path, PathBuf},
};

use readiness_exporter::settings;

use super::{folder, load, output_text};

/// Every configuration that ships, and the whole one of these tests.
fn examples() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "yaml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&folder().join("good"), &mut found);
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &mut found);
    found
}

fn yaml(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn the_schema_accepts_every_example_and_refuses_what_the_loader_refuses() {
    let schema = settings::schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let examples = examples();
    assert!(examples.len() >= 2, "{examples:?}");
    for path in examples {
        let loads = load(&path, &[]);
        assert!(loads.is_ok(), "{}", loads.err().unwrap_or_default());
        let document = yaml(&fs::read_to_string(&path).unwrap());
        let errors: Vec<_> = validator.iter_errors(&document).map(|error| format!("{error:?}")).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
    for text in [
        "prober: []",
        "server: {listen: 5}",
        "defaults: {interval: 30}",
        "concurrency: {total: many}",
        "slos: []",
        "probes: [{tcp: {address: a}}]",
        "probes: [{name: a}]",
        "probes: [{name: a b, tcp: {address: a}}]",
        "probes: [{name: a, tcp: {address: a}, no_such_kind: {}}]",
        "probes: [{name: a, tcp: {address: a}, backups: {files: x}}]",
        "probes: [{name: a, tcp: {addres: a}}]",
        "probes: [{name: a, tcp: {address: 5}}]",
        "probes: [{name: a, tcp: }]",
        "probes: [{name: a, tcp: {address: a}, timeout: 5}]",
        "probes: [{name: a, tcp: {address: a}, checks: [healht]}]",
        "probes: [{name: a, tcp: {address: a}, checks: [retention]}]",
        "probes: [{name: a, tcp: {address: a}, checks: [{health: {}, severity: high}]}]",
        "probes: [{name: a, tcp: {address: a}, checks: [{health: {max: 5}}]}]",
        "probes: [{name: a, tcp: {address: a}, checks: [{severity: info}]}]",
    ] {
        assert!(!validator.is_valid(&yaml(text)), "the schema accepts {text}");
        assert_ne!(output_text(&[("a.yaml", text)], &[]), "nothing", "the loader accepts {text}");
    }
}

#[test]
fn everything_in_the_schema_that_is_a_key_is_described() {
    fn walk(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        let described = schema.get("description").is_some();
        if let Some(properties) = schema.get("properties").and_then(|keys| keys.as_object()) {
            for (key, schema) in properties {
                let is_kind =
                    schema.get("$ref").is_some() || schema.get("anyOf").is_some() || schema.get("type").is_none();
                // A word with settings is described beside its map.
                let is_kind = is_kind || (properties.len() == 1 && described);
                if schema.get("description").is_none() && !is_kind && !["warn", "fail"].contains(&key.as_str()) {
                    missing.push(format!("{path}.{key}"));
                }
            }
        }
        match schema {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(key, schema)| walk(&format!("{path}.{key}"), schema, missing))
            }
            serde_json::Value::Array(items) => items.iter().for_each(|schema| walk(path, schema, missing)),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    walk("", &settings::schema(), &mut missing);
    assert!(missing.is_empty(), "{missing:#?}");
}
