//! Times in file names, and the short words that backups are labelled with.

use std::{borrow::Cow, fmt};

use jiff::{Timestamp, fmt::strtime::BrokenDownTime, tz::TimeZone};
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A pattern in the manner of strftime that finds a time anywhere in a name: `orders-%Y%m%dT%H%M%S`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    text: String,
    regex: Regex,
}

/// What a directive looks like in a name.
const DIRECTIVES: [(char, &str); 15] = [
    ('Y', r"\d{4}"),
    ('y', r"\d{2}"),
    ('m', r"\d{2}"),
    ('d', r"\d{2}"),
    ('H', r"\d{2}"),
    ('M', r"\d{2}"),
    ('S', r"\d{2}"),
    ('j', r"\d{3}"),
    ('b', r"[A-Za-z]{3}"),
    ('F', r"\d{4}-\d{2}-\d{2}"),
    ('T', r"\d{2}:\d{2}:\d{2}"),
    ('R', r"\d{2}:\d{2}"),
    ('z', r"[+-]\d{4}"),
    ('s', r"\d{9,11}"),
    ('%', "%"),
];

impl NamePattern {
    /// The first time in a name. Digits that are part of a longer number are no time.
    #[must_use]
    pub fn find(&self, name: &str, zone: &Zone) -> Option<Timestamp> {
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let mut from = 0;
        while let Some(found) = name.get(from..).and_then(|rest| self.regex.find(rest)) {
            let (start, end) = (from + found.start(), from + found.end());
            let (before, text, after) = (name.get(..start)?, name.get(start..end)?, name.get(end..)?);
            let split = is_digit(before.chars().next_back()) && is_digit(text.chars().next())
                || is_digit(text.chars().next_back()) && is_digit(after.chars().next());
            if !split && let Some(time) = self.read(text, zone) {
                return Some(time);
            }
            from = start + text.chars().next().map_or(1, char::len_utf8);
        }
        None
    }

    fn read(&self, text: &str, zone: &Zone) -> Option<Timestamp> {
        let time = BrokenDownTime::parse(&self.text, text).ok()?;
        if let Ok(timestamp) = time.to_timestamp() {
            return Some(timestamp);
        }
        let date = time.to_date().ok()?;
        let at = date.to_datetime(time.to_time().unwrap_or_default());
        // A time that a clock change left out or repeated: as everywhere, the offset before the change counts.
        zone.0.to_ambiguous_timestamp(at).compatible().ok()
    }
}

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (mut regex, mut used) = (String::new(), String::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
                continue;
            }
            let directive = chars.next().unwrap_or(' ');
            let (_, form) = DIRECTIVES.iter().find(|(name, _)| *name == directive).ok_or_else(|| {
                format!("`%{directive}` is not known here: use %Y %y %m %d %j %b %H %M %S %F %T %R %z %s or %%")
            })?;
            regex.push_str(form);
            used.push(directive);
        }
        let has = |any: &str| any.chars().any(|c| used.contains(c));
        if !(has("sF") || has("Yy") && (has("j") || has("mb") && has("d"))) {
            return Err(format!(
                "`{text}` does not say which day: it needs a year, a month and a day, as in %Y%m%d, or %s"
            ));
        }
        let regex = Regex::new(&regex).map_err(|error| error.to_string())?;
        Ok(Self { text, regex })
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for NamePattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "NamePattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "examples": ["%Y%m%dT%H%M%S", "%F"]})
    }
}

/// A time zone by its name in the IANA database; UTC unless said otherwise.
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

/// A short word that is fit for a label: lower-case letters, digits, `_`, `-` and `.`, at most 40 of them.
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

    fn find(pattern: &str, name: &str, zone: &str) -> Option<String> {
        let pattern = NamePattern::try_from(pattern.to_owned()).unwrap();
        pattern.find(name, &Zone::try_from(zone.to_owned()).unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn a_time_is_found_anywhere_in_a_name() {
        for (pattern, name, zone, expected) in [
            ("%Y%m%dT%H%M%S", "orders-20261121T020000Z.dump", "UTC", Some("2026-11-21T02:00:00Z")),
            ("orders-%Y%m%d", "orders-20261121.dump", "UTC", Some("2026-11-21T00:00:00Z")),
            ("orders-%Y%m%d", "users-20261121.dump", "UTC", None),
            ("%F/orders-%H%M", "2026-11-21/orders-0230.dump", "UTC", Some("2026-11-21T02:30:00Z")),
            ("%Y%m%d", "db123420261121-20261122.dump", "UTC", Some("2026-11-22T00:00:00Z")),
            ("%Y%m%d", "orders-20261399-20261121.dump", "UTC", Some("2026-11-21T00:00:00Z")),
            ("%s", "orders.1795232108.gz", "UTC", Some("2026-11-21T03:35:08Z")),
            ("%Y-%m-%d_%H-%M-%S%z", "a_2026-11-21_02-00-00+0200.zst", "UTC", Some("2026-11-21T00:00:00Z")),
            ("%d%b%y", "x-21Nov26.sql", "UTC", Some("2026-11-21T00:00:00Z")),
            // Local time: summer, winter, an hour that does not exist and one that comes twice.
            ("%Y%m%d%H%M", "202607010200", "Europe/Berlin", Some("2026-07-01T00:00:00Z")),
            ("%Y%m%d%H%M", "202612010200", "Europe/Berlin", Some("2026-12-01T01:00:00Z")),
            ("%Y%m%d%H%M", "202603290230", "Europe/Berlin", Some("2026-03-29T01:30:00Z")),
            ("%Y%m%d%H%M", "202610250230", "Europe/Berlin", Some("2026-10-25T00:30:00Z")),
        ] {
            assert_eq!(find(pattern, name, zone).as_deref(), expected, "{pattern} in {name}");
        }
    }

    #[test]
    fn patterns_zones_and_labels_that_can_not_work_are_refused() {
        for bad in ["", "%H%M", "%Y%m", "%Y%m%d%Q", "%Y%m%d%", "orders"] {
            assert!(NamePattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(Zone::try_from("Europe/Nowhere".to_owned()).is_err());
        for bad in ["", "/backups", "Full", "a b", &"x".repeat(41)] {
            assert!(Label::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
