//! Parser of selectors. Errors contain the position of the character.

use std::{iter::Peekable, str::CharIndices};

use regex::{Regex, RegexBuilder};

use super::{Matcher, NAME, Selector, Test};

/// Maximum length of a selector in bytes.
const MAX_SELECTOR_BYTES: usize = 4 << 10;
/// Maximum memory of a compiled regular expression in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

pub(crate) fn selector(text: &str) -> Result<Selector, String> {
    if text.len() > MAX_SELECTOR_BYTES {
        return Err(format!("a selector of {} bytes is longer than the most, {MAX_SELECTOR_BYTES}", text.len()));
    }
    let mut scan = Scan { text, rest: text.char_indices().peekable() };
    let (name, matchers) = scan.selector().map_err(|(at, what)| {
        let at = text.get(..at).unwrap_or(text).chars().count() + 1;
        format!("`{text}` is not a series selector: at character {at}: {what}")
    })?;
    // As in Prometheus, a selector that matches the empty label set is rejected: it would select the whole page.
    if name.is_none() && matchers.iter().all(|matcher| matcher.test.holds("")) {
        return Err(format!("`{text}` would select every series: name a metric, or a label that must not be empty"));
    }
    Ok(Selector { text: text.trim().into(), name, matchers })
}

struct Scan<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
}

/// Position and message of an error.
type SelectorError = (usize, String);

