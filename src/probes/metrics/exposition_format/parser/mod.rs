//! Streaming parser of a page. It validates all lines and keeps the requested series, within bounds.
//!
//! Lines without a requested series are validated, too, because a page with an error may be incomplete. Errors never
//! quote the page, because an invalid page may contain anything.

use std::collections::HashSet;

use memchr::memchr;

use super::{
    page::{Format, Page},
    sample_line::{self, ParseError},
    selector::Selector,
    series::Series,
};
use crate::model::{failure::Failure, units::Size, words::Reason};

/// Limits on a page.
#[derive(Debug, Clone, Copy)]
pub struct ParserLimits {
    /// Maximum size in bytes after decompression.
    pub bytes: u64,
    /// Maximum number of samples.
    pub samples: u64,
}

/// Maximum length of a line.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Maximum memory for the series of one page. `body_limit` and `sample_limit` may be raised, and a selector may match
/// all series.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// Selectors of the checks of a probe.
#[derive(Debug, Default)]
pub struct Wanted {
    selectors: Vec<Selector>,
    /// Metric names of the selectors, sorted.
    names: Vec<Box<str>>,
    /// Whether a selector does not fix the name.
    any_name: bool,
}

/// Parser of one page.
#[derive(Debug)]
pub struct Parser<'w> {
    wanted: &'w Wanted,
    limits: ParserLimits,
    page: Page,
    /// Beginning of an incomplete line.
    begun: Vec<u8>,
    seen: HashSet<Box<str>>,
    kept_bytes: usize,
    /// Name of the last wanted metric that the page declares as a gauge. The samples of a metric follow its declaration.
    gauge: Option<Box<str>>,
    ended: bool,
}

impl From<Vec<Selector>> for Wanted {
    fn from(selectors: Vec<Selector>) -> Self {
        let mut names: Vec<Box<str>> = selectors.iter().filter_map(Selector::name).map(Into::into).collect();
        names.sort();
        names.dedup();
        let any_name = selectors.iter().any(|selector| selector.name().is_none());
        Self { selectors, names, any_name }
    }
}

impl Wanted {
    fn may_have(&self, name: &str) -> bool {
        self.any_name || self.names.binary_search_by(|wanted| (**wanted).cmp(name)).is_ok()
    }

    fn has(&self, series: &Series) -> bool {
        self.selectors.iter().any(|selector| selector.matches(&series.name, |label| series.label(label)))
    }
}

impl<'w> Parser<'w> {
    /// Creates a parser for a format.
    #[must_use]
    pub fn new(wanted: &'w Wanted, limits: ParserLimits, format: Format) -> Self {
        let page = Page { format, ..Page::default() };
        Self { wanted, limits, page, begun: Vec::new(), seen: HashSet::new(), kept_bytes: 0, gauge: None, ended: false }
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
            if self.begun.is_empty() {
                self.parse_line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.parse_line(&whole)?;
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() > MAX_LINE_BYTES {
            self.page.lines += 1;
            return Err(self.line_failure(
                &self.begun,
                &ParseError { at: MAX_LINE_BYTES, what: "this line is longer than 64KiB" },
            ));
        }
        Ok(())
    }

    /// Ends the page after its last piece.
    ///
    /// # Errors
    /// As [`Parser::feed`].
    pub fn finish(mut self) -> Result<Page, Failure> {
        if !self.begun.is_empty() {
            let last = std::mem::take(&mut self.begun);
            self.parse_line(&last)?;
        }
        if self.page.format == Format::OpenMetrics && !self.ended {
            let message = "the page breaks off: OpenMetrics ends with a line `# EOF`";
            return Err(Failure::new(Reason::Parse, format!("after line {}: {message}", self.page.lines)));
        }
        Ok(self.page)
    }

    fn parse_line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.page.lines += 1;
        let mistake = match std::str::from_utf8(bytes) {
            Ok(_) if bytes.len() > MAX_LINE_BYTES => {
                ParseError { at: MAX_LINE_BYTES, what: "this line is longer than 64KiB" }
            }
            Ok(_) if self.ended => ParseError { at: 0, what: "nothing may follow the line `# EOF`" },
            Ok(line) => match self.validate_line(line) {
                Ok(None) => return Ok(()),
                Ok(Some(failure)) => return Err(failure),
                Err(mistake) => mistake,
            },
            Err(error) => ParseError { at: error.valid_up_to(), what: "this is not UTF-8" },
        };
        Err(self.line_failure(bytes, &mistake))
    }

