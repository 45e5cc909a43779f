//! Built-in defaults of the keys that probes and checks share, for the reference.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    check::{CommonCheckKeys, IMPLICIT_HEALTH_SEVERITY, IMPLICIT_HEALTH_THRESHOLD},
    global::GlobalSettings,
    inherit::InheritedKeys,
    people_text::PeopleTexts,
    probe::CommonProbeKeys,
    timing::{DEFAULT_INTERVAL, DEFAULT_TIMEOUT},
};
use crate::checks::health;

/// Keys of one group, with the places where they can stand.
pub struct KeyGroup {
    /// Places, nearest last.
    pub places: &'static str,
    /// JSON Schema of the keys.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// The groups of keys that probes and checks share.
#[must_use]
pub fn key_groups() -> Vec<KeyGroup> {
    fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
    vec![
        KeyGroup { places: "`defaults`, file, probe, check", schema: schema::<InheritedKeys> },
        KeyGroup { places: "probe, check", schema: schema::<PeopleTexts> },
        KeyGroup { places: "probe", schema: schema::<CommonProbeKeys> },
        KeyGroup { places: "check", schema: schema::<CommonCheckKeys> },
    ]
}

/// JSON Schema of the settings of the daemon.
pub fn daemon_schema(generator: &mut SchemaGenerator) -> Schema {
    GlobalSettings::json_schema(generator)
}

/// Built-in default of a key, in words.
#[must_use]
pub fn built_in_default(key: &str) -> String {
    match key {
        "severity" => {
            format!("that of the check kind; `{IMPLICIT_HEALTH_SEVERITY}` for a health check that is not listed")
        }
        "category" | "pending" => "that of the check kind".to_owned(),
        "gate" => "`true`, unless the severity is `info` or the check looks back at failed runs".to_owned(),
        "failure_threshold" => format!("`1`; `{IMPLICIT_HEALTH_THRESHOLD}` for a health check that is not listed"),
        "success_threshold" => "`1`".to_owned(),
        "interval" => format!("`{DEFAULT_INTERVAL}`"),
        "timeout" => format!("`{DEFAULT_TIMEOUT}`, or the interval if it is shorter"),
        "retry_interval" => "the interval".to_owned(),
        "enabled" | health::NAME => "`true`".to_owned(),
        "service" => "the top-level `service`".to_owned(),
        "title" => "the name".to_owned(),
        "name" => "the check kind; a probe needs a name".to_owned(),
        _ => "none".to_owned(),
    }
}
