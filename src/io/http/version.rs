//! HTTP versions of a client.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// HTTP version to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// Version that the server selects under TLS, HTTP/1.1 without TLS.
    #[default]
    Auto,
    /// HTTP/1.1.
    One,
    /// HTTP/2, with TLS or without (prior knowledge).
    Two,
}

impl HttpVersion {
    /// Protocols to offer with ALPN.
    #[must_use]
    pub fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Auto => &[b"h2", b"http/1.1"],
            Self::One => &[b"http/1.1"],
            Self::Two => &[b"h2"],
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::One => "1.1",
            Self::Two => "2",
        }
    }
}

impl Serialize for HttpVersion {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HttpVersion {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct HttpVersionVisitor;
        impl de::Visitor<'_> for HttpVersionVisitor {
            type Value = HttpVersion;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version of HTTP: auto, 1.1 or 2")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HttpVersion, E> {
                let all = [HttpVersion::Auto, HttpVersion::One, HttpVersion::Two];
                let found = all.into_iter().find(|version| version.as_str() == text);
                found.ok_or_else(|| E::custom(format!("`{text}` is not a version of HTTP: write auto, 1.1 or 2")))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<HttpVersion, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<HttpVersion, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<HttpVersion, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(HttpVersionVisitor)
    }
}

impl JsonSchema for HttpVersion {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HttpVersion".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ["auto", "1.1", "2", 1.1, 2], "default": "auto"})
    }
}
