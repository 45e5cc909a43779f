//! Settings of one word: time zones and values of labels.

use std::{borrow::Cow, fmt};

use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Time zone with its name in the IANA database. Default: UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(pub TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        TimeZone::get(&name).map(Self).map_err(|_| {
            format!("time zone `{name}` is not known here: use a name such as UTC or Europe/Berlin, and install tzdata")
        })
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

impl JsonSchema for Zone {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "examples": ["UTC", "Europe/Berlin"]})
    }
}

/// Value of a label: at most 40 lower-case letters, digits, `_`, `-` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Cow<'static, str>);

impl Label {
    pub(crate) const fn fixed(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }
}

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        if word.is_empty() || word.len() > 40 || !word.chars().all(fits) {
            return Err(format!(
                "`{word}` becomes a label: use a short word of lower-case letters, digits, `_`, `-` and `.`, never a path"
            ));
        }
        Ok(Self(word.into()))
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0.into_owned()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Label {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9_.-]{1,40}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_and_labels_that_can_not_work_are_refused() {
        assert!(Zone::try_from("Europe/Nowhere".to_owned()).is_err());
        for bad in ["", "/backups", "Full", "a b", &"x".repeat(41)] {
            assert!(Label::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
