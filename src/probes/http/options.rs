//! Small settings of an `http` probe. They have types of their own, so that invalid values are rejected during parsing.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Requests the resource.
    #[default]
    Get,
    /// Requests the headers only.
    Head,
    /// Requests the supported methods.
    Options,
    /// Submits the body.
    Post,
    /// Replaces the resource.
    Put,
    /// Changes a part of the resource.
    Patch,
    /// Deletes the resource.
    Delete,
}

impl Method {
    /// Whether repeating the request has no further effect.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

impl From<Method> for hyper::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Options => Self::OPTIONS,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

/// Maximum number of redirects to follow: `false` (none), `true` (5) or `{max: N}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redirects(pub u8);

const DEFAULT_REDIRECTS: u8 = 5;
const MAX_REDIRECTS: u8 = 20;

impl Serialize for Redirects {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => to.serialize_bool(false),
            max => to.collect_map([("max", max)]),
        }
    }
}

impl<'de> Deserialize<'de> for Redirects {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct RedirectsVisitor;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct RedirectBound {
            max: u8,
        }

        impl<'de> de::Visitor<'de> for RedirectsVisitor {
            type Value = Redirects;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or {max: N}")
            }
            fn visit_bool<E: de::Error>(self, follow: bool) -> Result<Redirects, E> {
                Ok(Redirects(if follow { DEFAULT_REDIRECTS } else { 0 }))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Redirects, A::Error> {
                let RedirectBound { max } = RedirectBound::deserialize(de::value::MapAccessDeserializer::new(map))?;
                if (1..=MAX_REDIRECTS).contains(&max) {
                    return Ok(Redirects(max));
                }
                Err(de::Error::custom(format!(
                    "`max: {max}` is out of range: follow between 1 and {MAX_REDIRECTS} redirects"
                )))
            }
        }
        from.deserialize_any(RedirectsVisitor)
    }
}

impl JsonSchema for Redirects {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Redirects".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "boolean"},
            {
                "type": "object",
                "properties": {"max": {"type": "integer", "minimum": 1, "maximum": MAX_REDIRECTS}},
                "required": ["max"],
                "additionalProperties": false
            }
        ]})
    }
}
