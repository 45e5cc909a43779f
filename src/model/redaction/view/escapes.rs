//! Escapes of single characters: of URLs (`%68`), of JSON and other languages (`\u0068`, `\x68`, `\/`), of HTML
//! (`&#104;`, `&amp;`).

use super::View;

/// Longest escape that is known: `&DiacriticalGrave;`.
const MAX_ESCAPE: usize = 20;
/// Named characters of HTML5 that stand for ASCII punctuation and blanks, and those that look like it.
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

/// Escapes of one language. They are taken off one after the other, for what begins an escape of one language may be
/// a letter of the secret in another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    Percent,
    Backslash,
    Entity,
}

impl Family {
    pub(super) const ALL: [Self; 3] = [Self::Percent, Self::Backslash, Self::Entity];

    fn start(self) -> u8 {
        match self {
            Self::Percent => b'%',
            Self::Backslash => b'\\',
            Self::Entity => b'&',
        }
    }
}

/// What an escape stands for and how many bytes it has.
enum Escape {
    Byte(u8, usize),
    Char(char, usize),
}

/// The view without the escapes of a family; `None` if there are none.
pub(super) fn decoded(view: &View, family: Family) -> Option<View> {
    let first = family.start();
    if !view.bytes.contains(&first) {
        return None;
    }
    let mut out = View { placed: view.placed, is_unescaped: true, ..View::default() };
    let (mut at, mut changed) = (0, false);
    while let Some(rest) = view.bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let found = if rest.first() == Some(&first) { escape(rest) } else { None };
        let (length, byte, letter) = match found {
            Some(Escape::Byte(byte, length)) => (length, Some(byte), None),
            Some(Escape::Char(letter, length)) => (length, None, Some(letter)),
            // An escape that was cut in its middle: what is before it is what can be compared.
            None if rest.first() == Some(&first) => match cut(view, at) {
                Some(end) => (end - at, None, None),
                None => (1, rest.first().copied(), None),
            },
            None => (1, rest.first().copied(), None),
        };
        changed |= length > 1 || byte.is_none();
        let place = view.place(at..at + length);
        byte.iter().for_each(|byte| out.push(*byte, place.clone()));
        if let Some(letter) = letter {
            letter.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push(byte, place.clone()));
        }
        at += length;
    }
    changed.then_some(out)
}

/// The end of an incomplete escape, if a cut follows it.
fn cut(view: &View, at: usize) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'#' | b'{');
    let rest = view.bytes.get(at + 1..)?;
    let end = at + 1 + rest.iter().take(MAX_ESCAPE).take_while(|byte| is_part(byte)).count();
    view.is_cut(end).then_some(end)
}

fn escape(text: &[u8]) -> Option<Escape> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] => four(digits, 2),
        [b'%', digits @ ..] => two(digits, 1),
        [b'\\', b'u' | b'U', b'{', digits @ ..] => {
            let length = digits.iter().take(8).position(|byte| *byte == b'}')?;
            Some(Escape::Char(letter(number(digits.get(..length)?, 16)?)?, length + 4))
        }
        [b'\\', b'u' | b'U', digits @ ..] => four(digits, 2),
        [b'\\', b'x' | b'X', digits @ ..] => two(digits, 2),
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
        [b'&', b'#', b'x' | b'X', digits @ ..] => entity(digits, 16, 3),
        [b'&', b'#', digits @ ..] => entity(digits, 10, 2),
        [b'&', name @ ..] => {
            let starts = |entity: &[u8]| name.get(..entity.len()).is_some_and(|name| name.eq_ignore_ascii_case(entity));
            let (entity, letter) = ENTITIES.iter().find(|(entity, _)| starts(entity))?;
            Some(Escape::Char(*letter, entity.len() + 1))
        }
        _ => None,
    }
}

fn two(digits: &[u8], before: usize) -> Option<Escape> {
    let byte = number(digits.get(..2)?, 16)?;
    Some(Escape::Byte(u8::try_from(byte).ok()?, before + 2))
}

/// Four digits, and four more where they are the first half of a surrogate pair.
fn four(digits: &[u8], before: usize) -> Option<Escape> {
    let high = number(digits.get(..4)?, 16)?;
    if let Some(letter) = letter(high) {
        return Some(Escape::Char(letter, before + 4));
    }
    let second = digits.get(4 + before..8 + before)?;
    let pair = [u16::try_from(high).ok()?, u16::try_from(number(second, 16)?).ok()?];
    let letter = char::decode_utf16(pair).next()?.ok()?;
    Some(Escape::Char(letter, 2 * (before + 4)))
}

/// The semicolon is optional, as it is for browsers.
fn entity(digits: &[u8], radix: u32, before: usize) -> Option<Escape> {
    let count = digits.iter().take(MAX_ESCAPE).take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let letter = letter(number(digits.get(..count)?, radix)?)?;
    let end = usize::from(digits.get(count) == Some(&b';'));
    Some(Escape::Char(letter, before + count + end))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
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
        let view = View::of(text, true);
        let mut views = Family::ALL.iter().filter_map(|family| decoded(&view, *family));
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
