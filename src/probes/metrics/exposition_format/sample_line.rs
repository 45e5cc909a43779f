//! Parses one line of a page, a sample in the text format or in OpenMetrics, without copying it.
//!
//! The parser is lenient where Prometheus is: spaces in the text format, a comma before `}`, unknown escapes. It
//! follows the specification where Prometheus 2.42 does not: spaces before a name are ignored (Prometheus rejects the
//! page), and a comma must separate labels (Prometheus does not require it).

use std::borrow::Cow;

use memchr::memchr2;

use super::page::Format;

/// A parsed sample without its labels.
#[derive(Debug, PartialEq)]
pub(crate) struct ScrapedSample<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) value: f64,
}

/// A syntax error with its position in the line in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// Maximum number of labels of a sample.
const MAX_LABELS: usize = 128;

/// Parses a sample. `label` receives each label and its value, both with escapes.
pub(crate) fn parse_sample<'a>(
    line: &'a str,
    format: Format,
    label: impl FnMut(&'a str, &'a str),
) -> Result<ScrapedSample<'a>, ParseError> {
    let mut cursor = Cursor { line, at: 0, blanks: format == Format::Text };
    cursor.sample(label)
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

struct Cursor<'a> {
    line: &'a str,
    at: usize,
    /// Whether spaces may separate tokens.
    blanks: bool,
}