    /// Validates a line and keeps its sample if requested. The `Ok` value contains a failure that has no position in
    /// the line.
    fn validate_line(&mut self, line: &str) -> Result<Option<Failure>, ParseError> {
        let text = self.page.format == Format::Text;
        let trimmed = if text { line.trim_start_matches([' ', '\t']) } else { line };
        if trimmed.starts_with('#') {
            self.note_gauge(trimmed);
            return self.comment(trimmed).map(|()| None);
        }
        if text && trimmed.is_empty() {
            return Ok(None);
        }
        let sample = sample_line::parse_sample(line, self.page.format, |_, _| {})?;
        self.page.samples += 1;
        if self.page.samples > self.limits.samples {
            let most = self.limits.samples;
            return Ok(Some(too_large(format!(
                "the page has more than {most} samples; raise `sample_limit` if it should"
            ))));
        }
        if self.wanted.may_have(&sample.name) {
            self.keep_sample(line)?;
        }
        if self.kept_bytes > MAX_KEPT_BYTES {
            let most = Size(MAX_KEPT_BYTES as u64);
            return Ok(Some(too_large(format!(
                "the series that the checks ask for take more than {most} of memory: name fewer of them"
            ))));
        }
        Ok(None)
    }

    /// Remembers the name in a line `# TYPE name gauge`.
    fn note_gauge(&mut self, line: &str) {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        if words.next() != Some("#") || words.next() != Some("TYPE") {
            return;
        }
        if let (Some(name), Some("gauge"), None) = (words.next(), words.next(), words.next()) {
            let name = name.trim_matches('"');
            if self.wanted.may_have(name) {
                self.gauge = Some(name.into());
            }
        }
    }

    fn comment(&mut self, line: &str) -> Result<(), ParseError> {
        if self.page.format == Format::Text {
            return Ok(());
        }
        if line == "# EOF" {
            self.ended = true;
            return Ok(());
        }
        if ["# HELP ", "# TYPE ", "# UNIT "].iter().any(|known| line.starts_with(known)) {
            return Ok(());
        }
        Err(ParseError { at: 0, what: "OpenMetrics knows no comments but HELP, TYPE, UNIT and EOF" })
    }

    fn keep_sample(&mut self, line: &str) -> Result<(), ParseError> {
        let mut labels = Vec::new();
        let sample = sample_line::parse_sample(line, self.page.format, |label, value| {
            labels.push((sample_line::unescape(label).into(), sample_line::unescape(value).into()));
        })?;
        let series = Series::new(&sample.name, labels, sample.value);
        let mut series = series.ok_or(ParseError { at: 0, what: "a label is there twice" })?;
        series.is_gauge = self.gauge.as_ref().is_some_and(|gauge| *gauge == series.name);
        if self.wanted.has(&series) {
            if self.seen.insert(series.id.clone()) {
                self.kept_bytes += series.bytes();
                self.page.series.push(series);
            } else {
                self.page.duplicates += 1;
            }
        }
        Ok(())
    }

    fn line_failure(&self, line: &[u8], mistake: &ParseError) -> Failure {
        let number = self.page.lines;
        // Without a previous sample, this is probably no metrics page at all.
        let hint = match line.trim_ascii_start().first() {
            _ if self.page.samples > 0 => "",
            Some(b'<') => "; this looks like an HTML page: is the path right, or is there a login in front of it?",
            Some(b'{' | b'[') => "; this looks like JSON: is the path right?",
            _ => "",
        };
        let place = format!("line {number}, column {}", mistake.at + 1);
        Failure::new(Reason::Parse, format!("the page can't be read as metrics: {place}: {}{hint}", mistake.what))
    }
}

fn too_large(what: String) -> Failure {
    Failure::new(Reason::TooLarge, what)
}

#[cfg(test)]
mod tests;
