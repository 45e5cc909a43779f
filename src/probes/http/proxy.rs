//! A forward proxy. It receives plain requests as a whole, and opens a tunnel for encrypted requests.

use std::{borrow::Cow, fmt};

use hyper::{HeaderMap, header::HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::{
    io::{
        dial,
        http::{auth::basic_auth_value, url::HttpUrl},
    },
    model::{failure::Failure, redaction::SentSecrets, secret::Secret, text::excerpt, words::Reason},
};

/// An `http://` proxy. Its user and password are never displayed.
#[derive(Clone)]
pub struct Proxy {
    target: HttpUrl,
    login: Option<(String, Secret)>,
}

/// Maximum size of the response to CONNECT.
const MAX_RESPONSE_BYTES: usize = 16 << 10;

impl Proxy {
    /// URL of the proxy.
    #[must_use]
    pub fn target(&self) -> &HttpUrl {
        &self.target
    }

    /// Value of `Proxy-Authorization`, if the URL of the proxy has a user.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        self.login.as_ref().map(|(user, password)| basic_auth_value(user, password)).transpose()
    }

    /// Whether the URL of the proxy has a user.
    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Adds the credentials that are sent to the proxy.
    pub(super) fn add_secrets_to(&self, secrets: &mut SentSecrets) {
        self.login.iter().for_each(|(user, password)| secrets.add_basic_auth(user, password.expose()));
    }

    /// Requests a tunnel. Bytes of the target that follow are not read.
    pub(super) async fn tunnel<S>(&self, stream: &mut S, to: &HttpUrl, headers: &HeaderMap) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let place = format!("{}:{}", to.host(), to.port());
        let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broken = |error| dial::io_failure(&format!("the proxy {self} broke off"), &error);
        stream.write_all(&request).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            // Single bytes are read, because the bytes after the response belong to the tunnel. The response has a few
            // hundred bytes.
            answer.push(stream.read_u8().await.map_err(broken)?);
            if answer.len() > MAX_RESPONSE_BYTES {
                return Err(Failure::new(Reason::TooLarge, format!("the proxy {self} answers without end")));
            }
        }
        self.judge(&String::from_utf8_lossy(&answer), &place)
    }

    fn judge(&self, answer: &str, place: &str) -> Result<(), Failure> {
        let line = answer.lines().next().unwrap_or_default();
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse::<u16>().ok());
        let (reason, text) = match status {
            Some(200..=299) => return Ok(()),
            Some(407) => (Reason::Auth, "wants a user and a password: write http://user:password@host:port".to_owned()),
            // Only the proxy knows whether the target or the route to it is broken.
            Some(502..=504) => (Reason::Unreachable, format!("can't reach {place} ({})", excerpt(line, 80))),
            Some(_) => (Reason::Permission, format!("opens no tunnel to {place} ({})", excerpt(line, 80))),
            None => (Reason::Protocol, "answers with something that is not HTTP/1".to_owned()),
        };
        let failure = Failure::new(reason, format!("the proxy {self} {text}"));
        Err(match reason {
            Reason::Auth => failure.of_exporter("the proxy does not accept the credentials of this exporter"),
            Reason::Permission => {
                failure.of_exporter("the proxy does not allow this exporter to connect to the target")
            }
            _ => failure,
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.target, f)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Proxy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Errors don't quote the text, because it may contain a password.
        let text = Secret::deserialize(from)?;
        let wrong = || de::Error::custom("not a proxy: write its URL, such as http://proxy.example:3128");
        let mut url = Url::parse(text.expose()).map_err(|_| wrong())?;
        if url.scheme() != "http" {
            return Err(de::Error::custom("only proxies that are spoken to over http:// are supported"));
        }
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let login = (!url.username().is_empty())
            .then(|| (decoded(url.username()), Secret::from(decoded(url.password().unwrap_or_default()))));
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| wrong())?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(de::Error::custom("the URL of a proxy is a host and a port, without a path"));
        }
        Ok(Self { target: HttpUrl::new(url).map_err(de::Error::custom)?, login })
    }
}

impl JsonSchema for Proxy {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Proxy".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "examples": ["http://proxy.example:3128"]})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_proxy_never_shows_its_password() {
        let proxy: Proxy = from_value(json!("http://user:hunt%65r2@proxy.example:3128")).unwrap();
        assert_eq!((proxy.to_string(), proxy.target().port()), ("http://proxy.example:3128/".to_owned(), 3128));
        assert_eq!(proxy.authorization().unwrap().unwrap(), "Basic dXNlcjpodW50ZXIy");
        let shown = format!("{proxy:?} {}", serde_json::to_string(&proxy).unwrap());
        assert!(!shown.contains("hunt"), "{shown}");
        for bad in ["hunter2", "https://a.example", "socks5://hunter2@a", "http://hunter2:x@a/path", "http://"] {
            let error = from_value::<Proxy>(json!(bad)).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
