//! Lines with metadata: `# HELP`, `# TYPE`, `# UNIT` and `# EOF`. Prometheus refuses a page with an invalid one.

use super::super::{format::Format, sample_line::ParseError};

/// A line that begins with `#`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Metadata<'a> {
    /// Type of a metric.
    Type {
        /// Metric name, with escapes if it was quoted.
        name: &'a str,
        /// Type in lower case.
        kind: &'a str,
    },
    /// End of a page in OpenMetrics.
    End,
    /// A line without importance for samples.
    Other,
}

const TEXT_TYPES: &[&str] = &["counter", "gauge", "histogram", "summary", "untyped"];
const OPEN_TYPES: &[&str] =
    &["counter", "gauge", "histogram", "summary", "unknown", "info", "stateset", "gaugehistogram"];

/// Parses a line that begins with `#`.
pub(super) fn parse_comment(line: &str, format: Format) -> Result<Metadata<'_>, ParseError> {
    let is_text = format == Format::Text;
    if !is_text && line == "# EOF" {
        return Ok(Metadata::End);
    }
    let other = || match is_text {
        true => Ok(Metadata::Other),
        false => Err(ParseError::new(0, "OpenMetrics knows no comments but HELP, TYPE, UNIT and EOF")),
    };
    let Some((keyword, rest)) = keyword(line, is_text) else { return other() };
    let at = line.len() - rest.len();
    let (name, rest) = metric_name(rest)
        .ok_or_else(|| ParseError::new(at, format!("expected the name of a metric after {keyword}")))?;
    let at = line.len() - rest.len();
    // The text begins after one blank. In the text format it may follow the name directly.
    let text = match rest.strip_prefix(' ') {
        Some(text) => Some(text),
        None if is_text => Some(rest.strip_prefix('\t').unwrap_or(rest)),
        None => None,
    };
    let Some(text) = text else {
        return Err(ParseError::new(at, format!("expected a text after the name in {keyword}")));
    };
    match keyword {
        "TYPE" => {
            let types = if is_text { TEXT_TYPES } else { OPEN_TYPES };
            if types.contains(&text) {
                return Ok(Metadata::Type { name, kind: text });
            }
            let (at, kinds) = (line.len() - text.len(), types.join(", "));
            Err(ParseError::new(
                at,
                format!("this is no type of a metric: it can be {kinds}, without further characters"),
            ))
        }
        "UNIT" if !is_unit_of(name, text) => {
            Err(ParseError::new(at, "the name of the metric does not end with `_` and this unit"))
        }
        _ => Ok(Metadata::Other),
    }
}

/// Splits a line into its keyword and the text after it.
fn keyword(line: &str, is_text: bool) -> Option<(&'static str, &str)> {
    let rest = line.strip_prefix('#')?;
    let blanks: &[char] = if is_text { &[' ', '\t'] } else { &[' '] };
    let after_blanks = |text: &'_ str| -> Option<usize> {
        let trimmed = if is_text { text.trim_start_matches(blanks) } else { text.strip_prefix(' ').unwrap_or(text) };
        let count = text.len() - trimmed.len();
        (count > 0).then_some(count)
    };
    let rest = rest.get(after_blanks(rest)?..)?;
    let known: &[&str] = if is_text { &["HELP", "TYPE"] } else { &["HELP", "TYPE", "UNIT"] };
    let word = known.iter().find(|word| rest.starts_with(**word))?;
    let rest = rest.get(word.len()..)?;
    Some((word, rest.get(after_blanks(rest)?..)?))
}

/// Splits a text into the metric name at its beginning, which may be quoted, and the text after it.
fn metric_name(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let end = quoted.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        })?;
        return Some((quoted.get(..end)?, quoted.get(end + 1..)?));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let length = text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(length)?;
    name.starts_with(|first: char| !first.is_ascii_digit()).then_some((name, rest))
}

fn is_unit_of(name: &str, unit: &str) -> bool {
    unit.is_empty() || name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}
