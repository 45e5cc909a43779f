//! From the bytes of a page to the series that were asked for: streaming, bounded, and strict about the whole page.
//!
//! A line that nobody asked for is still checked, for half a page is no page; but only what is asked for is copied.
//! Nothing of a page is repeated in an error: a wrong page may hold anything.

use std::collections::HashSet;

use memchr::memchr;

use super::{
    page::{Format, Page},
    sample_line::{self, ParseError},
    selector::Selector,
    series::Series,
};
use crate::model::{failure::Failure, units::Size, words::Reason};

/// How much of a page is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a page, decompressed.
    pub bytes: u64,
    /// Samples on a page.
    pub samples: u64,
}

/// Longer than any line of a page that is one.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Memory for the series of one page: `body_limit` and `sample_limit` may be raised, and a selector may take all of them.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// The series that the checks of a probe ask for.
#[derive(Debug, Default)]
pub struct Wanted {
    selectors: Vec<Selector>,
    /// Sorted.
    names: Vec<Box<str>>,
    /// Some selector fixes no name.
    any_name: bool,
}

/// Reads one page, piece by piece.
#[derive(Debug)]
pub struct Parser<'w> {
    wanted: &'w Wanted,
    limits: Limits,
    page: Page,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    seen: HashSet<Box<str>>,
    kept_bytes: usize,
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
    /// For a page of a format.
    #[must_use]
    pub fn new(wanted: &'w Wanted, limits: Limits, format: Format) -> Self {
        let page = Page { format, ..Page::default() };
        Self { wanted, limits, page, begun: Vec::new(), seen: HashSet::new(), kept_bytes: 0, ended: false }
    }

    /// Takes the next piece, however it is cut.
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
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.line(&whole)?;
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() > MAX_LINE_BYTES {
            self.page.lines += 1;
            return Err(
                self.wrong(&self.begun, &ParseError { at: MAX_LINE_BYTES, what: "this line is longer than 64KiB" })
            );
        }
        Ok(())
    }

    /// The page, after its last piece.
    ///
    /// # Errors
    /// As [`Parser::feed`].
    pub fn finish(mut self) -> Result<Page, Failure> {
        if !self.begun.is_empty() {
            let last = std::mem::take(&mut self.begun);
            self.line(&last)?;
        }
        if self.page.format == Format::OpenMetrics && !self.ended {
            let message = "the page breaks off: OpenMetrics ends with a line `# EOF`";
            return Err(Failure::new(Reason::Parse, format!("after line {}: {message}", self.page.lines)));
        }
        Ok(self.page)
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.page.lines += 1;
        let mistake = match std::str::from_utf8(bytes) {
            Ok(_) if bytes.len() > MAX_LINE_BYTES => {
                ParseError { at: MAX_LINE_BYTES, what: "this line is longer than 64KiB" }
            }
            Ok(_) if self.ended => ParseError { at: 0, what: "nothing may follow the line `# EOF`" },
            Ok(line) => match self.checked(line) {
                Ok(None) => return Ok(()),
                Ok(Some(failure)) => return Err(failure),
                Err(mistake) => mistake,
            },
            Err(error) => ParseError { at: error.valid_up_to(), what: "this is not UTF-8" },
        };
        Err(self.wrong(bytes, &mistake))
    }

    /// A failure that is not the line's goes into the `Ok`.
    fn checked(&mut self, line: &str) -> Result<Option<Failure>, ParseError> {
        let text = self.page.format == Format::Text;
        let trimmed = if text { line.trim_start_matches([' ', '\t']) } else { line };
        if trimmed.starts_with('#') {
            return self.comment(trimmed).map(|()| None);
        }
        if text && trimmed.is_empty() {
            return Ok(None);
        }
        let sample = sample_line::sample(line, self.page.format, |_, _| {})?;
        self.page.samples += 1;
        if self.page.samples > self.limits.samples {
            let most = self.limits.samples;
            return Ok(Some(too_large(format!(
                "the page has more than {most} samples; raise `sample_limit` if it should"
            ))));
        }
        if self.wanted.may_have(&sample.name) {
            self.keep(line)?;
        }
        if self.kept_bytes > MAX_KEPT_BYTES {
            let most = Size(MAX_KEPT_BYTES as u64);
            return Ok(Some(too_large(format!(
                "the series that the checks ask for take more than {most} of memory: name fewer of them"
            ))));
        }
        Ok(None)
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

    fn keep(&mut self, line: &str) -> Result<(), ParseError> {
        let mut labels = Vec::new();
        let sample = sample_line::sample(line, self.page.format, |label, value| {
            labels.push((sample_line::unescape(label).into(), sample_line::unescape(value).into()));
        })?;
        let series = Series::new(&sample.name, labels, sample.value);
        let series = series.ok_or(ParseError { at: 0, what: "a label is there twice" })?;
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

    fn wrong(&self, line: &[u8], mistake: &ParseError) -> Failure {
        let number = self.page.lines;
        // No sample yet: so this is hardly a page with one mistake.
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
