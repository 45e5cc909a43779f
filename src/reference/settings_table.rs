//! The table of settings of a kind, read from its JSON Schema.

use std::fmt::Write as _;

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

/// One row of a table of settings.
pub(super) struct SettingRow {
    /// Key, with the keys of the maps above it.
    pub key: String,
    /// Type, in Markdown.
    pub kind: String,
    /// Default, in Markdown; empty if there is none.
    pub default: String,
    /// Description, in Markdown.
    pub meaning: String,
}

/// A Markdown table with a row for each key: type, default, meaning. Keys of nested maps follow theirs, with a dot.
pub(super) fn settings_table(schema: fn(&mut SchemaGenerator) -> Schema) -> String {
    let rows = setting_rows(schema);
    if rows.is_empty() {
        return "None.\n".to_owned();
    }
    let mut text = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    for SettingRow { key, kind, default, meaning } in rows {
        let _ = writeln!(text, "| `{key}` | {kind} | {default} | {meaning} |");
    }
    text
}

/// The settings of a schema, with the settings of nested maps.
pub(super) fn setting_rows(schema: fn(&mut SchemaGenerator) -> Schema) -> Vec<SettingRow> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = schema(&mut generator).to_value();
    let definitions = generator.take_definitions(true);
    let mut rows = Vec::new();
    add_rows(&mut rows, "", &schema, &definitions);
    rows
}

fn add_rows(rows: &mut Vec<SettingRow>, prefix: &str, schema: &Value, definitions: &Map<String, Value>) {
    let schema = resolved(schema, definitions);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let default = match property.get("default") {
            Some(Value::Null) | None if required.iter().any(|name| name == key) => "required".to_owned(),
            Some(Value::Object(steps)) => steps_text(steps),
            Some(Value::Null) | None => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value) => format!("`{value}`"),
        };
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let meaning = meaning.replace('\n', " ").replace('|', "\\|");
        let kind = type_name(property, definitions).replace('|', "\\|");
        rows.push(SettingRow { key: format!("{prefix}{key}"), kind, default, meaning });
        let inner = without_null(property);
        let inner = resolved(inner, definitions);
        if inner.get("properties").is_some() {
            add_rows(rows, &format!("{prefix}{key}."), inner, definitions);
        }
    }
}

/// The default of a limit with two steps, as it is written in YAML; nothing for other maps.
fn steps_text(steps: &Map<String, Value>) -> String {
    let step = |name: &str| {
        let value = steps.get(name)?;
        Some(format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    };
    let steps: Vec<_> = [step("warn"), step("fail")].into_iter().flatten().collect();
    if steps.is_empty() { String::new() } else { format!("`{{{}}}`", steps.join(", ")) }
}

fn type_name(schema: &Value, definitions: &Map<String, Value>) -> String {
    let schema = without_null(schema);
    match schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        Some("Period") => return "duration".to_owned(),
        Some("Size") => return "size".to_owned(),
        Some("Ratio") => return "ratio".to_owned(),
        Some("Selector") => return "selector".to_owned(),
        _ => {}
    }
    let schema = resolved(schema, definitions);
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let alternatives = |key: &str| schema.get(key).and_then(Value::as_array);
    if let Some(title) = text("title") {
        return title.to_owned();
    }
    if let Some([step, steps]) = alternatives("anyOf").map(Vec::as_slice)
        && steps.pointer("/properties/warn").is_some()
    {
        return format!("limit: {}", type_name(step, definitions));
    }
    if let Some(words) = alternatives("enum") {
        // Versions are accepted as numbers too; the text is enough here.
        return words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    if let Some(one_of) = alternatives("oneOf").or_else(|| alternatives("anyOf")) {
        let constant = |part: &Value| part.get("const").and_then(Value::as_str).map(|word| format!("`{word}`"));
        let mut names: Vec<_> =
            one_of.iter().map(|part| constant(part).unwrap_or_else(|| type_name(part, definitions))).collect();
        names.dedup();
        return names.join(" or ");
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or ")
        }
        Some(Value::String(kind)) => kind.clone(),
        _ => String::new(),
    };
    match kind.as_str() {
        "array" => match schema.get("items") {
            Some(items) => format!("list of {}", type_name(items, definitions)),
            None => "list".to_owned(),
        },
        "object" => match schema.get("additionalProperties") {
            Some(values @ Value::Object(_)) => format!("map to {}", type_name(values, definitions)),
            _ => "map".to_owned(),
        },
        "string" => text("format").unwrap_or("string").to_owned(),
        _ => kind,
    }
}

/// Of an optional setting, the schema of its value.
fn without_null(schema: &Value) -> &Value {
    let parts = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice);
    match parts {
        Some([value, null] | [null, value]) if null.get("type").is_some_and(|kind| kind == "null") => value,
        _ => schema,
    }
}

fn resolved<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}
