//! Expressions for protocols with lines.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{MAX_STEPS, Pattern, TooLong};

/// A [`Pattern`] whose anchors `^` and `$` match at the beginning and at the end of each line. Lines end with LF or
/// CR LF.
#[derive(Debug, Clone)]
pub struct LinePattern {
    pattern: Pattern,
    shown: String,
}

impl LinePattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn new(text: &str) -> Result<Self, String> {
        Ok(Self { pattern: Pattern::compile(text, true)?, shown: text.to_owned() })
    }

    /// An expression that matches exactly these bytes.
    ///
    /// # Errors
    /// There are no bytes, or too many.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, String> {
        let text: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let text = if text.is_empty() { text } else { format!("(?-u:{text})") };
        Ok(Self { pattern: Pattern::compile(&text, true)?, shown: bytes.escape_ascii().to_string() })
    }

    /// Number of groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.pattern.regex.captures_len().saturating_sub(1)
    }

    /// Whether more bytes behind the searched ones may change a match: a group or `$` may end later.
    #[must_use]
    pub fn may_grow(&self) -> bool {
        self.groups() > 0 || self.shown.contains('$')
    }

    /// End of the first match that begins at a position or after it.
    ///
    /// # Errors
    /// The search would take too long.
    pub fn find_end(&self, bytes: &[u8], start: usize) -> Result<Option<usize>, TooLong> {
        self.pattern.searcher(bytes.len())?.find_end(bytes, start)
    }

    /// Texts of the first match that begins at a position or after it, and of its groups. The text of a group that takes
    /// no part in the match is empty.
    ///
    /// # Errors
    /// The search would take too long.
    pub fn capture(&self, bytes: &[u8], start: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        if start > bytes.len() {
            return Ok(Vec::new());
        }
        if self.pattern.states.saturating_mul(bytes.len() - start) > MAX_STEPS {
            return Err(TooLong);
        }
        let found = self.pattern.regex.captures_at(bytes, start);
        let text =
            |group: Option<regex::bytes::Match<'_>>| group.map(|group| group.as_bytes().to_vec()).unwrap_or_default();
        Ok(found.map(|found| found.iter().map(text).collect()).unwrap_or_default())
    }
}

impl fmt::Display for LinePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Serialize for LinePattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for LinePattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for LinePattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "LinePattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "regex", "minLength": 1})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_match_at_lines() {
        let greeting = b"220-mail.example ESMTP\r\n220-no spam\r\n220 ready\r\n";
        for (pattern, end) in [
            ("^220 ", Some(41)),
            ("^220 ready$", Some(46)),
            ("spam$", Some(35)),
            (r"\A220-", Some(4)),
            ("^no", None),
            ("(?-m)^220 ", None),
        ] {
            assert_eq!(LinePattern::new(pattern).unwrap().find_end(greeting, 0), Ok(end), "{pattern}");
        }
        let ready = LinePattern::new("^220").unwrap();
        assert_eq!(ready.find_end(greeting, 3), Ok(Some(27)), "a position within a line is no beginning of a line");
        assert_eq!(ready.find_end(greeting, 1_000), Ok(None));
    }

    #[test]
    fn long_texts_are_searched_with_the_same_anchors() {
        let mut text = b"220-x\r\n".repeat(8_000);
        text.extend(b"220 ready\r\n");
        let pattern = LinePattern::new(r"^220 [a-z]+ready|^220 [a-z]{5}$").unwrap();
        assert_eq!(pattern.find_end(&text, 0), Ok(Some(text.len() - 2)));
        assert_eq!(pattern.capture(&text, text.len() - 11).unwrap(), [b"220 ready".to_vec()]);
    }

    #[test]
    fn exact_bytes_are_found_and_groups_captured() {
        let pattern = LinePattern::of_bytes(b"\xff.\0\n").unwrap();
        assert_eq!((pattern.find_end(b"a\xff.\0\n", 0), pattern.find_end(b"\xffx\0\n", 0)), (Ok(Some(5)), Ok(None)));
        assert_eq!(pattern.to_string(), r"\xff.\x00\n");
        assert!(LinePattern::of_bytes(b"").is_err());
        let pattern = LinePattern::new(r"^id (\d+)(x)?").unwrap();
        let groups = pattern.capture(b"hello\nid 42\n", 0).unwrap();
        assert_eq!(groups, [b"id 42".to_vec(), b"42".to_vec(), vec![]]);
        assert!(pattern.groups() == 2 && pattern.may_grow());
    }
}
