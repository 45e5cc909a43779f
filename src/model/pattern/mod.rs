//! Regular expressions of the configuration, with bounds on memory and on the time of a search.
//!
//! A search runs on the thread of all probes, so no pair of expression and text may take long. If the text is short in
//! proportion to the expression, the crate `regex` searches it. A longer text is searched by a lazy DFA with a small
//! cache, which takes nanoseconds for each byte. The DFA gives up early on the few expressions that exceed its cache,
//! such as `a[ab]{3000}c`, which would take minutes for 1 MiB.

mod lines;

use std::{borrow::Cow, fmt};

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::{
    Input, MatchErrorKind,
    hybrid::dfa,
    nfa::thompson::{self, NFA, WhichCaptures},
    util::syntax,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::lines::LinePattern;

/// A regular expression in the syntax of the crate `regex`: linear time, no look-around.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    /// Number of states of the automaton, which is the maximum number of steps for each byte.
    states: usize,
    /// Whether `^` and `$` match at lines that end with LF or CR LF.
    by_line: bool,
}

/// Error of a search: the text is too long for the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it would take too long: make it simpler, for example with smaller counts in {{}}, or the text shorter")]
pub struct TooLong;

/// Maximum memory of a compiled expression. `\w{1000}` needs more.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Maximum number of steps of a search: bytes of the text times states. A step takes up to 27 ns (measured), so a
/// search takes up to 50 ms.
const MAX_STEPS: usize = 2_000_000;
/// Maximum number of steps of an expression with `\b` on a text that is not ASCII. The lazy DFA does not support it.
const MAX_STEPS_AT_WORDS: usize = 10 * MAX_STEPS;

/// Cache of the lazy DFA. Most expressions need a hundredth of it.
const MAX_CACHE_BYTES: usize = 512 << 10;
/// Minimum number of bytes for each new state once the cache is full. A search that needs states more often is given
/// up.
const BYTES_PER_STATE: usize = 1_000;

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// A syntax error with its position, or an expression that is too large.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::compile(text, false)
    }

    fn compile(text: &str, by_line: bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty expression matches everything".to_owned());
        }
        let too_large = || format!("`{text}` needs more than 1MiB of memory: make it smaller");
        let mut builder = RegexBuilder::new(text);
        let regex = builder.multi_line(by_line).crlf(by_line).size_limit(MAX_PATTERN_BYTES).build();
        let regex = regex.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => too_large(),
            error => error.to_string(),
        })?;
        let states = compile_automaton(text, by_line).ok_or_else(too_large)?.states().len();
        Ok(Self { regex, states, by_line })
    }

    /// Whether the expression matches anywhere in the bytes.
    ///
    /// # Errors
    /// The search would take too long.
    pub fn is_match(&self, bytes: &[u8]) -> Result<bool, TooLong> {
        self.searcher(bytes.len())?.is_match(bytes)
    }

    /// Prepares the search of several texts with `bytes` bytes in total.
    ///
    /// # Errors
    /// As [`Pattern::is_match`].
    pub fn searcher(&self, bytes: usize) -> Result<Searcher<'_>, TooLong> {
        let (regex, steps) = (&self.regex, self.states.saturating_mul(bytes));
        if steps <= MAX_STEPS {
            return Ok(Searcher { regex, steps, lazy: None });
        }
        // The automaton is compiled for each search: long texts are rare, and the search takes longer.
        let automaton = compile_automaton(regex.as_str(), self.by_line).ok_or(TooLong)?;
        let config = dfa::Config::new()
            .unicode_word_boundary(true)
            .cache_capacity(MAX_CACHE_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(1))
            .minimum_bytes_per_state(Some(BYTES_PER_STATE));
        let dfa = dfa::DFA::builder().configure(config).build_from_nfa(automaton).map_err(|_| TooLong)?;
        let cache = dfa.create_cache();
        Ok(Searcher { regex, steps, lazy: Some((dfa, cache)) })
    }
}

/// Maximum length of a glob in bytes and maximum depth of its brackets. The crate `globset` recurses without a bound,
/// and panics if the regular expression of a glob is refused.
const MAX_GLOB: usize = 4 << 10;
const MAX_GLOB_NESTING: usize = 8;

/// Rejects a glob that can't be compiled safely.
///
/// # Errors
/// A message that follows the glob in a sentence.
pub fn check_glob(text: &str) -> Result<(), String> {
    let nesting = bracket_depth(text, &[]);
    if text.len() > MAX_GLOB {
        return Err(format!("has {} bytes; a pattern may have {MAX_GLOB}", text.len()));
    }
    if nesting > MAX_GLOB_NESTING {
        return Err(format!("nests brackets {nesting} levels deep; a pattern may have {MAX_GLOB_NESTING}"));
    }
    Ok(())
}

/// Nesting depth of the brackets in an expression of another language, without quoted texts. Parsers of such languages
/// recurse, so that the depth must be bounded before they run.
pub(crate) fn bracket_depth(text: &str, quotes: &[char]) -> usize {
    let (mut quote, mut depth, mut deepest) = (None, 0_usize, 0);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            // An escaped quotation mark does not end a quoted text.
            (_, '\\') => drop(rest.next()),
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, c) if quotes.contains(&c) => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Search of several texts; see [`Pattern::searcher`].
pub struct Searcher<'a> {
    regex: &'a Regex,
    /// Steps for all texts together.
    steps: usize,
    /// Lazy DFA for texts that are long together.
    lazy: Option<(dfa::DFA, dfa::Cache)>,
}