impl Scan<'_> {
    fn selector(&mut self) -> Result<(Option<Box<str>>, Vec<Matcher>), SelectorError> {
        let mut name = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        let mut matchers = Vec::new();
        if self.takes('{') {
            while !self.takes('}') {
                match self.matcher(name.is_none())? {
                    Item::Name(quoted) => name = Some(quoted),
                    Item::Matcher(Matcher { label, test: Test::Is(value) }) if *label == *NAME && name.is_none() => {
                        name = Some(value);
                    }
                    Item::Matcher(matcher) => matchers.push(matcher),
                }
                if !self.takes(',') && self.peek() != Some('}') {
                    return self.wrong("expected `,` or `}`");
                }
            }
        } else if name.is_none() {
            return self.wrong("expected the name of a metric or `{`");
        }
        match self.peek() {
            None => Ok((name, matchers)),
            Some('[') => self.wrong("a range has no place here: the check has a `window` of its own"),
            Some(_) => self.wrong("expected the end; functions and operators have no place here"),
        }
    }

    fn matcher(&mut self, may_be_name: bool) -> Result<Item, SelectorError> {
        let label = match self.peek() {
            Some('"' | '\'' | '`') => {
                let quoted = self.string()?;
                if may_be_name && matches!(self.peek(), Some(',' | '}')) {
                    return Ok(Item::Name(quoted));
                }
                quoted
            }
            _ => match self.word(|c| c.is_ascii_alphanumeric() || c == '_') {
                Some(label) => label,
                None => return self.wrong("expected the name of a label"),
            },
        };
        let negated = self.takes('!');
        if !negated && !self.takes('=') {
            return self.wrong("expected `=`, `!=`, `=~` or `!~`");
        }
        let regex = if self.takes('~') {
            true
        } else if negated && !self.takes('=') {
            return self.wrong("expected `!=` or `!~`");
        } else {
            false
        };
        let at = self.position();
        let value = self.string()?;
        let test = match (regex, negated) {
            (false, false) => Test::Is(value),
            (false, true) => Test::IsNot(value),
            (true, false) => Test::Matches(compile_anchored(&value).map_err(|what| (at, what))?),
            (true, true) => Test::MatchesNot(compile_anchored(&value).map_err(|what| (at, what))?),
        };
        Ok(Item::Matcher(Matcher { label, test }))
    }

    fn string(&mut self) -> Result<Box<str>, SelectorError> {
        let start = self.position();
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return Err((start, "expected a value in quotes".to_owned()));
        };
        self.rest.next();
        let mut value = String::new();
        loop {
            match self.rest.next() {
                None => return Err((start, "this quote is never closed".to_owned())),
                Some((_, c)) if c == quote => return Ok(value.into()),
                Some((at, '\\')) if quote != '`' => match self.rest.next().map(|(_, c)| c) {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    Some(c @ ('\\' | '"' | '\'')) => value.push(c),
                    Some(c) => {
                        let hint = "a backslash for a regular expression is written twice, `\\\\`";
                        return Err((at, format!("`\\{c}` is no escape; {hint}")));
                    }
                    None => return Err((start, "this quote is never closed".to_owned())),
                },
                Some((_, c)) => value.push(c),
            }
        }
    }

    fn word(&mut self, takes: impl Fn(char) -> bool) -> Option<Box<str>> {
        let first = self.peek()?;
        if !takes(first) || first.is_ascii_digit() {
            return None;
        }
        let mut word = String::new();
        while let Some((_, c)) = self.rest.next_if(|(_, c)| takes(*c)) {
            word.push(c);
        }
        Some(word.into())
    }

    fn peek(&mut self) -> Option<char> {
        while self.rest.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
        self.rest.peek().map(|(_, c)| *c)
    }

    fn takes(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    fn position(&mut self) -> usize {
        self.peek();
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn wrong<T>(&mut self, what: &str) -> Result<T, SelectorError> {
        Err((self.position(), what.to_owned()))
    }
}

enum Item {
    Name(Box<str>),
    Matcher(Matcher),
}

/// Compiles a regular expression that must match a whole value.
fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("^(?s:{pattern})$")).size_limit(MAX_REGEX_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", last.trim_start_matches("error: "))
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(text: &str, name: &str, labels: &[(&str, &str)]) -> bool {
        let value = |wanted: &str| labels.iter().find(|(label, _)| *label == wanted).map_or("", |(_, value)| *value);
        selector(text).unwrap().matches(name, value)
    }

    #[test]
    fn selectors_choose_as_in_prometheus() {
        let series = [("code", "500"), ("method", "GET")];
        for (text, expected) in [
            ("up", true),
            (" up { } ", true),
            ("down", false),
            (r#"up{code="500"}"#, true),
            (r#"up{code="50"}"#, false),
            (r#"up{code!="500"}"#, false),
            (r#"up{code=~"5.."}"#, true),
            (r#"up{code=~"5"}"#, false),
            (r#"up{code=~"5|500"}"#, true),
            (r#"up{code!~"4..",method='GET',}"#, true),
            (r#"up{path=""}"#, true),
            (r#"up{path!=""}"#, false),
            (r#"up{path=~".*"}"#, true),
            (r#"up{path!="x"}"#, true),
            (r#"{__name__="up"}"#, true),
            (r#"{__name__=~"u.",code="500"}"#, true),
            (r#"{"up",code="500"}"#, true),
            (r#"{code="500"}"#, true),
            (r#"up{"code"="500"}"#, true),
            (r#"up{code=~"\\d+"}"#, true),
            (r"up{code=~`\d+`}", true),
        ] {
            assert_eq!(chosen(text, "up", &series), expected, "{text}");
        }
        assert!(chosen(r#"{"http.server.duration"}"#, "http.server.duration", &[]));
        assert!(chosen(r#"job:up:sum{a="x\ny\"\\"}"#, "job:up:sum", &[("a", "x\ny\"\\")]));
        assert!(chosen(r#"up{a=~"x.y"}"#, "up", &[("a", "x\ny")]));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, mistake) in [
            ("", "at character 1: expected the name of a metric or `{`"),
            ("5xx", "at character 1: expected the name"),
            ("up{", "at character 4: expected the name of a label"),
            ("up{code}", "at character 8: expected `=`, `!=`, `=~` or `!~`"),
            ("up{code=5}", "at character 9: expected a value in quotes"),
            ("up{code!5}", "at character 9: expected `!=` or `!~`"),
            ("up{code=\"5}", "at character 9: this quote is never closed"),
            ("up{code=\"5\" method=\"x\"}", "at character 13: expected `,` or `}`"),
            ("up{code=~\"(\"}", "at character 10: not a regular expression: unclosed group"),
            ("up{code=~\"\\d\"}", "`\\d` is no escape; a backslash for a regular expression is written twice"),
            ("up{é=\"x\"}", "at character 4: expected the name of a label"),
            ("up{a=\"é\"} x", "at character 11: expected the end"),
            ("up[5m]", "at character 3: a range has no place here: the check has a `window` of its own"),
            ("rate(up[5m])", "at character 5: expected the end; functions"),
            ("up{a=~\"(x{1000}){1000}\"}", "too large"),
            ("{}", "would select every series"),
            ("{a=~\".*\"}", "would select every series"),
            (&"x".repeat(5_000), "longer than the most"),
        ] {
            let error = selector(text).unwrap_err();
            assert!(error.contains(mistake), "{text}: {error}");
        }
    }

    #[test]
    fn a_histogram_is_known_by_its_name_and_by_that_of_its_buckets() {
        for text in ["x_seconds", "x_seconds_bucket"] {
            assert_eq!(selector(text).unwrap().for_buckets().unwrap().name(), Some("x_seconds_bucket"));
        }
        assert!(selector("{a=\"b\"}").unwrap().for_buckets().is_err());
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_parser(text in r#"[a-z{}=~!"'`\\,é0-9 ]{0,40}"#) {
            let _ = selector(&text);
        }
    }
}
