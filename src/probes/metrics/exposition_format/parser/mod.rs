//! Streaming parser of a page. It validates all lines and keeps the requested series, within bounds.
//!
//! Lines without a requested series are validated, too, because a page with an error may be incomplete, and because
//! Prometheus refuses the whole page. Errors never quote the page, because an invalid page may contain anything.

mod kept;
mod limits;
mod metadata;

use jiff::Timestamp;
use memchr::{memchr, memchr2};

use self::{kept::KeptParts, limits::LabelRules, metadata::Metadata};
pub use self::{
    kept::Wanted,
    limits::{DEFAULT_BODY_LIMIT, DEFAULT_LABEL_LIMIT, DEFAULT_LINE_LIMIT, DEFAULT_SAMPLE_LIMIT, ParserLimits},
};
use super::{
    page::{Format, Page},
    sample_line::{self, ErrorKind, ParseError},
    series::Series,
};
use crate::model::{failure::Failure, units::Size, words::Reason};

/// Maximum memory for the series of one page. `body_limit` and `sample_limit` may be raised, and a selector may match
/// all series.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Parser of one page.
#[derive(Debug)]
pub struct Parser<'w> {
    limits: ParserLimits,
    page: Page,
    kept: KeptParts<'w>,
    /// Beginning of an incomplete line. In the text format, the value of a label may contain line feeds, so that a line
    /// of samples has several lines of text.
    begun: Vec<u8>,
    /// Length of the complete lines of text in `begun`. They end within quotes.
    continued: usize,
    /// Name of the last wanted metric that the page declares as a gauge. The samples of a metric follow its declaration.
    gauge: Option<Box<str>>,
    ended: bool,
}

impl<'w> Parser<'w> {
    /// Creates a parser for a format. The timestamps of samples are compared with the time of the scrape, and ignored
    /// without it.
    #[must_use]
    pub fn new(wanted: &'w Wanted, limits: ParserLimits, format: Format, scraped_at: Option<Timestamp>) -> Self {
        Self {
            limits,
            page: Page { format, ..Page::default() },
            kept: KeptParts::new(wanted, format, scraped_at.map(Timestamp::as_millisecond)),
            begun: Vec::new(),
            continued: 0,
            gauge: None,
            ended: false,
        }
    }

