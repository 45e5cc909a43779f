//! The JSON Schema of the configuration (draft 2020-12) for editors, generated from the types and lists that read the
//! configuration.
//!
//! The schema describes keys and types. Rules across values (a timeout within its interval, unique names) are checked
//! only by [`super::load`].

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{check, global::GlobalSettings, inherit::InheritedKeys, people_text::PeopleTexts, probe};
use crate::kind::{CheckDescriptor, KindEntry as Kind};

/// Returns the JSON Schema of a configuration file.
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = crate::catalogue::all();
    let mut own = Map::new();
    let mut root = object_schema::<GlobalSettings>(&mut generator);
    let mut probe = object_schema::<probe::CommonProbeKeys>(&mut generator);
    let mut check = object_schema::<check::CommonCheckKeys>(&mut generator);
    let texts = object_schema::<PeopleTexts>(&mut generator);
    let inherited = object_schema::<InheritedKeys>(&mut generator);
    for (key, property) in properties(&inherited) {
        set_property(&mut root, key, property.clone());
        set_property(&mut probe, key, property.clone());
        if check::COMMON_KEYS.contains(&&**key) {
            set_property(&mut check, key, property.clone());
        }
    }
    for (key, property) in properties(&texts) {
        set_property(&mut probe, key, property.clone());
        set_property(&mut check, key, property.clone());
    }
    for kind in &kinds {
        let settings = (kind.schema)(&mut generator).to_value();
        set_property(&mut probe, kind.name, optional_if_possible(allow_interpolation(settings), &generator));
        own.insert(format!("checks_of_{}", kind.name), check_list_schema(kind, &check, &mut generator));
    }
    set_property(
        &mut probe,
        "checks",
        json!({
            "type": "array", "description": "Checks of the probe. `health` is added unless `health: false` is set."
        }),
    );
    probe.insert("required".into(), json!(["name"]));
    probe.insert("oneOf".into(), kinds.iter().map(kind_condition).collect());
    own.insert("probe".into(), probe.into());
    own.insert(FILLED_IN.into(), json!({"type": "string", "pattern": r"\$\{[^}]+\}"}));

    set_property(
        &mut root,
        "include",
        json!({
            "type": "array", "items": {"type": "string"},
            "description": "Further configuration files, relative to this file. Wildcards such as conf.d/*.yaml are allowed."
        }),
    );
    set_property(
        &mut root,
        "probes",
        json!({
            "type": ["array", "null"], "items": {"$ref": reference("probe")}, "description": "Probes with their checks."
        }),
    );
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".into(), json!("Configuration of readiness-exporter"));
    own.extend(
        generator.take_definitions(true).into_iter().map(|(name, definition)| (name, allow_interpolation(definition))),
    );
    root.insert("$defs".into(), own.into());
    root.into()
}

/// Name of the definition of a text with `${..}`, which may replace any scalar.
const FILLED_IN: &str = "filled_in";

fn reference(name: &str) -> String {
    format!("#/$defs/{name}")
}

/// Schema of an object without additional keys.
fn object_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut map = T::json_schema(generator);
    let mut map = std::mem::take(map.ensure_object());
    map.insert("additionalProperties".into(), json!(false));
    match allow_interpolation(map.into()) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn properties(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn set_property(object: &mut Map<String, Value>, key: &str, schema: Value) {
    if let Some(properties) = object.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.insert(key.to_owned(), schema);
    }
}

/// Alternative for one kind: the kind's key, and the checks of the kind.
fn kind_condition(kind: &Kind) -> Value {
    let checks = json!({"items": {"$ref": reference(&format!("checks_of_{}", kind.name))}});
    json!({"required": [kind.name], "properties": {"checks": checks}})
}

/// Schema of a check: the name alone if it requires no settings, or a map with settings.
fn check_list_schema(kind: &Kind, common: &Map<String, Value>, generator: &mut SchemaGenerator) -> Value {
    let mut map = common.clone();
    let (mut alone, mut one) = (Vec::new(), Vec::new());
    for CheckDescriptor { name, schema, .. } in (kind.checks)() {
        let settings = schema(generator).to_value();
        if !requires_settings(&settings, generator) {
            alone.push(name);
        }
        let settings = with_common(allow_interpolation(resolve_reference(&settings, generator)), common);
        set_property(&mut map, name, optional_if_possible(settings, generator));
        one.push(json!({"required": [name]}));
    }
    map.insert("oneOf".into(), one.into());
    json!({"anyOf": [{"enum": alone}, map]})
}

/// Adds the common keys to the settings of a check.
fn with_common(settings: Value, common: &Map<String, Value>) -> Value {
    let Value::Object(mut settings) = settings else { return settings };
    if let Some(Value::Object(keys)) = common.get("properties") {
        for (key, schema) in keys {
            set_property(&mut settings, key, schema.clone());
        }
    }
    settings.into()
}

/// Allows null if no setting is required.
fn optional_if_possible(settings: Value, generator: &SchemaGenerator) -> Value {
    if requires_settings(&settings, generator) { settings } else { json!({"anyOf": [settings, {"type": "null"}]}) }
}

fn requires_settings(settings: &Value, generator: &SchemaGenerator) -> bool {
    let settings = resolve_reference(settings, generator);
    // A schema with alternatives requires one of them.
    ["required", "anyOf", "oneOf", "allOf"].iter().any(|key| settings.get(key).is_some())
}

/// Resolves a reference to a definition.
fn resolve_reference(schema: &Value, generator: &SchemaGenerator) -> Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name)).unwrap_or(schema).clone()
}

/// Allows a text with `${..}` in place of every scalar, except texts without restrictions.
fn allow_interpolation(mut schema: Value) -> Value {
    if is_scalar(&schema) && !is_any_text(&schema) {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut either = json!({"anyOf": [schema, {"$ref": reference(FILLED_IN)}]});
        if let (Some(either), Some(description)) = (either.as_object_mut(), description) {
            either.insert("description".into(), description);
        }
        return either;
    }
    let Value::Object(map) = &mut schema else { return schema };
    for (key, value) in map.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(properties)) => {
                properties.values_mut().for_each(|property| *property = allow_interpolation(property.take()));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(parts)) => {
                parts.iter_mut().for_each(|part| *part = allow_interpolation(part.take()));
            }
            ("items" | "additionalProperties", value @ Value::Object(_)) => *value = allow_interpolation(value.take()),
            _ => {}
        }
    }
    schema
}

fn is_scalar(schema: &Value) -> bool {
    let scalar = |kind: &Value| matches!(kind.as_str(), Some("string" | "number" | "integer" | "boolean" | "null"));
    let all_of = |key: &str| {
        let parts = schema.get(key).and_then(Value::as_array);
        parts.is_some_and(|parts| parts.iter().all(is_scalar))
    };
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().all(scalar),
        Some(kind) => scalar(kind) && kind != "null",
        None => ["enum", "const"].iter().any(|key| schema.get(key).is_some()) || all_of("anyOf") || all_of("oneOf"),
    }
}

fn is_any_text(schema: &Value) -> bool {
    let is_text = |kind: &Value| kind == "string";
    let text = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_text),
        Some(kind) => is_text(kind),
        None => false,
    };
    text && !["enum", "const", "pattern", "format"].iter().any(|key| schema.get(key).is_some())
}
