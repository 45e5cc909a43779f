//! Secrets that a probe sends to its target, and that the target may echo. Each kind collects them for redaction.
//!
//! Credentials are redacted in the findings of every probe, because one target may disclose them to another. Prefixes
//! of credentials before a cut are redacted in the findings of the same probe only (see `Redactor`). So are other texts
//! that a probe sends, such as the value of a header `X-Tenant`: they may be ordinary words, and findings of other
//! probes would be unreadable without them.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use url::form_urlencoded;

use crate::model::secret::Secret;

/// Texts that one probe sends: credentials, and texts that are redacted in the findings of the same probe only.
#[derive(Clone, Default)]
pub struct SentSecrets {
    pub(super) credentials: Vec<Secret>,
    pub(super) own: Vec<Secret>,
}

/// Prefixes of headers that never carry credentials.
const PUBLIC_HEADERS: [&str; 8] =
    ["accept", "content-", "user-agent", "host", "origin", "cache-control", "pragma", "x-forwarded-"];
/// Parts of names by which a header or a query parameter is recognized as a credential.
const CREDENTIAL_NAMES: [&str; 9] = ["token", "key", "secret", "pass", "auth", "sig", "code", "cookie", "session"];

impl SentSecrets {
    /// Adds a password or a token.
    pub fn add_credential(&mut self, text: &str) {
        self.credentials.push(Secret::from(text.to_owned()));
    }

    /// Adds a password, also in its form for basic authentication.
    pub fn add_basic_auth(&mut self, user: &str, password: &str) {
        self.add_credential(password);
        self.add_credential(&STANDARD.encode(format!("{user}:{password}")));
    }

    /// Adds the value of a header, unless the header never carries credentials.
    pub fn add_header(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        if PUBLIC_HEADERS.iter().any(|plain| name.starts_with(plain)) {
            return;
        }
        self.add_text(value, names_credential(&name));
        match value.split_once(' ') {
            Some((_, credentials)) if name.ends_with("authorization") => self.add_credential(credentials),
            _ => self.add_secret_words(value),
        }
    }

    /// Adds a text, each of its lines, and each of its words that looks like a secret.
    pub fn add_sent_text(&mut self, text: &str) {
        self.add_text(text.trim(), false);
        text.lines().for_each(|line| self.add_text(line, false));
        self.add_secret_words(text);
    }

    /// Adds the values of query parameters with the name of a credential, and the words of other values that look like
    /// a secret.
    pub fn add_query(&mut self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let decoded = form_urlencoded::parse(value.as_bytes()).next().map_or(Cow::default(), |(text, _)| text);
            for value in [value, &decoded] {
                match names_credential(&name.to_ascii_lowercase()) {
                    true => self.add_credential(value),
                    false => self.add_secret_words(value),
                }
            }
        }
    }

    /// Whether no text was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.own.is_empty()
    }

    fn add_text(&mut self, text: &str, is_credential: bool) {
        let list = if is_credential || looks_secret(text) { &mut self.credentials } else { &mut self.own };
        list.push(Secret::from(text.to_owned()));
    }

    fn add_secret_words(&mut self, text: &str) {
        let ends = |c: char| c.is_whitespace() || "\"'`=&,;:{}[]()<>".contains(c);
        text.split(ends).filter(|word| looks_secret(word)).for_each(|word| self.add_credential(word));
    }
}

impl fmt::Debug for SentSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.credentials.len() + self.own.len())
    }
}

fn names_credential(name: &str) -> bool {
    CREDENTIAL_NAMES.iter().any(|telling| name.contains(telling))
}

/// Whether a word is long and not an ordinary word of a language.
fn looks_secret(word: &str) -> bool {
    (word.len() >= 8 && word.contains(|c: char| c.is_ascii_digit())) || word.len() >= 20
}
