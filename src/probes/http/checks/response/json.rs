//! A JSON document with exact numbers, and paths into it.

use std::{borrow::Cow, ops::Range};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::decimal::Decimal;
use crate::model::{pattern::bracket_depth, text::excerpt};

/// A document. `serde_json` reads numbers of more than 64 bits and all decimals as floating point. A document with such
/// numbers is read a second time, with their digits as texts.
pub(super) struct JsonDocument {
    values: Value,
    /// The same document with the numbers that floating point may round, as texts after [`EXACT_NUMBER`].
    exact: Option<Value>,
}

/// Reason why a body is no JSON document that can be searched.
pub(super) enum Unreadable {
    Syntax(serde_json::Error),
    TooManyValues,
}

/// Maximum number of values of a document. Each takes about a hundred bytes, however short it is in the body.
pub(super) const MAX_JSON_VALUES: usize = 250_000;
/// Start of a text that replaces a number. A target that sends such a text has merely written a number.
const EXACT_NUMBER: &str = "\u{10fffd}number ";
/// Number of significant digits that floating point always retains.
pub(super) const EXACT_DIGITS: usize = 15;

impl JsonDocument {
    /// Parses a document in UTF-8 without a byte order mark.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        // The values are counted before anything is allocated.
        let (count, inexact) = scan(body);
        if count > MAX_JSON_VALUES {
            return Err(Unreadable::TooManyValues);
        }
        let read = |body: &[u8]| serde_json::from_slice(body).map_err(Unreadable::Syntax);
        if inexact.is_empty() {
            return Ok(Self { values: read(body)?, exact: None });
        }
        let bounded = replace(body, &inexact, |token| match token.parse::<f64>() {
            Ok(number) if number.is_finite() => token.into(),
            // The largest finite numbers stand for larger ones in the filters of paths.
            _ => format!("{:e}", if token.starts_with('-') { f64::MIN } else { f64::MAX }).into(),
        });
        let exact = replace(body, &inexact, |token| format!("\"{EXACT_NUMBER}{token}\"").into());
        Ok(Self { values: read(&bounded)?, exact: Some(read(&exact)?) })
    }

    /// The values that a path selects.
    pub(super) fn select(&self, path: &JsonPath) -> Vec<&Value> {
        match &self.exact {
            None => path.query(&self.values).all(),
            Some(exact) => {
                let found = path.query_located(&self.values);
                found.locations().filter_map(|location| exact.pointer(&location.to_json_pointer())).collect()
            }
        }
    }
}

/// The digits of a number as written in the document; `None` for another value.
pub(super) fn digits_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Number(number) => Some(number.to_string().into()),
        Value::String(text) => text.strip_prefix(EXACT_NUMBER).map(Cow::from),
        _ => None,
    }
}

/// The value as JSON text.
pub(super) fn json_text(value: &Value) -> String {
    let text = value.to_string();
    let Some((first, rest)) = text.split_once(&format!("\"{EXACT_NUMBER}")) else { return text };
    let mut shown = first.to_owned();
    for part in rest.split(&format!("\"{EXACT_NUMBER}")) {
        let (digits, rest) = part.split_once('"').unwrap_or((part, ""));
        shown.push_str(digits);
        shown.push_str(rest);
    }
    shown
}

/// Counts the values, and finds the numbers that `serde_json` may round. Every value and every key except the first
/// follows one of four characters outside of texts.
fn scan(body: &[u8]) -> (usize, Vec<Range<usize>>) {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    let mut inexact = Vec::new();
    let mut number: Option<usize> = None;
    for (at, byte) in body.iter().enumerate() {
        let is_numeric = !in_text && matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        match number {
            // No number starts with a letter, as in `true` and `false`.
            None if is_numeric && !matches!(byte, b'e' | b'E') => number = Some(at),
            Some(start) if !is_numeric => {
                number = None;
                inexact.extend(Some(start..at).filter(|range| is_inexact(body.get(range.clone()))));
            }
            _ => {}
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' | b',' | b':' if !in_text => count += 1,
            _ => {}
        }
    }
    if let Some(start) = number {
        inexact.extend(Some(start..body.len()).filter(|range| is_inexact(body.get(range.clone()))));
    }
    (count, inexact)
}

