//! Suggestions for keys that stand at another level than the one at which they are valid: `listen` is `server.listen`.

use schemars::{JsonSchema, generate::SchemaSettings};

use crate::document::nearest_word;

/// A level of the configuration with the names of its keys.
pub(super) struct KeyLevel {
    /// Path of the level, such as `server` or `probes[]`.
    pub path: &'static str,
    pub keys: Vec<String>,
}

impl KeyLevel {
    /// The level of a section that is deserialized into a type.
    pub(super) fn of_type<T: JsonSchema>(path: &'static str) -> Self {
        let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = T::json_schema(&mut inline.into_generator());
        let properties = schema.get("properties").and_then(serde_json::Value::as_object);
        Self { path, keys: properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect() }
    }

    /// A level with the given keys.
    pub(super) fn with_keys<'a>(path: &'static str, keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self { path, keys: keys.into_iter().map(str::to_owned).collect() }
    }
}

/// Returns the path of a key, such as `server.listen`, if no key of its own level is near and another level has it.
pub(super) fn path_at_another_level<'a>(
    key: &str,
    own: impl IntoIterator<Item = &'a str>,
    others: &[KeyLevel],
) -> Option<String> {
    if nearest_word(key, own).is_some() {
        return None;
    }
    let plain = key.to_lowercase().replace('-', "_");
    let level = others.iter().find(|level| level.keys.contains(&plain))?;
    Some(format!("{}.{plain}", level.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_at_another_level_unless_a_key_of_its_own_level_is_near() {
        let others = [
            KeyLevel::with_keys("server", ["listen", "external_url"]),
            KeyLevel::with_keys("probes[]", ["checks", "depends_on"]),
        ];
        for (key, path) in [
            ("listen", Some("server.listen")),
            ("External-URL", Some("server.external_url")),
            ("depends_on", Some("probes[].depends_on")),
            ("nonsense", None),
            ("checks", None),
        ] {
            assert_eq!(path_at_another_level(key, ["service", "check"], &others).as_deref(), path, "{key}");
        }
    }
}
