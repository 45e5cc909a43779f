//! Escapes of single characters: in URLs (`%68`), in JSON and other languages (`\u0068`, `\x68`, `\/`), in HTML
//! (`&#104;`, `&amp;`).

use super::View;

/// Maximum length of an escape: `&DiacriticalGrave;`.
const MAX_ESCAPE: usize = 20;
/// Named characters of HTML5 for ASCII punctuation, spaces and similar characters.
const ENTITIES: [(&[u8], char); 46] = [
    (b"amp;", '&'),
    (b"lt;", '<'),
    (b"gt;", '>'),
    (b"quot;", '"'),
    (b"apos;", '\''),
    (b"excl;", '!'),
    (b"num;", '#'),
    (b"dollar;", '$'),
    (b"percnt;", '%'),
    (b"lpar;", '('),
    (b"rpar;", ')'),
    (b"ast;", '*'),
    (b"midast;", '*'),
    (b"plus;", '+'),
    (b"comma;", ','),
    (b"hyphen;", '-'),
    (b"dash;", '-'),
    (b"period;", '.'),
    (b"sol;", '/'),
    (b"colon;", ':'),
    (b"semi;", ';'),
    (b"equals;", '='),
    (b"quest;", '?'),
    (b"commat;", '@'),
    (b"lsqb;", '['),
    (b"lbrack;", '['),
    (b"bsol;", '\\'),
    (b"rsqb;", ']'),
    (b"rbrack;", ']'),
    (b"hat;", '^'),
    (b"lowbar;", '_'),
    (b"underbar;", '_'),
    (b"grave;", '`'),
    (b"diacriticalgrave;", '`'),
    (b"lcub;", '{'),
    (b"lbrace;", '{'),
    (b"verbar;", '|'),
    (b"vert;", '|'),
    (b"verticalline;", '|'),
    (b"rcub;", '}'),
    (b"rbrace;", '}'),
    (b"tilde;", '~'),
    (b"tab;", '\t'),
    (b"newline;", '\n'),
    (b"nbsp;", ' '),
    (b"nonbreakingspace;", ' '),
];

/// Escapes of one language. Each family is decoded separately, because the first character of an escape in one language
/// may be a character of the secret in another.
#[derive(Debug, Clone, Copy)]
pub(super) enum EscapeFamily {
    Percent,
    Backslash,
    Entity,
}

impl EscapeFamily {
    pub(super) const ALL: [Self; 3] = [Self::Percent, Self::Backslash, Self::Entity];

    fn start(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Backslash => b'\\',
            Self::Entity => b'&',
        }
    }
}

/// Decoded escape with the length of its encoded form in bytes.
enum Escape {
    Byte(u8, usize),
    Char(char, usize),
}

/// Decodes the escapes of a family; `None` if the view contains none.
pub(super) fn decode_family(view: &View, family: EscapeFamily) -> Option<View> {
    let first = family.start();
    if !view.bytes.contains(&first) {
        return None;
    }
    let mut out = View { placed: view.placed, is_unescaped: true, ..View::default() };
    let (mut at, mut changed) = (0, false);
    while let Some(rest) = view.bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let found = if rest.first() == Some(&first) { parse_escape(rest) } else { None };
        let (length, byte, letter) = match found {
            Some(Escape::Byte(byte, length)) => (length, Some(byte), None),
            Some(Escape::Char(letter, length)) => (length, None, Some(letter)),
            // An escape that was cut in its middle: only the text before it can be compared.
            None if rest.first() == Some(&first) => match incomplete_escape_end(view, at) {
                Some(end) => (end - at, None, None),
                None => (1, rest.first().copied(), None),
            },
            None => (1, rest.first().copied(), None),
        };
        changed |= length > 1 || byte.is_none();
        let place = view.original_place(at..at + length);
        byte.iter().for_each(|byte| out.push(*byte, place.clone()));
        if let Some(letter) = letter {
            letter.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push(byte, place.clone()));
        }
        at += length;
    }
    changed.then_some(out)
}

/// The end of an incomplete escape, if a cut follows it.
fn incomplete_escape_end(view: &View, at: usize) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'#' | b'{');
    let rest = view.bytes.get(at + 1..)?;
    let end = at + 1 + rest.iter().take(MAX_ESCAPE).take_while(|byte| is_part(byte)).count();
    view.is_cut(end).then_some(end)
}