impl<'a> Cursor<'a> {
    fn sample(&mut self, mut label: impl FnMut(&'a str, &'a str)) -> Result<ScrapedSample<'a>, ParseError> {
        self.skip_blanks();
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
        self.timestamp()?;
        if !self.blanks && self.peek() == Some(b' ') {
            self.exemplar()?;
        }
        self.skip_blanks();
        match self.peek() {
            None => Ok(ScrapedSample { name, value }),
            Some(b'\r') => Err(self.wrong("lines end with LF alone here, not with CR LF")),
            Some(_) => Err(self.wrong("expected the end of the line after value and timestamp")),
        }
    }

    /// Parses the labels and the closing brace. Returns the quoted name if the braces contain one.
    fn labels(
        &mut self,
        may_be_name: bool,
        label: &mut impl FnMut(&'a str, &'a str),
    ) -> Result<Option<&'a str>, ParseError> {
        let (mut quoted_name, mut count) = (None, 0);
        self.skip_blanks();
        while !self.takes(b'}') {
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
                label(name, self.quoted()?);
            }
            self.skip_blanks();
            if !self.takes(b',') && self.peek() != Some(b'}') {
                return Err(self.wrong("expected `,` or `}` after a label"));
            }
            self.skip_blanks();
            count += 1;
            if count > MAX_LABELS {
                return Err(self.wrong("more than 128 labels"));
            }
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
            match memchr2(b'"', b'\\', rest) {
                Some(end) if rest.get(end) == Some(&b'"') => {
                    let text = self.line.get(start..self.at + end).unwrap_or_default();
                    self.at += end + 1;
                    return Ok(text);
                }
                Some(end) => self.at += end + 2,
                None => return Err(ParseError { at: start, what: "this quote is not closed in its line" }),
            }
        }
    }

    fn number(&mut self) -> Result<f64, ParseError> {
        if self.blanks {
            self.skip_blanks();
        } else if !self.takes(b' ') {
            return Err(self.wrong("expected one space before the value"));
        }
        let start = self.at;
        let text = self.word(|_| true, |byte| !matches!(byte, b' ' | b'\t' | b'{'));
        let what = if text.ends_with('\r') {
            "lines end with LF alone here, not with CR LF"
        } else {
            "expected a number as value"
        };
        let mistake = ParseError { at: start, what };
        match text.parse::<f64>() {
            // A number that is too large for its type is an error, as in Prometheus. Only a word denotes infinity.
            Ok(value) if value.is_infinite() && !text.contains(['n', 'N']) => Err(mistake),
            Ok(value) => Ok(value),
            Err(_) => Err(mistake),
        }
    }

    fn timestamp(&mut self) -> Result<(), ParseError> {
        let before = self.at;
        self.skip_blanks();
        if !self.blanks && !self.takes(b' ') {
            return Ok(());
        }
        let start = self.at;
        let text = self.word(|byte| byte == b'-' || byte.is_ascii_digit(), |byte| !matches!(byte, b' ' | b'\t'));
        let fits = match (text, self.blanks) {
            ("", _) => {
                self.at = before;
                return Ok(());
            }
            // Timestamps are in milliseconds in the text format and in seconds in OpenMetrics.
            (text, true) => text.parse::<i64>().is_ok(),
            (text, false) => text.parse::<f64>().is_ok_and(f64::is_finite),
        };
        if fits { Ok(()) } else { Err(ParseError { at: start, what: "expected a timestamp" }) }
    }

    fn exemplar(&mut self) -> Result<(), ParseError> {
        for byte in *b" # {" {
            if !self.takes(byte) {
                return Err(self.wrong("expected the end of the line or an exemplar, ` # {..} value`"));
            }
        }
        self.labels(false, &mut |_, _| {})?;
        self.number()?;
        self.timestamp()
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
        while self.blanks && matches!(self.peek(), Some(b' ' | b'\t')) {
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
        ParseError { at: self.at, what }
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
mod tests {
    use super::*;

    /// The sample in one line, or the mistake.
    fn read(line: &str, format: Format) -> String {
        let mut labels = String::new();
        match parse_sample(line, format, |name, value| labels += &format!("{name}={}|", unescape(value))) {
            Ok(sample) => format!("{} {labels} {}", sample.name, sample.value),
            Err(ParseError { at, what }) => format!("{at}: {what}"),
        }
    }

    #[test]
    fn the_text_format_is_read_as_prometheus_reads_it() {
        for (line, expected) in [
            ("up 1", "up  1"),
            ("up{} 1", "up  1"),
            ("up{a=\"b\"} 1.5e3", "up a=b| 1500"),
            ("up{a=\"b\",c=\"d\",} -1", "up a=b|c=d| -1"),
            (" \tup { a = \"b\" , c=\"d\" } \t 1 \t 1395066363000 ", "up a=b|c=d| 1"),
            ("up{a=\"b\"}1", "up a=b| 1"),
            ("up{a=\"\\\\ \\\" \\n \\x\"} 1", "up a=\\ \" \n \\x| 1"),
            ("up{a=\"{}, =\"} 1", "up a={}, =| 1"),
            ("up{a=\"é\"} NaN", "up a=é| NaN"),
            ("a:b +Inf", "a:b  inf"),
            ("up -inf -5", "up  -inf"),
            ("up nan", "up  NaN"),
            ("{\"http.ms\",a=\"b\"} 1", "http.ms a=b| 1"),
            ("{a=\"b\",\"http.ms\"} 1", "http.ms a=b| 1"),
            ("up{\"a.b\"=\"c\"} 1", "up a.b=c| 1"),
            ("up", "2: expected a number as value"),
            ("up{a=\"b\"}", "9: expected a number as value"),
            ("up x", "3: expected a number as value"),
            ("up 1_000", "3: expected a number as value"),
            ("up 1e999", "3: expected a number as value"),
            ("up 0x10", "3: expected a number as value"),
            ("up 1\r", "3: lines end with LF alone here, not with CR LF"),
            ("up 1 5.5", "5: expected a timestamp"),
            ("up 1 5x", "5: expected a timestamp"),
            ("up 1 5 6", "7: expected the end of the line after value and timestamp"),
            ("up 1 # {a=\"b\"} 1", "5: expected the end of the line after value and timestamp"),
            ("5xx 1", "0: expected the name of a metric"),
            ("up-time 1", "2: expected a number as value"),
            ("up{a=\"b} 1", "6: this quote is not closed in its line"),
            ("up{a=\"b\\\"} 1", "6: this quote is not closed in its line"),
            ("up{a=\"b\\", "6: this quote is not closed in its line"),
            ("up{a=b} 1", "5: expected a value in double quotes"),
            ("up{a} 1", "4: expected `=` after the name of a label"),
            ("up{a:b=\"c\"} 1", "4: expected `=` after the name of a label"),
            ("up{=\"b\"} 1", "3: expected the name of a label"),
            ("up{,} 1", "3: expected the name of a label"),
            ("up{a=\"b\"c=\"d\"} 1", "8: expected `,` or `}` after a label"),
            ("up{a=\"b\"", "8: expected `,` or `}` after a label"),
            ("up{\"x\"} 1", "6: expected `=` after the name of a label"),
            ("{\"x\",\"y\"} 1", "8: expected `=` after the name of a label"),
            ("{a=\"b\"} 1", "7: expected the name of a metric"),
        ] {
            assert_eq!(read(line, Format::Text), expected, "{line:?}");
        }
        let many = format!("up{{{}}} 1", "a=\"\",".repeat(129));
        assert!(read(&many, Format::Text).contains("more than 128 labels"));
    }

    #[test]
    fn openmetrics_is_read_strictly_and_with_exemplars() {
        for (line, expected) in [
            ("up 1", "up  1"),
            ("up{a=\"b\"} 1 1395066363.5", "up a=b| 1"),
            ("x_bucket{le=\"1\"} 8 # {trace_id=\"k\"} 0.67", "x_bucket le=1| 8"),
            ("x_bucket{le=\"1\"} 8 5.1 # {} 0.67 152.3", "x_bucket le=1| 8"),
            ("{\"http.ms\",\"a.b\"=\"c\"} 1", "http.ms a.b=c| 1"),
            ("up  1", "3: expected a number as value"),
            (" up 1", "0: expected the name of a metric"),
            ("up\t1", "2: expected one space before the value"),
            ("up 1 ", "5: expected the end of the line or an exemplar, ` # {..} value`"),
            ("up 1 # x", "7: expected the end of the line or an exemplar, ` # {..} value`"),
            ("up 1 # {a=\"b\"}", "14: expected one space before the value"),
            ("up 1 # {a=\"b\"} x", "15: expected a number as value"),
            ("up{a = \"b\"} 1", "4: expected `=` after the name of a label"),
        ] {
            assert_eq!(read(line, Format::OpenMetrics), expected, "{line:?}");
        }
    }
}
