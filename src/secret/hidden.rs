//! What a probe says to its target and the target may say back: hidden wherever the target is quoted.
//!
//! It looks for the values themselves: as they were sent, as a sentence or JSON quotes them, and their beginning where
//! an excerpt was cut. A target that turns them into something else before it says them can't be stopped.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use url::form_urlencoded;

use super::Secret;

/// Texts that stand in nothing that is shown.
#[derive(Clone, Default)]
pub struct Hidden(Vec<Secret>);

/// In their place.
const MARK: &str = "<hidden>";
/// Bytes of the shortest text that is hidden: what is shorter (`ok`, `1`) guards nothing, and a sentence without it
/// says nothing.
const SHORTEST: usize = 4;
/// Nothing that is shown has a longer piece of a secret before a cut.
const LONGEST_PIECE: usize = 1_000;
/// What stands where a text was cut.
const CUTS: [&str; 2] = ["...", "…"];
/// Headers that say what is spoken and by whom, never who may.
const PLAIN: [&str; 8] =
    ["accept", "content-", "user-agent", "host", "origin", "cache-control", "pragma", "x-forwarded-"];
/// What a parameter of a URL is called that says who may.
const TELLING: [&str; 7] = ["token", "key", "secret", "pass", "auth", "sig", "code"];

impl Hidden {
    /// Hides a password or a token.
    pub fn secret(&mut self, text: &str) {
        let quoted = format!("{text:?}");
        let quoted = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        for form in [text, quoted] {
            if form.len() >= SHORTEST && self.0.iter().all(|known| known.expose() != form) {
                self.0.push(Secret::from(form.to_owned()));
            }
        }
        // `Bearer x` before `x`.
        self.0.sort_by_key(|known| std::cmp::Reverse(known.expose().len()));
    }

    /// Hides a password, also as basic authentication sends it.
    pub fn basic(&mut self, user: &str, password: &str) {
        self.secret(password);
        self.secret(&STANDARD.encode(format!("{user}:{password}")));
    }

    /// Hides the value of a header, unless the header never has a secret.
    pub fn header(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        if PLAIN.iter().any(|plain| name.starts_with(plain)) {
            return;
        }
        self.secret(value);
        match value.split_once(' ') {
            Some((_, credentials)) if name.ends_with("authorization") => self.secret(credentials),
            _ => self.words(value),
        }
    }

    /// Hides a text that is sent, its lines, and those of its words that look like secrets.
    pub fn sent(&mut self, text: &str) {
        self.secret(text.trim());
        text.lines().for_each(|line| self.secret(line));
        self.words(text);
    }