    /// Parses the next piece. Pieces may end anywhere in a line.
    ///
    /// # Errors
    /// `parse` with line and column, or `too_large`.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.page.bytes += piece.len() as u64;
        if self.page.bytes > self.limits.bytes {
            let most = Size(self.limits.bytes);
            return Err(too_large(format!(
                "the page is larger than {most} decompressed; raise `body_limit` if it should be"
            )));
        }
        let mut rest = piece;
        while let Some((line, after)) = memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end)) {
            self.page.lines += 1;
            if self.begun.is_empty() {
                if self.parse_line(line, false)?.is_none() {
                    self.begun.extend_from_slice(line);
                    self.continue_line();
                }
            } else {
                self.begun.extend_from_slice(line);
                self.end_begun_line(false)?;
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() as u64 > self.limits.line_bytes {
            self.page.lines += 1;
            return Err(self.line_failure(&self.begun, &self.long_line()));
        }
        Ok(())
    }

    /// Ends the page after its last piece.
    ///
    /// # Errors
    /// As [`Parser::feed`].
    pub fn finish(mut self) -> Result<Page, Failure> {
        if !self.begun.is_empty() {
            self.page.lines += 1;
            self.end_begun_line(true)?;
        }
        if self.page.format == Format::OpenMetrics && !self.ended {
            let message = "the page breaks off: OpenMetrics ends with a line `# EOF`";
            return Err(Failure::new(Reason::Parse, format!("after line {}: {message}", self.page.lines)));
        }
        Ok(self.kept.finish(self.page))
    }

    /// Parses the line in `begun`, unless the text that was added to it last ends within quotes.
    fn end_begun_line(&mut self, is_last: bool) -> Result<(), Failure> {
        let added = self.begun.get(self.continued..).unwrap_or_default();
        if self.continued > 0 && !is_last && ends_in_quotes(added) {
            self.continue_line();
            return Ok(());
        }
        let line = std::mem::take(&mut self.begun);
        let may_continue = self.continued == 0 && !is_last;
        if self.parse_line(&line, !may_continue)?.is_none() {
            self.begun = line;
            self.continue_line();
        } else {
            self.continued = 0;
        }
        Ok(())
    }

    fn continue_line(&mut self) {
        self.begun.push(b'\n');
        self.continued = self.begun.len();
    }

    /// Parses a line. Returns `None` if its continuation is in the next line, which is not possible for a final line.
    fn parse_line(&mut self, bytes: &[u8], is_final: bool) -> Result<Option<()>, Failure> {
        let mistake = match std::str::from_utf8(bytes) {
            Ok(_) if bytes.len() as u64 > self.limits.line_bytes => self.long_line(),
            Ok(_) if self.ended => ParseError::new(0, "nothing may follow the line `# EOF`"),
            Ok(line) => match self.validate_line(line) {
                Ok(None) => return Ok(Some(())),
                Ok(Some(failure)) => return Err(failure),
                Err(mistake) => mistake,
            },
            Err(error) => ParseError::new(error.valid_up_to(), "this is not UTF-8"),
        };
        if mistake.kind == ErrorKind::OpenQuote && self.page.format == Format::Text && !is_final {
            return Ok(None);
        }
        Err(self.line_failure(bytes, &mistake))
    }

    fn long_line(&self) -> ParseError {
        let most = self.limits.line_bytes;
        let what = format!("this line is longer than {}; raise `line_limit` if it should be", Size(most));
        ParseError { kind: ErrorKind::Limit, ..ParseError::new(usize::try_from(most).unwrap_or(usize::MAX), what) }
    }

    /// Validates a line and keeps its sample if requested. The `Ok` value contains a failure that has no position in
    /// the line.
    fn validate_line(&mut self, line: &str) -> Result<Option<Failure>, ParseError> {
        let text = self.page.format == Format::Text;
        let trimmed = if text { line.trim_start_matches([' ', '\t']) } else { line };
        if trimmed.starts_with('#') {
            match metadata::parse_comment(trimmed, self.page.format)? {
                Metadata::Type { name, kind: "gauge" } => self.gauge = Some(name.into()),
                Metadata::End => self.ended = true,
                Metadata::Type { .. } | Metadata::Other => {}
            }
            return Ok(None);
        }
        if text && trimmed.is_empty() {
            return Ok(None);
        }
        let mut rules = LabelRules::new(self.limits);
        let sample = sample_line::parse_sample(line, self.page.format, |at, name, value| rules.add(at, name, value))?;
        self.page.samples += 1;
        if self.page.samples > self.limits.samples {
            let most = self.limits.samples;
            return Ok(Some(too_large(format!(
                "the page has more than {most} samples; raise `sample_limit` if it should"
            ))));
        }
        if self.kept.note(&sample.name, sample.at) {
            self.keep_sample(line)?;
        }
        if self.kept.bytes() > MAX_KEPT_BYTES {
            let most = Size(MAX_KEPT_BYTES as u64);
            return Ok(Some(too_large(format!(
                "the series that the checks ask for take more than {most} of memory: name fewer of them"
            ))));
        }
        Ok(None)
    }

    fn keep_sample(&mut self, line: &str) -> Result<(), ParseError> {
        let mut labels = Vec::new();
        let sample = sample_line::parse_sample(line, self.page.format, |_, label, value| {
            labels.push((sample_line::unescape(label).into(), sample_line::unescape(value).into()));
            Ok(())
        })?;
        let series = Series::new(&sample.name, labels, sample.value);
        let mut series = series.ok_or_else(|| ParseError::new(0, "a label is there twice"))?;
        series.at = sample.at;
        series.is_gauge = self.gauge.as_ref().is_some_and(|gauge| *gauge == series.name);
        self.kept.add(series);
        Ok(())
    }

    fn line_failure(&self, line: &[u8], mistake: &ParseError) -> Failure {
        // The position may be in an earlier line of text than the last one.
        let before = line.get(..mistake.at).unwrap_or(line);
        let feeds = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count();
        let number = self.page.lines.saturating_sub((feeds(line) - feeds(before)) as u64);
        let column = mistake.at - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
        // Without a previous sample, this is probably no metrics page at all.
        let hint = if self.page.samples == 0 { foreign_format(line) } else { "" };
        let reason = if mistake.kind == ErrorKind::Limit { Reason::TooLarge } else { Reason::Parse };
        let place = format!("line {number}, column {column}");
        Failure::new(reason, format!("the page can't be read as metrics: {place}: {}{hint}", mistake.what))
    }
}

/// Names the format of a text that is no metrics page, by its beginning.
fn foreign_format(line: &[u8]) -> &'static str {
    match line {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            "; this looks like UTF-16, and a metrics page is UTF-8 without a byte order mark"
        }
        [0xef, 0xbb, 0xbf, ..] => "; the page begins with a byte order mark, which Prometheus refuses, too: remove it",
        [0x1f, 0x8b, ..] => "; this looks like gzip without the header `Content-Encoding: gzip`",
        _ => match line.trim_ascii_start().first() {
            Some(b'<') => "; this looks like an HTML page: is the path right, or is there a login in front of it?",
            // A quoted name of a metric follows `{`, too.
            Some(b'{') if line.trim_ascii() != b"{" && memchr::memmem::find(line, b"\":").is_none() => "",
            Some(b'{' | b'[') => "; this looks like JSON: is the path right?",
            _ => "",
        },
    }
}

/// Whether a text that begins within quotes ends within quotes.
fn ends_in_quotes(text: &[u8]) -> bool {
    let (mut in_quotes, mut rest) = (true, text);
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let is_quote = rest.get(at) == Some(&b'"');
        // Outside of quotes, a backslash is an error, which the parser of the line reports.
        in_quotes ^= is_quote;
        rest = rest.get(at + if is_quote { 1 } else { 2 }..).unwrap_or_default();
    }
    in_quotes
}

fn too_large(what: String) -> Failure {
    Failure::new(Reason::TooLarge, what)
}

#[cfg(test)]
mod tests;
