//! The body of a response as text. Servers declare the charset in `Content-Type`, by a byte order mark or in HTML.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::model::text::excerpt;

/// A body and its decoded text.
pub(super) struct BodyContent<'a> {
    raw: &'a [u8],
    decoded: Option<Decoded>,
    /// A declared charset that is unknown, unless the body can be read without it.
    unknown_charset: Option<String>,
}

struct Decoded {
    text: String,
    origin: CharsetOrigin,
}

/// Source of the charset of a decoded body.
enum CharsetOrigin {
    /// A byte order mark.
    Mark,
    /// A declaration with this label.
    Label(String),
    /// No declaration: the bytes are no UTF-8, and browsers read them in this encoding.
    Fallback(&'static str),
}

/// Number of bytes in which HTML and XML declare their charset (WHATWG HTML, section 13.2.3.2).
const DECLARATION_BYTES: usize = 1_024;

impl<'a> BodyContent<'a> {
    /// Decodes a body in the charset that a byte order mark, `Content-Type` or the body itself declares.
    pub(super) fn new(raw: &'a [u8], content_type: Option<&str>) -> Self {
        let plain = Self { raw, decoded: None, unknown_charset: None };
        let with = |decoded: Decoded| Self { raw, decoded: Some(decoded), unknown_charset: None };
        if let Some((encoding, mark)) = Encoding::for_bom(raw) {
            return with(decode(encoding, raw.get(mark..).unwrap_or_default(), CharsetOrigin::Mark));
        }
        let media_type = content_type.unwrap_or_default().to_ascii_lowercase();
        let is_markup = media_type.contains("html") || media_type.contains("xml");
        let label = content_type.and_then(charset_parameter);
        let label = label.or_else(|| if is_markup { charset_declaration(raw) } else { None });
        match label.as_deref().map(|label| (label, Encoding::for_label(label.as_bytes()))) {
            Some((_, Some(encoding))) if encoding == UTF_8 => plain,
            Some((label, Some(encoding))) if encoding != REPLACEMENT => {
                with(decode(encoding, raw, CharsetOrigin::Label(label.to_owned())))
            }
            _ if std::str::from_utf8(raw).is_ok() => plain,
            Some((label, _)) => Self { unknown_charset: Some(excerpt(label, 30)), ..plain },
            None if media_type.is_empty() || media_type.starts_with("text/") || is_markup => {
                with(decode(WINDOWS_1252, raw, CharsetOrigin::Fallback(WINDOWS_1252.name())))
            }
            None => plain,
        }
    }

    /// The forms of the body in which a text is searched: the bytes, and the decoded text if it differs from them.
    pub(super) fn forms(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.raw).chain(self.decoded.as_ref().map(|decoded| decoded.text.as_bytes()))
    }

    /// Number of bytes of all forms.
    pub(super) fn len(&self) -> usize {
        self.forms().map(<[u8]>::len).sum()
    }

    /// The declared charset, if it is unknown and needed.
    pub(super) fn unknown_charset(&self) -> Option<&str> {
        self.unknown_charset.as_deref()
    }

    /// A remark on the charset for a finding, with a leading blank.
    pub(super) fn remark(&self) -> String {
        match self.decoded.as_ref().map(|decoded| &decoded.origin) {
            Some(CharsetOrigin::Label(label)) => format!(" (read as {})", excerpt(label, 30)),
            Some(CharsetOrigin::Fallback(name)) => {
                format!(" (the body is not UTF-8 and declares no charset, so that it was read as {name})")
            }
            Some(CharsetOrigin::Mark) | None => String::new(),
        }
    }

    /// The body for a JSON parser, without a byte order mark. RFC 8259, section 8.1, requires UTF-8, so that a declared
    /// charset counts only for a body that is no UTF-8.
    pub(super) fn json(&self) -> Cow<'_, [u8]> {
        let is_utf_8 = || std::str::from_utf8(self.raw).is_ok();
        match (&self.decoded, self.raw) {
            (Some(Decoded { text, origin: CharsetOrigin::Mark }), _) => text.as_bytes().into(),
            // RFC 4627, section 3: two ASCII characters start a document, and reveal UTF-16.
            (_, [0, first, ..]) if *first != 0 => {
                UTF_16BE.decode_without_bom_handling(self.raw).0.into_owned().into_bytes().into()
            }
            (_, [first, 0, ..]) if *first != 0 => {
                UTF_16LE.decode_without_bom_handling(self.raw).0.into_owned().into_bytes().into()
            }
            (Some(Decoded { text, origin: CharsetOrigin::Label(_) }), _) if !is_utf_8() => text.as_bytes().into(),
            _ => self.raw.into(),
        }
    }
}

fn decode(encoding: &'static Encoding, bytes: &[u8], origin: CharsetOrigin) -> Decoded {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    Decoded { text: text.into_owned(), origin }
}

