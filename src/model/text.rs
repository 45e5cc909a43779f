//! Texts for people that may quote a target.
//!
//! The text of a target is untrusted: it may be endless, forge lines of a log, or control the terminal of its reader. A
//! finding is therefore one bounded line of visible characters, and so is a name.

use sha2::{Digest, Sha256};

use super::redaction::before_cut;

/// Maximum number of characters of a finding.
const MAX_CHARS: usize = 1_000;
/// Maximum number of characters of a name from a target.
const MAX_NAME_CHARS: usize = 128;
/// Number of characters at the end of a cut name: an ellipsis and eight digits of a hash.
const NAME_END_CHARS: usize = 9;
/// Number of characters that are kept at the beginning and at the end of a long error message.
const MAX_MESSAGE_START: usize = 1_500;
const MAX_MESSAGE_END: usize = 500;

/// Converts a text to one bounded line: spaces for line breaks, escapes for invisible characters.
pub(crate) fn one_line(text: impl Into<String>) -> String {
    let text = text.into();
    if is_plain(&text, MAX_CHARS) {
        return text;
    }
    let text = if text.len() > MAX_CHARS { before_cut(&text, MAX_CHARS).into_owned() } else { text };
    let mut out = String::with_capacity(MAX_CHARS.min(text.len()));
    for (at, c) in text.chars().enumerate() {
        match c {
            _ if at == MAX_CHARS => {
                out.push('…');
                break;
            }
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_unseen(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Quotes the beginning of a text from a target on one line.
pub(crate) fn excerpt(text: &str, longest: usize) -> String {
    let is_cut = |text: &str| text.chars().nth(longest).is_some();
    let text = if is_cut(text) { before_cut(text, longest) } else { text.into() };
    let mut shown: String = text.chars().take(longest).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if is_cut(&text) {
        shown.push_str("...");
    }
    shown
}

/// Bounds a name from a target to 128 visible characters. A changed name ends with a hash of the original, so that
/// different names stay different. A name that this function returned is not changed again.
pub(crate) fn bounded_name(text: impl Into<String>) -> String {
    let text = text.into();
    if is_plain(&text, MAX_NAME_CHARS) {
        return text;
    }
    let (mut out, mut count, mut changed) = (String::new(), 0, false);
    // The longest prefix of `out` that leaves space for the hash.
    let mut end = 0;
    for c in before_cut(&text, MAX_NAME_CHARS).chars() {
        let escape = is_unseen(c).then(|| c.escape_default());
        changed |= escape.is_some();
        count += escape.as_ref().map_or(1, ExactSizeIterator::len);
        if count > MAX_NAME_CHARS {
            changed = true;
            break;
        }
        match escape {
            Some(escape) => out.extend(escape),
            None => out.push(c),
        }
        if count <= MAX_NAME_CHARS - NAME_END_CHARS {
            end = out.len();
        }
    }
    if changed {
        out.truncate(end);
        out.push('…');
        out.extend(to_hex(&Sha256::digest(&text)).chars().take(NAME_END_CHARS - 1));
    }
    out
}

/// Makes all texts and keys of a document visible and bounded.
pub(crate) fn make_visible(value: &mut serde_json::Value) {
    use serde_json::Value;
    let visible = |text: &mut String| {
        // Line breaks and tabs are kept: the writer of the document escapes them.
        if text.len() > MAX_CHARS || text.chars().any(|c| is_unseen(c) && !matches!(c, '\n' | '\t')) {
            *text = one_line(std::mem::take(text));
        }
    };
    match value {
        Value::String(text) => visible(text),
        Value::Array(list) => list.iter_mut().for_each(make_visible),
        Value::Object(map) => {
            for (key, mut value) in std::mem::take(map) {
                make_visible(&mut value);
                map.insert(bounded_name(key), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Shortens a long error message in its middle: the beginning contains the position, and often the end contains the
/// reason.
pub(crate) fn without_middle(text: impl Into<String>) -> String {
    let text = text.into();
    let at = |(at, _): (usize, char)| at;
    let (Some(start), Some(end)) =
        (text.char_indices().nth(MAX_MESSAGE_START).map(at), text.char_indices().nth_back(MAX_MESSAGE_END - 1).map(at))
    else {
        return text;
    };
    match (text.get(..start), text.get(end..)) {
        (Some(first), Some(last)) if start < end => format!("{first} [...] {last}"),
        _ => text,
    }
}

/// Whether a text needs no change: at most `most` bytes, all visible. Most texts are plain ASCII.
fn is_plain(text: &str, most: usize) -> bool {
    let is_ascii = || text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    text.len() <= most && (is_ascii() || !text.chars().any(is_unseen))
}

/// Formats bytes as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a character is invisible: a control character, a character without width, a line separator or a mark of the
/// writing direction.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_bounded_line_that_can_be_seen() {
        for (text, line) in [
            ("status 503, expected 2xx", "status 503, expected 2xx"),
            ("müde · 5.2 ms", "müde · 5.2 ms"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("one\r\nts=1 level=error", "one  ts=1 level=error"),
            ("abc\u{202e}fed\u{9b}x", "abc\\u{202e}fed\\u{9b}x"),
        ] {
            assert_eq!(one_line(text), line);
        }
        let long = one_line("ä".repeat(1_000_000));
        assert!(long.chars().count() == MAX_CHARS + 1 && long.ends_with("ä…"), "{}", long.len());
        assert!(one_line("\u{1b}".repeat(1_000_000)).len() < 10_000);
    }

    #[test]
    fn a_name_is_bounded_visible_and_as_distinct_as_before() {
        for plain in ["orders", "müde/Größe", "a{b=\"c\"}", &*"x".repeat(MAX_NAME_CHARS)] {
            assert_eq!(bounded_name(plain), plain);
        }
        let long = "ä".repeat(62_000);
        let names: Vec<_> = [
            "a\u{1b}[2J".to_owned(),
            "a\\u{1b}[2J".to_owned(),
            "a\u{202e}b".to_owned(),
            "a\nb".to_owned(),
            "a\rb".to_owned(),
            "a b".to_owned(),
            "\u{1b}".repeat(128),
            long.clone() + "1",
            long + "2",
            "x".repeat(MAX_NAME_CHARS + 1),
        ]
        .map(bounded_name)
        .into();
        for (at, one) in names.iter().enumerate() {
            assert!(one.chars().count() <= MAX_NAME_CHARS && !one.chars().any(is_unseen), "{one}");
            assert!(!names[..at].contains(one), "{one}");
            assert_eq!(&bounded_name(one.clone()), one);
        }
        assert!(names[0].starts_with("a\\u{1b}[2J…"), "{}", names[0]);
    }

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let long = without_middle(format!("begin{}end", "ö".repeat(400_000)));
        assert!(long.starts_with("begin") && long.ends_with("end") && long.len() < 5_000, "{}", long.len());
        let short = "x".repeat(MAX_MESSAGE_START + MAX_MESSAGE_END);
        assert_eq!(without_middle(&*short), short);
    }

    #[test]
    fn a_document_is_visible_too() {
        let mut facts = serde_json::json!({"a\u{1b}": ["b\u{202e}", "two\nlines", 1, {"c": "x".repeat(20_000)}]});
        make_visible(&mut facts);
        let text = facts.to_string();
        assert!(text.len() < 1_500 && text.contains("two\\nlines"), "{text}");
        assert!(!text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
    }
}