fn is_inexact(token: Option<&[u8]>) -> bool {
    let Some(Ok(token)) = token.map(std::str::from_utf8) else { return false };
    let is_short = token.len() <= EXACT_DIGITS && !token.contains(['e', 'E']);
    !is_short && token.parse::<i64>().is_err() && token.parse::<u64>().is_err() && is_json_number(token)
}

/// Whether a text is a number by RFC 8259, section 6. Others remain in the document, so that its error is found.
fn is_json_number(token: &str) -> bool {
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let whole = unsigned.find(|c: char| !c.is_ascii_digit()).and_then(|end| unsigned.get(..end)).unwrap_or(unsigned);
    let (mantissa, _) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, ""));
    let is_canonical = !whole.is_empty() && (whole == "0" || !whole.starts_with('0')) && !mantissa.ends_with('.');
    is_canonical && Decimal::parse(token).is_some()
}

fn replace<'a>(body: &'a [u8], ranges: &[Range<usize>], with: impl Fn(&'a str) -> Cow<'a, str>) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(body.len() + ranges.len() * EXACT_NUMBER.len());
    let mut end = 0;
    for range in ranges {
        replaced.extend_from_slice(body.get(end..range.start).unwrap_or_default());
        let token = body.get(range.clone()).and_then(|token| std::str::from_utf8(token).ok()).unwrap_or_default();
        replaced.extend_from_slice(with(token).as_bytes());
        end = range.end;
    }
    replaced.extend_from_slice(body.get(end..).unwrap_or_default());
    replaced
}

/// Maximum depth of the brackets of a JSON path. The parser recurses, and tries each filter in several ways: every level
/// doubles its time.
const MAX_PATH_NESTING: usize = 8;

/// Deserializes a path. The error of the crate has only a position, so that the path is added.
pub(super) fn deserialize_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<JsonPath>, D::Error> {
    Option::<String>::deserialize(from)?.map(|text| parse_path(&text).map_err(de::Error::custom)).transpose()
}

fn parse_path(text: &str) -> Result<JsonPath, String> {
    let nesting = bracket_depth(text, &['"', '\'']);
    if nesting > MAX_PATH_NESTING {
        let text = excerpt(text, 60);
        return Err(format!("`{text}` nests brackets {nesting} levels deep; a JSON path may have {MAX_PATH_NESTING}"));
    }
    JsonPath::parse(text).map_err(|error| match suggest_path(text) {
        Some(path) if !text.starts_with('$') => {
            format!("`{text}` is not a JSON path (RFC 9535), which starts with `$`: write `{path}`")
        }
        Some(path) => format!("`{text}` is not a JSON path (RFC 9535): write `{path}`"),
        None => format!("`{text}` is not a JSON path (RFC 9535): {error}"),
    })
}

