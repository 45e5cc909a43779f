//! Times in the names of files and directories, by patterns in the notation of `strftime`.
//!
//! A time is never cut out of a longer value: digits before and behind it prevent a match, and a time zone or a 12-hour
//! mark behind it that the pattern does not read makes it [`NameTime::Cut`].

mod directives;
mod fields;
mod tail;

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use self::{
    directives::{Directive, TimeField, tokens},
    fields::TimeFields,
    tail::TimeTail,
};
use super::labels::Zone;

/// Pattern of a time that is searched in names, such as `orders-%Y%m%dT%H%M%S`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    text: String,
    /// Expression with one group for each directive.
    regex: Regex,
    directives: Vec<Directive>,
    /// Detector of a longer value behind the time. `None` for a pattern that reads the whole value.
    tail: Option<TimeTail>,
}

/// Result of the search for a time in a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameTime {
    /// The time.
    At(Timestamp),
    /// The time is a part of a longer value with another meaning. The text states the rest of the value and the
    /// correction of the pattern.
    Cut(String),
    /// The name contains no time.
    Missing,
}

impl NamePattern {
    /// Finds the first time in a name. Digits that are a part of a longer number are not a time.
    #[must_use]
    pub(crate) fn find(&self, name: &str, zone: &Zone) -> NameTime {
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let mut from = 0;
        while let Some(groups) = name.get(from..).and_then(|rest| self.regex.captures(rest)) {
            let Some(found) = groups.get(0) else { break };
            let text = found.as_str();
            let (start, end) = (from + found.start(), from + found.end());
            let (Some(before), Some(after)) = (name.get(..start), name.get(end..)) else { break };
            let is_part = is_digit(before.chars().next_back()) && is_digit(text.chars().next())
                || is_digit(text.chars().next_back()) && is_digit(after.chars().next());
            let values = groups.iter().skip(1).map(|group| group.map_or("", |group| group.as_str()));
            let time = TimeFields::read(self.directives.iter().zip(values));
            if !is_part && let Some(time) = time.timestamp(zone) {
                return match self.tail.as_ref().and_then(|tail| tail.contradiction(after, time, zone)) {
                    Some(contradiction) => NameTime::Cut(contradiction),
                    None => NameTime::At(time),
                };
            }
            from = start + text.chars().next().map_or(1, char::len_utf8);
        }
        NameTime::Missing
    }
}

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (mut expression, mut directives) = (String::new(), Vec::new());
        for token in tokens(&text)? {
            match token {
                Ok(directive) => {
                    expression.push_str(&format!("({})", directive.expression()));
                    directives.push(directive);
                }
                Err(literal) => expression.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4]))),
            }
        }
        let has = |field: TimeField| directives.iter().any(|directive| directive.field == field);
        directives::require_one_time(&text, has)?;
        let regex = Regex::new(&expression).map_err(|error| error.to_string())?;
        let reads_all = has(TimeField::Offset) || has(TimeField::Epoch);
        let has_clock = has(TimeField::Hour) || has(TimeField::HalfDayHour);
        let tail = if reads_all {
            None
        } else {
            Some(TimeTail::new(has_clock, has(TimeField::HalfDay), text.contains(':') || text.contains("%T"))?)
        };
        Ok(Self { text, regex, directives, tail })
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
        json_schema!({"type": "string", "examples": ["%Y%m%dT%H%M%S", "%F", "%FT%T%z"]})
    }
}

#[cfg(test)]
mod tests;
