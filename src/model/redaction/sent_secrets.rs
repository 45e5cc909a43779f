//! What a probe says to its target and the target may say back: collected by each kind, hidden wherever a target is
//! quoted.
//!
//! Credentials are hidden from the findings of every probe, for a target may tell them to another. Their beginnings,
//! where a text was cut, are hidden from the findings of their own probe only (see `Redactor`). Other texts that are
//! sent, such as the value of a header `X-Tenant`, are hidden from the findings of their own probe only: they are
//! ordinary words, and findings of others would not be readable without them.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use url::form_urlencoded;

use crate::model::secret::Secret;

/// Texts that one probe sends, by how far they are hidden.
#[derive(Clone, Default)]
pub struct SentSecrets {
    pub(super) credentials: Vec<Secret>,
    pub(super) own: Vec<Secret>,
}

/// Headers that say what is spoken and by whom, never who may.
const PLAIN: [&str; 8] =
    ["accept", "content-", "user-agent", "host", "origin", "cache-control", "pragma", "x-forwarded-"];
/// What a header or a parameter of a URL is called that says who may.
const TELLING: [&str; 9] = ["token", "key", "secret", "pass", "auth", "sig", "code", "cookie", "session"];

impl SentSecrets {
    /// Hides a password or a token.
    pub fn secret(&mut self, text: &str) {
        self.credentials.push(Secret::from(text.to_owned()));
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
        self.text(value, is_telling(&name));
        match value.split_once(' ') {
            Some((_, credentials)) if name.ends_with("authorization") => self.secret(credentials),
            _ => self.words(value),
        }
    }

    /// Hides a text that is sent, its lines, and those of its words that look like secrets.
    pub fn sent(&mut self, text: &str) {
        self.text(text.trim(), false);
        text.lines().for_each(|line| self.text(line, false));
        self.words(text);
    }

    /// Hides what a query has below a telling name, and whatever in it looks like a secret.
    pub fn query(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let decoded = form_urlencoded::parse(value.as_bytes()).next().map_or(Cow::default(), |(text, _)| text);
            for value in [value, &decoded] {
                match is_telling(&name.to_ascii_lowercase()) {
                    true => self.secret(value),
                    false => self.words(value),
                }
            }
        }
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.own.is_empty()
    }

    fn text(&mut self, text: &str, is_credential: bool) {
        let list = if is_credential || looks_secret(text) { &mut self.credentials } else { &mut self.own };
        list.push(Secret::from(text.to_owned()));
    }

    fn words(&mut self, text: &str) {
        let ends = |c: char| c.is_whitespace() || "\"'`=&,;:{}[]()<>".contains(c);
        text.split(ends).filter(|word| looks_secret(word)).for_each(|word| self.secret(word));
    }
}

impl fmt::Debug for SentSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.credentials.len() + self.own.len())
    }
}

fn is_telling(name: &str) -> bool {
    TELLING.iter().any(|telling| name.contains(telling))
}

/// Long, and not a word of a language.
fn looks_secret(word: &str) -> bool {
    (word.len() >= 8 && word.contains(|c: char| c.is_ascii_digit())) || word.len() >= 20
}