/// The path that a user may have meant by a name (`status`), a path of jq (`.status`), a JSON pointer (`/status`) or a path
/// with a name that needs quotes (`$.a-b`).
fn suggest_path(text: &str) -> Option<String> {
    let text = text.trim();
    let is_pointer = text.starts_with('/');
    let rest = text.strip_prefix('$').unwrap_or(text);
    let rest = rest.strip_prefix(if is_pointer { '/' } else { '.' }).unwrap_or(rest);
    let mut path = "$".to_owned();
    for segment in rest.split(if is_pointer { '/' } else { '.' }) {
        let (name, selectors) = segment.find('[').map_or((segment, ""), |at| segment.split_at(at));
        let mut letters = name.chars();
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
        match letters.next() {
            None if !selectors.is_empty() => {}
            None => return None,
            Some('*') if name == "*" => path.push_str("[*]"),
            _ if is_pointer && name.bytes().all(|byte| byte.is_ascii_digit()) => {
                path.push_str(&format!("[{name}]"));
            }
            Some(first) if is_start(first) && letters.all(|c| is_start(c) || c.is_ascii_digit()) => {
                path.push('.');
                path.push_str(name);
            }
            _ if name.contains(['\'', '\\']) => return None,
            _ => path.push_str(&format!("['{name}']")),
        }
        path.push_str(selectors);
    }
    (bracket_depth(&path, &['"', '\'']) <= MAX_PATH_NESTING && JsonPath::parse(&path).is_ok()).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn select(body: &str, path: &str) -> Vec<String> {
        let document = JsonDocument::parse(body.as_bytes()).unwrap_or_else(|_| panic!("{body}"));
        document.select(&parse_path(path).unwrap()).into_iter().map(json_text).collect()
    }

    #[test]
    fn numbers_keep_their_digits() {
        let body = r#"{"a": 123456789012345678901234567890, "b": [0.10, -1.5e400, 18446744073709551616],
            "c": "1e5", "d": 12.340000000000000000001, "e": {"f": 1e3, "g": "0.12345678901234567890"}, "h": 7}"#;
        for (path, found) in [
            ("$.a", "123456789012345678901234567890"),
            ("$.b[0]", "0.1"),
            ("$.b[1]", "-1.5e400"),
            ("$.b", "[0.1,-1.5e400,18446744073709551616]"),
            ("$.c", "\"1e5\""),
            ("$.d", "12.340000000000000000001"),
            ("$.e", r#"{"f":1e3,"g":"0.12345678901234567890"}"#),
            ("$.h", "7"),
        ] {
            assert_eq!(select(body, path), [found], "{path}");
        }
        // Filters compare such numbers as numbers.
        assert_eq!(select(r#"[{"n": 1e400, "x": 1}, {"n": 0.12345678901234567, "x": 2}]"#, "$[?@.n > 1].x"), ["1"]);
        assert_eq!(select("12345678901234567890123", "$"), ["12345678901234567890123"]);
    }

    #[test]
    fn malformed_numbers_are_syntax_errors() {
        for body in ["[01234567890123456789012]", "[1.e10]", "[--12345678901234567890]", "[1e+]", "[.1234567890123456]"]
        {
            assert!(matches!(JsonDocument::parse(body.as_bytes()), Err(Unreadable::Syntax(_))), "{body}");
        }
    }

    #[test]
    fn a_path_in_another_notation_is_refused_with_the_right_one() {
        for (text, path) in [
            ("status", "$.status"),
            (".status", "$.status"),
            ("queue.depth", "$.queue.depth"),
            (".items[0].name", "$.items[0].name"),
            ("/items/0/name", "$.items[0].name"),
            ("$.a-b", "$['a-b']"),
            ("a-b.c", "$['a-b'].c"),
            ("$status", "$.status"),
            ("[0]", "$[0]"),
            ("items.*.up", "$.items[*].up"),
            ("$.2xx", "$['2xx']"),
        ] {
            let error = parse_path(text).unwrap_err();
            assert!(error.ends_with(&format!(": write `{path}`")), "{text}: {error}");
        }
        assert!(parse_path("status").unwrap_err().contains("which starts with `$`"));
        for text in ["$.[", "$..", "", "$.a[?", "a'b"] {
            let error = parse_path(text).unwrap_err();
            assert!(error.contains("is not a JSON path (RFC 9535): at position"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_exact_document_has_the_same_structure(
            body in "[\\[\\]{},:\"0-9eE.+\\- ]{0,40}", numbers in proptest::collection::vec("-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?", 0..8)
        ) {
            let _ = JsonDocument::parse(body.as_bytes());
            let body = format!("{{\"a\": [{}]}}", numbers.join(", "));
            prop_assert_eq!(select(&body, "$.a[*]").len(), numbers.len());
            for (found, written) in select(&body, "$.a[*]").iter().zip(&numbers) {
                prop_assert_eq!(Decimal::parse(found), Decimal::parse(written));
            }
        }

        #[test]
        fn no_text_makes_the_parser_of_paths_panic(text in "\\PC{0,40}") {
            let _ = parse_path(&text);
        }
    }
}