    /// Hides what a query has below a telling name, and whatever in it looks like a secret.
    pub fn query(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let name = name.to_ascii_lowercase();
            let decoded = form_urlencoded::parse(value.as_bytes()).next().map_or(Cow::default(), |(text, _)| text);
            for value in [value, &decoded] {
                match TELLING.iter().any(|telling| name.contains(telling)) {
                    true => self.secret(value),
                    false => self.words(value),
                }
            }
        }
    }

    fn words(&mut self, text: &str) {
        let ends = |c: char| c.is_whitespace() || "\"'`=&,;:{}[]()<>".contains(c);
        text.split(ends).filter(|word| looks_secret(word)).for_each(|word| self.secret(word));
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hides it all in a text.
    pub fn hide(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret.expose()) {
                *text = text.replace(secret.expose(), MARK);
            }
        }
        if !self.is_empty() {
            CUTS.iter().for_each(|cut| self.hide_before(cut, text));
        }
    }

    /// The same in a text that is only borrowed if nobody outside has written it.
    pub fn hide_in(&self, text: &mut Cow<'static, str>) {
        if let Cow::Owned(text) = text {
            self.hide(text);
        }
    }

    /// The same in every text of a document, names included.
    pub fn hide_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.hide(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.hide_all(value)),
            Value::Object(map) => {
                for (mut name, mut value) in std::mem::take(map) {
                    self.hide(&mut name);
                    self.hide_all(&mut value);
                    map.insert(name, value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Hides the beginnings of secrets that end where the text was cut.
    fn hide_before(&self, cut: &str, text: &mut String) {
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(cut)).map(|at| from + at) {
            from = at + cut.len();
            // A quotation may end first, and half a letter is no letter.
            let head = text.get(..at).unwrap_or_default().trim_end_matches(['"', '\u{fffd}']);
            let piece = self.0.iter().filter_map(|secret| piece_at_end(head, secret.expose())).max();
            if let Some(piece) = piece {
                let end = head.len();
                text.replace_range(end - piece..end, MARK);
                from = from - piece + MARK.len();
            }
        }
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// Long, and not a word of a language.
fn looks_secret(word: &str) -> bool {
    (word.len() >= 8 && word.contains(|c: char| c.is_ascii_digit())) || word.len() >= 20
}

/// Bytes of the longest beginning of a secret with which a text ends.
fn piece_at_end(text: &str, secret: &str) -> Option<usize> {
    let ends = secret.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST_PIECE);
    ends.filter(|at| *at >= SHORTEST && secret.get(..*at).is_some_and(|piece| text.ends_with(piece))).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hidden(add: impl FnOnce(&mut Hidden), text: &str) -> String {
        let mut hidden = Hidden::default();
        add(&mut hidden);
        let mut text = text.to_owned();
        hidden.hide(&mut text);
        text
    }

    #[test]
    fn a_secret_is_hidden_as_it_was_sent_and_as_it_is_quoted() {
        let says = |text| hidden(|it| it.secret("hun\"ter2"), text);
        assert_eq!(says("$.status is \"hun\\\"ter2\", or hun\"ter2"), "$.status is \"<hidden>\", or <hidden>");
        assert_eq!(says("all is well..."), "all is well...");
        let basic = |text| hidden(|it| it.basic("user", "hunter2"), text);
        assert_eq!(basic("Basic dXNlcjpodW50ZXIy user:hunter2"), "Basic <hidden> user:<hidden>");
        assert_eq!(hidden(|it| it.secret("ok1"), "status is ok1"), "status is ok1", "too short to guard anything");
    }

    #[test]
    fn of_a_header_the_credentials_are_hidden_and_what_is_no_secret_stays() {
        let header = |name, value, text| hidden(|it| it.header(name, value), text);
        assert_eq!(header("Authorization", "Token abcd", "bad Token abcd; abcd"), "bad <hidden>; <hidden>");
        assert_eq!(header("cookie", "session=9f8e7d6c5b; a=b", "no session 9f8e7d6c5b"), "no session <hidden>");
        let json = "application/json";
        assert_eq!(header("Accept", json, "content-type is application/json"), "content-type is application/json");
    }

    #[test]
    fn of_a_query_and_a_body_what_looks_like_a_secret_is_hidden() {
        let query = |text| hidden(|it| it.query("verbose=true&api_key=a%2Fbc&id=1234567a"), text);
        assert_eq!(query("true a/bc a%2Fbc 1234567a"), "true <hidden> <hidden> <hidden>");
        let sent = |text| hidden(|it| it.sent("AUTH monitor hunter2-2\r\n"), text);
        assert_eq!(sent("unknown command AUTH monitor hunter2-2"), "unknown command <hidden>");
        assert_eq!(sent("wrong password hunter2-2 of monitor"), "wrong password <hidden> of monitor");
    }

    #[test]
    fn the_beginning_of_a_secret_is_hidden_where_an_excerpt_ends() {
        let says = |text| hidden(|it| it.secret("eyJhbGciOiJIUzI1NiJ9"), text);
        assert_eq!(says("it is \"Bearer eyJhbGci..., expected x"), "it is \"Bearer <hidden>..., expected x");
        assert_eq!(says("the answer \"eyJhb\"... and eyJhb…"), "the answer \"<hidden>\"... and <hidden>…");
        assert_eq!(says("eyJ... is three letters"), "eyJ... is three letters");
    }

    #[test]
    fn every_text_of_a_document_is_looked_at() {
        let mut hidden = Hidden::default();
        hidden.secret("hunter2");
        let mut facts = json!({"headers": {"x-echo": ["hunter2", 2], "x-hunter2": ["a"]}});
        hidden.hide_all(&mut facts);
        assert_eq!(facts, json!({"headers": {"x-echo": ["<hidden>", 2], "x-<hidden>": ["a"]}}));
        assert!(!format!("{hidden:?}").contains("hunter2"));
    }
}