fn parse_escape(text: &[u8]) -> Option<Escape> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] => utf16_escape(digits, 2),
        [b'%', digits @ ..] => byte_escape(digits, 1),
        [b'\\', b'u' | b'U', b'{', digits @ ..] => {
            let length = digits.iter().take(8).position(|byte| *byte == b'}')?;
            Some(Escape::Char(letter(parse_number(digits.get(..length)?, 16)?)?, length + 4))
        }
        [b'\\', b'u' | b'U', digits @ ..] => utf16_escape(digits, 2),
        [b'\\', b'x' | b'X', digits @ ..] => byte_escape(digits, 2),
        [b'\\', byte, ..] => Some(Escape::Byte(
            match byte {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'/' | b'\\' | b'"' | b'\'' => *byte,
                _ => return None,
            },
            2,
        )),
        [b'&', b'#', b'x' | b'X', digits @ ..] => numeric_entity(digits, 16, 3),
        [b'&', b'#', digits @ ..] => numeric_entity(digits, 10, 2),
        [b'&', name @ ..] => {
            let starts = |entity: &[u8]| name.get(..entity.len()).is_some_and(|name| name.eq_ignore_ascii_case(entity));
            let (entity, letter) = ENTITIES.iter().find(|(entity, _)| starts(entity))?;
            Some(Escape::Char(*letter, entity.len() + 1))
        }
        _ => None,
    }
}

fn byte_escape(digits: &[u8], before: usize) -> Option<Escape> {
    let byte = parse_number(digits.get(..2)?, 16)?;
    Some(Escape::Byte(u8::try_from(byte).ok()?, before + 2))
}

/// Decodes four digits, and four more if the first four are half of a surrogate pair.
fn utf16_escape(digits: &[u8], before: usize) -> Option<Escape> {
    let high = parse_number(digits.get(..4)?, 16)?;
    if let Some(letter) = letter(high) {
        return Some(Escape::Char(letter, before + 4));
    }
    let second = digits.get(4 + before..8 + before)?;
    let pair = [u16::try_from(high).ok()?, u16::try_from(parse_number(second, 16)?).ok()?];
    let letter = char::decode_utf16(pair).next()?.ok()?;
    Some(Escape::Char(letter, 2 * (before + 4)))
}

/// Decodes a numeric character reference. The semicolon is optional, as in browsers.
fn numeric_entity(digits: &[u8], radix: u32, before: usize) -> Option<Escape> {
    let count = digits.iter().take(MAX_ESCAPE).take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let letter = letter(parse_number(digits.get(..count)?, radix)?)?;
    let end = usize::from(digits.get(count) == Some(&b';'));
    Some(Escape::Char(letter, before + count + end))
}

fn parse_number(digits: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(text, radix).ok()
}

fn letter(number: u32) -> Option<char> {
    char::from_u32(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let view = View::from_text(text, true);
        let mut views = EscapeFamily::ALL.iter().filter_map(|family| decode_family(&view, *family));
        views.next().map_or_else(|| "-".into(), |view| String::from_utf8_lossy(&view.bytes).into_owned())
    }

    #[test]
    fn each_escape_is_taken_off() {
        for (text, expected) in [
            ("plain + text", "-"),
            ("%68%65y", "hey"),
            ("%u0068", "h"),
            ("\\u0068\\x65\\/\\\"\\u{79}", "he/\"y"),
            ("\\ud83d\\ude00", "\u{1f600}"),
            ("&#104;&#x65;&#121&amp;&LT;", "hey&<"),
            ("&excl;&num;&dollar;&percnt;&lpar;&rpar;&ast;&plus;&comma;&hyphen;&period;&sol;", "!#$%()*+,-./"),
            ("&colon;&semi;&equals;&quest;&commat;&lsqb;&bsol;&rsqb;&Hat;&lowbar;&grave;", ":;=?@[\\]^_`"),
            ("&lcub;&verbar;&rcub;&dash;&DiacriticalGrave;&Tab;&NewLine;&nbsp;", "{|}-`\t\n "),
            ("100% \\q & co &#; \\ud83d", "-"),
            ("%C3%A4", "\u{e4}"),
            ("hun%7...", "hun..."),
            ("hun\\u00\"...", "hun\"..."),
            ("hun&#10\u{2026}", "hun\n\u{2026}"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }
}
