//! The list of configuration errors as users see it: location, source line, caret and the nearest valid word.

use std::{fmt, sync::Arc};

use super::{Location, Node, NodeValue};
use crate::model::{failure::Invalid, text};

/// Number of errors that are listed; further errors are only counted.
const MAX_DIAGNOSTICS: usize = 100;
/// Longest list of valid words in a message.
const MAX_LISTED_WORDS: usize = 40;
/// Longest excerpt of a source line, around the caret.
const MAX_EXCERPT_CHARS: usize = 120;

/// All errors of a configuration.
#[derive(Debug, Default)]
pub struct Diagnostics {
    sources: Vec<SourceText>,
    list: Vec<(Location, Diagnostic)>,
    more: usize,
}

/// One configuration error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file or other source (`environment variable NAME`); empty if the error has no single source.
    pub file: String,
    /// Line number, from 1; 0 if unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 if unknown.
    pub column: u32,
    /// Description of the error and of the correction.
    pub message: String,
    /// The valid word nearest to the configured word.
    pub suggestion: Option<String>,
    /// Excerpt of the source line and the offset of the caret in it.
    shown: Option<(String, usize)>,
}

#[derive(Debug, Clone)]
struct SourceText {
    name: String,
    text: Arc<str>,
}

impl Diagnostics {
    /// Whether the configuration has no error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of errors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// Iterates over the errors in the order of the files, at most 100.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().map(|(_, problem)| problem)
    }

    /// Adds a failed validation at the location of its key below a node.
    pub fn push_invalid(&mut self, at: &Node, invalid: Invalid) {
        let location = invalid.key.and_then(|key| at.find_key(key)).map_or(at.key_location(), |node| node.location);
        self.push(location, at.mask_interpolated(invalid.message), None);
    }

    /// Registers a source, so that its locations can be displayed.
    pub(crate) fn add_source(&mut self, name: impl Into<String>, text: Arc<str>) -> u16 {
        self.sources.push(SourceText { name: name.into(), text });
        u16::try_from(self.sources.len()).unwrap_or(u16::MAX)
    }

    /// Formats a location as `file:line`, for references between messages.
    pub(crate) fn describe_location(&self, location: Location) -> String {
        let name = self.find_source(location).map_or("", |source| source.name.as_str());
        if location.line == 0 { name.to_owned() } else { format!("{name}:{}", location.line) }
    }

    /// Adds an error.
    pub(crate) fn push(&mut self, location: Location, message: impl Into<String>, suggestion: Option<String>) {
        if self.list.len() == MAX_DIAGNOSTICS {
            self.more += 1;
            return;
        }
        let source = self.find_source(location);
        let shown = source.and_then(|source| {
            let line = source.text.lines().nth((location.line as usize).checked_sub(1)?)?;
            Some(excerpt(line, usize::from(location.column).saturating_sub(1)))
        });
        let problem = Diagnostic {
            file: source.map(|source| source.name.clone()).unwrap_or_default(),
            line: location.line,
            column: location.column.into(),
            message: text::without_middle(message),
            suggestion,
            shown,
        };
        // The list is sorted by location; an error found twice (through an alias) is listed once.
        let at = self.list.partition_point(|(other, _)| *other <= location);
        if !self.list.iter().any(|(_, other)| *other == problem) {
            self.list.insert(at, (location, problem));
        }
    }

    /// Returns an empty list with the same sources.
    pub(crate) fn without_list(&self) -> Self {
        Self { sources: self.sources.clone(), ..Self::default() }
    }

    /// Adds the errors that two lists with the same sources have in common.
    pub(crate) fn push_common(&mut self, one: &Self, other: &Self) {
        for (location, problem) in one.list.iter().filter(|error| other.list.contains(error)) {
            self.push(*location, problem.message.clone(), problem.suggestion.clone());
        }
    }

    /// Adds an "expected ..." error for a node.
    pub(crate) fn push_expected(&mut self, node: &Node, what: &str) {
        if !matches!(node.value, NodeValue::Incomplete) {
            self.push(node.location, format!("expected {what}"), None);
        }
    }

    /// Adds an error for an unknown word, with the nearest valid word.
    pub(crate) fn push_unknown<'a>(
        &mut self,
        location: Location,
        what: &str,
        word: &str,
        valid: impl IntoIterator<Item = &'a str>,
    ) {
        let valid: Vec<&str> = valid.into_iter().collect();
        let suggestion = nearest_word(word, valid.iter().copied()).map(str::to_owned);
        self.push(location, unknown_message(what, word, &valid, suggestion.is_some()), suggestion);
    }

    /// The list without the lines themselves, for the log and for answers over HTTP: a line with a mistake may hold a
    /// secret beside it, and more people read the log than the file.
    pub fn without_excerpts(&self) -> impl fmt::Display {
        Self {
            sources: Vec::new(),
            list: self.list.iter().map(|(at, one)| (*at, Diagnostic { shown: None, ..one.clone() })).collect(),
            more: self.more,
        }
    }

    /// Drops the source texts, because every error already contains its excerpt.
    pub(crate) fn without_sources(mut self) -> Self {
        self.sources = Vec::new();
        self
    }

    fn find_source(&self, location: Location) -> Option<&SourceText> {
        self.sources.get(usize::from(location.source).checked_sub(1)?)
    }
}