/// The parameter `charset` of a media type, as in `text/html; charset="ISO-8859-1"`.
fn charset_parameter(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    let label = value.trim().trim_matches(['"', '\'']).trim();
    (!label.is_empty()).then(|| label.to_owned())
}

/// The charset in `<meta charset="...">`, `<meta content="text/html; charset=...">` or `<?xml encoding="..."?>`.
fn charset_declaration(body: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(body.get(..DECLARATION_BYTES).unwrap_or(body)).to_ascii_lowercase();
    let xml = start.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    let place = match xml {
        Some((declaration, _)) => declaration.split_once("encoding")?.1,
        None => start.split_once("<meta")?.1.split_once("charset")?.1,
    };
    let value = place.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let end =
        value.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ':' | '.')).unwrap_or(value.len());
    value.get(..end).filter(|label| !label.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(body: &[u8], content_type: &str, text: &str) -> bool {
        let content = BodyContent::new(body, Some(content_type).filter(|text| !text.is_empty()));
        content.forms().any(|form| memchr::memmem::find(form, text.as_bytes()).is_some())
    }

    #[test]
    fn a_text_is_found_in_every_declared_charset() {
        let encoded =
            |label: &str, text: &str| Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned();
        for (label, text) in [
            ("iso-8859-1", "Größe"),
            ("ISO-8859-15", "5 €"),
            ("windows-1251", "готово"),
            ("koi8-r", "готово"),
            ("Shift_JIS", "準備完了"),
            ("euc-jp", "準備完了"),
            ("gb2312", "准备"),
            ("gb18030", "准备"),
            ("big5", "準備"),
            ("euc-kr", "준비"),
            ("utf-8", "Größe"),
        ] {
            let body = encoded(label, text);
            for content_type in
                [format!("text/plain; charset={label}"), format!("TEXT/HTML;a=b; Charset = \"{label}\" ")]
            {
                assert!(finds(&body, &content_type, text), "{content_type}");
            }
            for page in [
                format!("<html><head><meta charset=\"{label}\">"),
                format!("<meta http-equiv=Content-Type content='text/html; charset={label}'>"),
                format!("<?xml version=\"1.0\" encoding='{label}'?>"),
            ] {
                let page = encoded(label, &format!("{page}{text}"));
                assert!(finds(&page, "application/xhtml+xml", text), "{label}");
            }
        }
    }

    #[test]
    fn byte_order_marks_win_and_undeclared_bytes_are_read_as_in_browsers() {
        let utf_16 = |big: bool| -> Vec<u8> {
            let units = "\u{feff}Größe".encode_utf16();
            units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        assert!(finds(&utf_16(true), "text/plain", "Größe") && finds(&utf_16(false), "", "Größe"));
        assert!(finds("\u{feff}Größe".as_bytes(), "text/plain; charset=iso-8859-1", "Größe"));
        assert!(finds(b"Gr\xf6\xdfe", "text/plain", "Größe") && finds(b"Gr\xf6\xdfe", "", "Größe"));
        assert!(!finds(b"Gr\xf6\xdfe", "application/octet-stream", "Größe"));
        assert!(finds("Größe".as_bytes(), "text/plain", "Größe"));
    }

    #[test]
    fn an_unknown_charset_is_named_only_where_it_matters() {
        let unknown = |body: &'static [u8], content_type| {
            BodyContent::new(body, Some(content_type)).unknown_charset().map(str::to_owned)
        };
        assert_eq!(unknown(b"Gr\xf6\xdfe", "text/plain; charset=x-martian"), Some("x-martian".into()));
        assert_eq!(unknown(b"Gr\xf6\xdfe", "text/plain; charset=iso-2022-kr"), Some("iso-2022-kr".into()));
        assert_eq!(unknown("Größe".as_bytes(), "text/plain; charset=utf8mb4"), None);
        assert_eq!(unknown(b"plain", "text/plain; charset=none"), None);
    }

    #[test]
    fn json_is_utf_8_unless_its_bytes_are_not() {
        let json = |body: &[u8], content_type: &str| {
            String::from_utf8_lossy(&BodyContent::new(body, Some(content_type)).json()).into_owned()
        };
        assert_eq!(json("{\"a\":\"ö\"}".as_bytes(), "application/json; charset=iso-8859-1"), "{\"a\":\"ö\"}");
        assert_eq!(json(b"{\"a\":\"\xf6\"}", "application/json; charset=iso-8859-1"), "{\"a\":\"ö\"}");
        assert_eq!(json("\u{feff}{}".as_bytes(), "application/json"), "{}");
        for (mark, big) in [(true, true), (true, false), (false, true), (false, false)] {
            let text = if mark { "\u{feff}{\"a\":1}" } else { "{\"a\":1}" };
            let units = text.encode_utf16();
            let bytes: Vec<u8> =
                units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            assert_eq!(json(&bytes, "application/json"), "{\"a\":1}", "mark {mark}, big {big}");
        }
    }
}
