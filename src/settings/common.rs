//! Common parts of probes and checks: names, common keys and the list of kinds.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::{
    document::{MapEntry, Node, NodeValue},
    kind::{CheckDescriptor, KindEntry as Kind},
    model::failure::Invalid,
};

/// Pattern of valid names.
pub(super) const NAME_PATTERN: &str = "^[a-zA-Z0-9][a-zA-Z0-9_.-]*$";

/// Longest name; a longer one would be no readable label.
pub(super) const MAX_NAME_LEN: usize = 100;

/// A probe kind with its check kinds, looked up once for all probes.
pub(super) struct KnownKind {
    pub kind: Kind,
    pub check_kinds: Vec<CheckDescriptor>,
}

/// Splits a map into the named keys and the rest.
pub(super) fn split_keys(node: Node, named: &[&str]) -> (Node, Vec<MapEntry>) {
    let NodeValue::Map(entries) = node.value else { return (node, Vec::new()) };
    let (common, rest) = entries.into_iter().partition(|entry| named.contains(&&*entry.key));
    (Node { value: NodeValue::Map(common), ..node }, rest)
}

/// Validates a name. Names become labels and parts of URLs, so they contain letters, digits, `_`, `.` and `-`.
pub(super) fn validate_name(name: &str) -> Result<(), Invalid> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain);
    if good && name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    Err(Invalid::at(
        "name",
        format!(
            "a name has letters, digits, `_`, `.` and `-`, starts with a letter or digit and has at most {MAX_NAME_LEN} of them"
        ),
    ))
}

/// Longest reason of a disabled probe or check, in characters.
const MAX_REASON_CHARS: usize = 300;

/// Value of the key `enabled`: true, false, or the reason for which a probe or a check is disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activation {
    Enabled,
    /// Disabled; the reason may be empty.
    Disabled(String),
}

impl Activation {
    pub(super) fn is_enabled(&self) -> bool {
        matches!(self, Self::Enabled)
    }

    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Enabled => String::new(),
            Self::Disabled(reason) => reason,
        }
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ActivationVisitor)
    }
}

struct ActivationVisitor;

impl de::Visitor<'_> for ActivationVisitor {
    type Value = Activation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or the reason why it is disabled")
    }

    fn visit_bool<E: de::Error>(self, enabled: bool) -> Result<Activation, E> {
        Ok(if enabled { Activation::Enabled } else { Activation::Disabled(String::new()) })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Activation, E> {
        let reason = text.trim();
        // A misspelled `true` must not disable a check. A sentence has at least two words.
        if !reason.contains(char::is_whitespace) {
            return Err(E::custom(format!(
                "`{text}` is neither true nor false nor a reason: a reason has at least two words"
            )));
        }
        if reason.chars().count() > MAX_REASON_CHARS || reason.chars().any(char::is_control) {
            return Err(E::custom(format!("a reason is one line of at most {MAX_REASON_CHARS} characters")));
        }
        Ok(Activation::Disabled(reason.to_owned()))
    }
}

impl JsonSchema for Activation {
    fn schema_name() -> Cow<'static, str> {
        "Activation".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "boolean"},
            {"type": "string", "pattern": "\\S\\s+\\S", "maxLength": MAX_REASON_CHARS},
        ]})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_reason_has_two_words_so_that_a_misspelled_boolean_disables_nothing() {
        let read = |value| from_value::<Activation>(value).map_err(|error| error.to_string());
        assert_eq!(read(json!(true)), Ok(Activation::Enabled));
        assert_eq!(read(json!(false)), Ok(Activation::Disabled(String::new())));
        let reason = "no staging database yet";
        assert_eq!(read(json!(format!(" {reason} "))), Ok(Activation::Disabled(reason.to_owned())));
        for wrong in [json!("yes"), json!("ture"), json!(""), json!("two\nlines"), json!("a ".repeat(200)), json!(1)] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