/// Formats the message about an unknown word. It lists the valid words if none is near.
pub(super) fn unknown_message(what: &str, word: &str, valid: &[&str], has_suggestion: bool) -> String {
    let word = excerpt(word, 0).0;
    if has_suggestion || valid.is_empty() || valid.len() > MAX_LISTED_WORDS {
        return format!("unknown {what} `{word}`");
    }
    format!("unknown {what} `{word}`: it can be {}", list_words(valid))
}

/// Formats words for a sentence: "`a`, `b` or `c`".
pub(crate) fn list_words(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<_> = most.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
    }
}

/// Returns the valid word with the smallest edit distance; `None` if no word is near.
#[must_use]
pub fn nearest_word<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes quadratic time, and long words are no misspellings.
    if word.len() > 100 {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let meant = plain(word);
    let near = 1 + meant.chars().count() / 4;
    valid
        .into_iter()
        .map(|valid| (strsim::damerau_levenshtein(&meant, &plain(valid)), valid))
        .filter(|(distance, valid)| *distance <= near && *distance * 2 <= valid.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, valid)| valid)
}

/// Returns the part of a line that fits on a screen, and the offset of a column in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let length = line.chars().count();
    let start = if length <= MAX_EXCERPT_CHARS { 0 } else { column.saturating_sub(MAX_EXCERPT_CHARS / 2).min(length) };
    // A tab counts as one column. Control characters are replaced, because a terminal could interpret them.
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = line.chars().skip(start).take(MAX_EXCERPT_CHARS).map(clean).collect();
    let mut caret = column.min(length).saturating_sub(start);
    if start > 0 {
        text.insert_str(0, "...");
        caret += 3;
    }
    if start + MAX_EXCERPT_CHARS < length {
        text.push_str("...");
    }
    (text, caret)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if self.line > 0 {
                write!(f, "{}:{}:", self.line, self.column)?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)?;
        let did_you_mean = self.suggestion.as_ref().map(|word| format!("did you mean `{word}`?"));
        match (&self.shown, did_you_mean) {
            (Some((line, caret)), meant) => {
                let number = self.line.to_string();
                let margin = " ".repeat(number.len());
                write!(f, "\n{number} | {}\n{margin} | {}^", line.trim_end(), " ".repeat(*caret))?;
                meant.map_or(Ok(()), |meant| write!(f, " {meant}"))
            }
            (None, Some(meant)) => write!(f, "; {meant}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n\n" };
            write!(f, "{separator}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(source: u16, line: u32, column: u16) -> Location {
        Location { source, column, line }
    }

    #[test]
    fn a_problem_shows_its_line_a_caret_and_the_nearest_word() {
        let mut problems = Diagnostics::default();
        let source = problems.add_source("a.yaml", "probes:\n\t- nmae: x\r\n".into());
        problems.push_unknown(location(source, 2, 4), "key", "nmae", ["name", "interval"]);
        assert_eq!(
            problems.to_string(),
            "a.yaml:2:4: unknown key `nmae`\n2 |  - nmae: x\n  |    ^ did you mean `name`?"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_caret() {
        let mut problems = Diagnostics::default();
        let source = problems.add_source("a.yaml", format!("{}X{}", "a".repeat(500), "b".repeat(500)).into());
        problems.push(location(source, 1, 501), "bad", None);
        let text = problems.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
        assert!(lines[1].len() < 140, "{}", lines[1]);
    }

    #[test]
    fn problems_come_in_the_order_of_the_files_once_each_and_are_bounded() {
        let mut problems = Diagnostics::default();
        let source = problems.add_source("a.yaml", "x\n".repeat(500).into());
        for line in (1..=150).rev() {
            problems.push(location(source, line, 1), "bad", None);
        }
        assert_eq!(problems.len(), 150);
        assert!(problems.iter().is_sorted_by_key(|problem| problem.line));
        assert!(problems.to_string().ends_with("and 50 more"));
        let mut twice = Diagnostics::default();
        twice.push(Location::default(), "bad", None);
        twice.push(Location::default(), "bad", None);
        assert_eq!(twice.to_string(), "bad");
    }

    #[test]
    fn the_nearest_word_is_near() {
        let words = ["url", "interval", "depends_on", "http", "tcp"];
        for (word, meant) in [
            ("intervall", Some("interval")),
            ("depends-on", Some("depends_on")),
            ("URL", Some("url")),
            ("htpt", Some("http")),
            ("x", None),
            ("tc", Some("tcp")),
            ("banana", None),
        ] {
            assert_eq!(nearest_word(word, words), meant, "{word}");
        }
    }
}
