//! Vocabulary of findings: sentences for people, in which a target may be quoted.
//!
//! What a target says is foreign: it may be endless, forge further lines of a log, or steer the terminal on which it
//! is read. A sentence is one bounded line of what can be seen.

/// Characters of a sentence; enough for an explanation, and ten thousand of them are no burden.
const MAX_CHARS: usize = 1_000;

/// The text as one line: blanks for line ends, visible escapes for what can't be seen, cut where it is too long.
pub(crate) fn one_line(text: impl Into<String>) -> String {
    let text = text.into();
    // Most are plain.
    if text.len() <= MAX_CHARS && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text;
    }
    if text.len() <= MAX_CHARS && !text.chars().any(is_unseen) {
        return text;
    }
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

/// Lower-case hexadecimal digits of bytes.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Control characters, and those that end a line or turn the direction of what follows.
fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
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
}
