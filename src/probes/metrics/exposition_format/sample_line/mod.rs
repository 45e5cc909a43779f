//! Parses one line of a page, a sample in the text format or in OpenMetrics, without copying it.
//!
//! The parser accepts and refuses the lines that Prometheus accepts and refuses. The tests in `tests/it/metrics_corpus`
//! compare it with two versions, and list the known differences.

use std::borrow::Cow;

use memchr::memchr2;

use super::page::Format;

/// A parsed sample without its labels.
#[derive(Debug, PartialEq)]
pub(crate) struct ScrapedSample<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: f64,
    /// Timestamp in milliseconds since the epoch.
    pub(crate) at: Option<i64>,
}

/// An error with its position in the line in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) at: usize,
    pub(crate) what: Cow<'static, str>,
    pub(crate) kind: ErrorKind,
}

/// Kinds of errors of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The line is invalid.
    Syntax,
    /// The line ends within quotes. In the text format, the next line may continue the label value.
    OpenQuote,
    /// The line exceeds a limit of the probe.
    Limit,
}

impl ParseError {
    pub(crate) fn new(at: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self { at, what: what.into(), kind: ErrorKind::Syntax }
    }
}

/// Parses a sample. `label` receives the position, the name and the value of each label, both with escapes.
pub(crate) fn parse_sample<'a>(
    line: &'a str,
    format: Format,
    label: impl FnMut(usize, &'a str, &'a str) -> Result<(), ParseError>,
) -> Result<ScrapedSample<'a>, ParseError> {
    let mut cursor = Cursor { line, at: 0, is_text: format == Format::Text };
    cursor.sample(label)
}

/// Parses a number as Prometheus does: a NaN has no sign, and a number that is too large is an error.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let value = text.parse::<f64>().ok()?;
    let is_word = text.contains(['n', 'N']);
    let is_valid = match () {
        () if value.is_nan() => !text.starts_with(['+', '-']),
        () if value.is_infinite() => is_word,
        () => true,
    };
    is_valid.then_some(value)
}

/// Decodes the escapes of a label value or a quoted name.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, c == '\\') {
            (_, true) => match rest.next() {
                Some('n') => plain.push('\n'),
                Some(c @ ('\\' | '"')) => plain.push(c),
                Some(c) => plain.extend(['\\', c]),
                None => plain.push('\\'),
            },
            (c, false) => plain.push(c),
        }
    }
    plain.into()
}

const OPEN_QUOTE: &str = "this quote is not closed in its line";
const CARRIAGE_RETURN: &str = "lines end with LF alone here, not with CR LF";

struct Cursor<'a> {
    line: &'a str,
    at: usize,
    /// Whether the format is the text format, in which spaces may separate tokens.
    is_text: bool,
}

