//! Escapes for exact bytes, and placeholders for groups.

use std::ops::Range;

/// Converts a text with escapes to bytes: `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`. Other characters are UTF-8.
///
/// # Errors
/// A description of an unknown escape without the rest of the text.
pub(super) fn parse_escapes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let is_hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                match u8::from_str_radix(&digits, 16) {
                    Ok(byte) if is_hexadecimal => bytes.push(byte),
                    _ => return Err(r"`\x` needs two hexadecimal digits, as in `\xff`".to_owned()),
                }
            }
            _ => {
                return Err(
                    r"an unknown escape: write `\r`, `\n`, `\t`, `\0`, `\xNN`, or `\\` for a backslash".to_owned()
                );
            }
        }
    }
    Ok(bytes)
}

/// The placeholders `${0}`, `${1}` and so on in a text, with their positions.
pub(super) fn placeholders(text: &str) -> Vec<(Range<usize>, usize)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("${") {
        let Some((number, _)) = text.get(start + 2..).and_then(|rest| rest.split_once('}')) else { continue };
        if let Some(group) = number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit())) {
            found.push((start..start + 2 + number.len() + 1, group));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_exact_bytes() {
        for (text, bytes) in
            [("", &b""[..]), (r"PING\r\n", b"PING\r\n"), (r"\x00\xFF\0\\x", b"\x00\xff\x00\\x"), ("ü\t", b"\xc3\xbc\t")]
        {
            assert_eq!(parse_escapes(text).as_deref(), Ok(bytes), "{text}");
        }
        for bad in ["\\", r"\q", r"\x", r"\x1", r"\x+1", r"\xü"] {
            assert!(parse_escapes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn placeholders_are_numbers() {
        assert_eq!(placeholders("a ${1} $${12}"), [(2..6, 1), (8..13, 12)]);
        for other in ["${}", "${a}", "${1", "${-1}", "${+1}", "$1", "${99999999999999999999}"] {
            assert_eq!(placeholders(other), [], "{other}");
        }
    }
}