impl Searcher<'_> {
    /// Whether the expression matches anywhere in one of the texts.
    ///
    /// # Errors
    /// The search would take too long.
    pub fn is_match(&mut self, bytes: &[u8]) -> Result<bool, TooLong> {
        let Some((dfa, cache)) = &mut self.lazy else { return Ok(self.regex.is_match(bytes)) };
        match dfa.try_search_fwd(cache, &Input::new(bytes).earliest(true)) {
            Ok(found) => Ok(found.is_some()),
            Err(error) if matches!(error.kind(), MatchErrorKind::Quit { .. }) && self.steps <= MAX_STEPS_AT_WORDS => {
                Ok(self.regex.is_match(bytes))
            }
            Err(_) => Err(TooLong),
        }
    }
}

impl Searcher<'_> {
    /// End of the first match that begins at a position or after it. The bytes before the position are context for
    /// anchors.
    fn find_end(&mut self, bytes: &[u8], start: usize) -> Result<Option<usize>, TooLong> {
        if start > bytes.len() {
            return Ok(None);
        }
        let Some((dfa, cache)) = &mut self.lazy else {
            return Ok(self.regex.find_at(bytes, start).map(|found| found.end()));
        };
        match dfa.try_search_fwd(cache, &Input::new(bytes).range(start..)) {
            Ok(found) => Ok(found.map(|found| found.offset())),
            Err(error) if matches!(error.kind(), MatchErrorKind::Quit { .. }) && self.steps <= MAX_STEPS_AT_WORDS => {
                Ok(self.regex.find_at(bytes, start).map(|found| found.end()))
            }
            Err(_) => Err(TooLong),
        }
    }
}

/// Compiles the automaton that the crate `regex` uses for the expression.
fn compile_automaton(text: &str, by_line: bool) -> Option<NFA> {
    let syntax = syntax::Config::new().utf8(false).multi_line(by_line).crlf(by_line);
    let config =
        thompson::Config::new().utf8(false).which_captures(WhichCaptures::None).nfa_size_limit(Some(MAX_PATTERN_BYTES));
    thompson::Compiler::new().syntax(syntax).configure(config).build(text).ok()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.regex.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.regex.as_str(), f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.regex.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl JsonSchema for Pattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "regex", "minLength": 1})
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn brackets_in_quotes_do_not_nest() {
        for (text, deepest) in [
            ("", 0),
            ("$.a", 0),
            ("$[?(@.a)]", 2),
            ("$['[[[']", 1),
            (r"$['\'[[[']", 1),
            ("((", 2),
            ("()()", 1),
            ("))(", 1),
        ] {
            assert_eq!(bracket_depth(text, &['"', '\'']), deepest, "{text}");
        }
    }

    #[test]
    fn globs_that_pass_compile() {
        let deep = format!("{}b{}", "{a,".repeat(MAX_GLOB_NESTING), "}".repeat(MAX_GLOB_NESTING));
        for glob in
            [&*deep, &"[!a]".repeat(MAX_GLOB / 4), &"?".repeat(MAX_GLOB), &"{a,b}".repeat(MAX_GLOB / 5), "\"[{x}]"]
        {
            assert_eq!(check_glob(glob), Ok(()));
            globset::Glob::new(glob).unwrap().compile_matcher();
        }
        assert!(check_glob(&format!("{{{deep}}}")).unwrap_err().contains("9 levels"));
        assert!(check_glob(&"a".repeat(MAX_GLOB + 1)).unwrap_err().contains("4097 bytes"));
    }

    #[test]
    fn what_is_not_an_expression_or_too_large_is_refused() {
        for bad in ["(", "", r"\w{2000}", "(?=x)"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Pattern::new("^a.c$").unwrap().is_match(b"abc"), Ok(true));
        assert_eq!(Pattern::new(r"(?-u)\xff").unwrap().is_match(b"\xff"), Ok(true));
    }

    /// 1 MiB in which everything that begins goes on for long, and its end.
    fn long(words: &[&str], end: &str) -> Vec<u8> {
        let mut random = 1_u64;
        let mut text = String::new();
        while text.len() < 1 << 20 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text += words[(random >> 33) as usize % words.len()];
        }
        (text + end).into()
    }

    #[test]
    fn a_long_text_is_searched_to_its_end() {
        let (page, foreign) = (long(&["ver", " version: ", "a"], "version: 7 ready"), long(&["日本", "ü"], " ready"));
        for (pattern, text, found) in [
            ("version: 7", &page, true),
            ("version: 8", &page, false),
            (r"(?s)a.*version: \d ready$", &page, true),
            (r"(?i)\w+: 7 READY", &page, true),
            (r"\bready\b", &foreign, true),
            (r"\bready\b", &page, true),
            (r"(?-u)\xff", &page, false),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().is_match(text), Ok(found), "{pattern}");
        }
    }

    #[test]
    fn what_would_take_too_long_is_given_up_at_once() {
        let (page, letters) = (long(&["version: ", "a", "ver", "x"], ""), long(&["a", "b"], ""));
        for (pattern, text) in [
            ("version: [a-z: ]{0,1000}ready", &page),
            ("(?s)version: .{100,200}ready", &page),
            ("a[ab]{200}c", &letters),
            ("a[ab]{3000}c", &letters),
        ] {
            let (pattern, start) = (Pattern::new(pattern).unwrap(), Instant::now());
            assert_eq!(pattern.is_match(text), Err(TooLong), "{pattern}");
            assert!(pattern.is_match(&text[..500]).is_ok(), "{pattern}");
            // Without optimization; the searches would take minutes.
            assert!(start.elapsed() < Duration::from_secs(10), "{pattern}: {:?}", start.elapsed());
        }
    }
}