impl<'a> Cursor<'a> {
    fn sample(
        &mut self,
        mut label: impl FnMut(usize, &'a str, &'a str) -> Result<(), ParseError>,
    ) -> Result<ScrapedSample<'a>, ParseError> {
        if matches!(self.peek(), Some(b' ' | b'\t')) {
            return Err(self.wrong("a blank before the name of a metric: remove it"));
        }
        let mut name = match self.word(is_name_start, is_name) {
            "" => None,
            name => Some(Cow::from(name)),
        };
        self.skip_blanks();
        if self.takes(b'{') {
            let quoted = self.labels(name.is_none(), &mut label)?;
            name = name.or(quoted.map(unescape));
        }
        let name = name.ok_or_else(|| self.wrong("expected the name of a metric"))?;
        let value = self.number()?;
        let at = self.timestamp()?;
        if !self.is_text && self.peek() == Some(b' ') {
            self.exemplar()?;
        }
        self.skip_blanks();
        match self.peek() {
            None => Ok(ScrapedSample { name, value, at }),
            Some(b'\r') => Err(self.wrong(CARRIAGE_RETURN)),
            Some(_) => Err(self.wrong("expected the end of the line after value and timestamp")),
        }
    }

    /// Parses the labels and the closing brace. Returns the quoted name if the braces contain one.
    fn labels(
        &mut self,
        may_be_name: bool,
        label: &mut impl FnMut(usize, &'a str, &'a str) -> Result<(), ParseError>,
    ) -> Result<Option<&'a str>, ParseError> {
        let mut quoted_name = None;
        self.skip_blanks();
        while !self.takes(b'}') {
            let start = self.at;
            let quoted = self.peek() == Some(b'"');
            let name = if quoted { self.quoted()? } else { self.word(is_label_start, is_label) };
            if name.is_empty() {
                return Err(self.wrong("expected the name of a label"));
            }
            self.skip_blanks();
            if quoted && may_be_name && quoted_name.is_none() && matches!(self.peek(), Some(b',' | b'}')) {
                quoted_name = Some(name);
            } else {
                if !self.takes(b'=') {
                    return Err(self.wrong("expected `=` after the name of a label"));
                }
                self.skip_blanks();
                label(start, name, self.quoted()?)?;
            }
            self.skip_blanks();
            // Prometheus accepts labels without a comma between them in the text format.
            if !self.takes(b',')
                && self.peek() != Some(b'}')
                && !(self.is_text && self.peek().is_some_and(is_label_start))
            {
                return Err(self.wrong("expected `,` or `}` after a label"));
            }
            self.skip_blanks();
        }
        Ok(quoted_name)
    }

    fn quoted(&mut self) -> Result<&'a str, ParseError> {
        if !self.takes(b'"') {
            return Err(self.wrong("expected a value in double quotes"));
        }
        let start = self.at;
        loop {
            let rest = self.line.as_bytes().get(self.at..).unwrap_or_default();
            let Some(end) = memchr2(b'"', b'\\', rest) else {
                return Err(ParseError { kind: ErrorKind::OpenQuote, ..ParseError::new(start, OPEN_QUOTE) });
            };
            if rest.get(end) == Some(&b'"') {
                let text = self.line.get(start..self.at + end).unwrap_or_default();
                self.at += end + 1;
                return Ok(text);
            }
            // A line feed can't be escaped by a backslash.
            if matches!(rest.get(end + 1), None | Some(b'\n')) {
                return Err(ParseError::new(start, OPEN_QUOTE));
            }
            self.at += end + 2;
        }
    }

    fn number(&mut self) -> Result<f64, ParseError> {
        if self.is_text {
            self.skip_blanks();
        } else if !self.takes(b' ') {
            return Err(self.wrong("expected one space before the value"));
        }
        let start = self.at;
        let text = self.word(|_| true, |byte| !matches!(byte, b' ' | b'\t' | b'{'));
        let what = if text.ends_with('\r') { CARRIAGE_RETURN } else { "expected a number as value" };
        parse_number(text).ok_or(ParseError::new(start, what))
    }

    /// Parses a timestamp: milliseconds in the text format, seconds in OpenMetrics.
    fn timestamp(&mut self) -> Result<Option<i64>, ParseError> {
        let before = self.at;
        self.skip_blanks();
        if !self.is_text && !self.takes(b' ') {
            return Ok(None);
        }
        let start = self.at;
        let is_text = self.is_text;
        let is_first = |byte: u8| if is_text { byte.is_ascii_digit() } else { !matches!(byte, b' ' | b'#') };
        let text = self.word(is_first, |byte| !matches!(byte, b' ' | b'\t'));
        let at = match (text, self.is_text) {
            ("", _) => {
                self.at = before;
                return Ok(None);
            }
            (text, true) => text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten(),
            (text, false) => {
                let seconds = parse_number(text).filter(|seconds| seconds.is_finite());
                #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
                seconds.map(|seconds| (seconds * 1e3) as i64)
            }
        };
        let expected = if self.is_text {
            "expected a timestamp in milliseconds, as digits"
        } else {
            "expected a timestamp in seconds, as a number"
        };
        at.map(Some).ok_or(ParseError::new(start, expected))
    }

    fn exemplar(&mut self) -> Result<(), ParseError> {
        for byte in *b" # {" {
            if !self.takes(byte) {
                return Err(self.wrong("expected the end of the line or an exemplar, ` # {..} value`"));
            }
        }
        self.labels(false, &mut |_, _, _| Ok(()))?;
        self.number()?;
        self.timestamp().map(drop)
    }

    fn word(&mut self, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> &'a str {
        let bytes = self.line.as_bytes().get(self.at..).unwrap_or_default();
        let length = match bytes.split_first() {
            Some((byte, bytes)) if first(*byte) => {
                1 + bytes.iter().position(|byte| !rest(*byte)).unwrap_or(bytes.len())
            }
            _ => 0,
        };
        let start = self.at;
        self.at += length;
        self.line.get(start..self.at).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        while self.is_text && matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn wrong(&self, what: &'static str) -> ParseError {
        ParseError::new(self.at, what)
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

fn is_label_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests;
