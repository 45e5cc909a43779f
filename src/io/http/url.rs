//! The URL of a probe.

use std::{borrow::Cow, fmt, net::IpAddr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Position, Url};

use crate::io::host_name::split_zone;

/// An `http` or `https` URL without user and password, and the zone of an IPv6 address, which the URL itself can't have.
/// `Display` and `Debug` omit the query, because it may contain a token.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url, Option<Box<str>>);

impl HttpUrl {
    /// Validates a URL.
    ///
    /// # Errors
    /// A description of the error without the query.
    pub fn new(url: Url) -> Result<Self, String> {
        match url.scheme() {
            "http" | "https" => {}
            other => {
                return Err(format!("`{other}` is not a scheme of this probe: a URL starts with http:// or https://"));
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL must not hold a user or a password: use `basic_auth`".to_owned());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the URL names no host".to_owned());
        }
        let mut url = url;
        url.set_fragment(None);
        Ok(Self(url, None))
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host name or IP address; an IPv6 address has brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Host for the connection: like [`HttpUrl::host`], with the zone of an IPv6 address. Other hosts never see the zone
    /// (RFC 6874, section 1), so that `Host` is without it.
    pub(crate) fn dial_host(&self) -> Cow<'_, str> {
        match (&self.1, self.host().strip_suffix(']')) {
            (Some(zone), Some(start)) => format!("{start}%{zone}]").into(),
            _ => self.host().into(),
        }
    }

    /// The IP address; `None` for a host name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Port; the default of the scheme if the URL contains none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Host and port for a request line and for `Host`, without the default port of the scheme.
    #[must_use]
    pub fn authority(&self) -> Cow<'_, str> {
        match self.0.port() {
            Some(port) => format!("{}:{port}", self.host()).into(),
            None => self.host().into(),
        }
    }

    /// Path and query. The query may contain a token and must not be displayed.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.0[Position::BeforePath..]
    }

    /// The whole URL. The query may contain a token and must not be displayed.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether both URLs have the same scheme, host and port, so that credentials for one may be sent to the other.
    #[must_use]
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.0.scheme(), self.dial_host(), self.port()) == (other.0.scheme(), other.dial_host(), other.port())
    }

    /// Resolves the value of a `Location` header.
    ///
    /// # Errors
    /// A description of the error.
    pub fn join(&self, location: &str) -> Result<Self, String> {
        let mut joined = self.0.join(location).map_err(|error| error.to_string()).and_then(Self::new)?;
        if joined.host() == self.host() {
            joined.1.clone_from(&self.1);
        }
        Ok(joined)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            Some(zone) => f.write_str(&self.0[..Position::AfterPath].replacen(']', &format!("%25{zone}]"), 1)),
            None => f.write_str(&self.0[..Position::AfterPath]),
        }
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        // The error must not quote the text, because it may contain a password.
        let (text, zone) = match split_url_zone(&text) {
            Some((text, zone)) => (text, Some(zone.into())),
            None => (text, None),
        };
        let url = Url::parse(&text).map_err(|error| {
            de::Error::custom(format!("not a URL ({error}): write one such as http://127.0.0.1:8080/health"))
        })?;
        Self::new(url).map(|url| Self(url.0, zone)).map_err(de::Error::custom)
    }
}

/// Separates the zone from the IPv6 address of a URL: `http://[fe80::1%25eth0]/`, or with `%` instead of `%25`.
fn split_url_zone(text: &str) -> Option<(String, String)> {
    let (scheme, rest) = text.split_once("://[")?;
    let (host, path) = rest.split_once(']')?;
    let (address, zone) = host.split_once('%')?;
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    split_zone(&format!("{address}%{zone}"))?;
    Some((format!("{scheme}://[{address}]{path}"), zone.to_owned()))
}

impl JsonSchema for HttpUrl {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HttpUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "uri", "pattern": "^(\\$\\{|[hH][tT][tT][pP][sS]?://)"})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_url_is_shown_without_its_query_and_refused_with_a_password() {
        let target: HttpUrl = from_value(json!("HTTPS://Example.com/a/b?token=s3cret#part")).unwrap();
        assert_eq!(
            (target.to_string(), target.path_and_query()),
            ("https://example.com/a/b".into(), "/a/b?token=s3cret")
        );
        assert!(!format!("{target:?} {}", serde_json::to_string(&target).unwrap()).contains("s3cret"));
        assert_eq!((target.host(), target.port(), &*target.authority()), ("example.com", 443, "example.com"));
        let target: HttpUrl = from_value(json!("http://[::1]:8080")).unwrap();
        assert_eq!((target.path_and_query(), target.port(), &*target.authority()), ("/", 8080, "[::1]:8080"));
        for bad in
            ["http://u:hunter2@a.example/", "ftp://a.example", "a.example", "http://", "file:///etc", "hunter2 x"]
        {
            let error = from_value::<HttpUrl>(json!(bad)).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_zone_is_for_the_connection_only() {
        for text in ["http://[fe80::1%25eth0]:8080/a?b", "http://[fe80::1%eth0]:8080/a?b"] {
            let target: HttpUrl = from_value(json!(text)).unwrap();
            assert_eq!((&*target.dial_host(), target.host()), ("[fe80::1%eth0]", "[fe80::1]"));
            assert_eq!((&*target.authority(), target.port()), ("[fe80::1]:8080", 8080));
            assert_eq!(target.to_string(), "http://[fe80::1%25eth0]:8080/a");
            assert_eq!(target.join("/c").unwrap().dial_host(), target.dial_host());
            assert_eq!(target.join("http://[fe80::2]/c").unwrap().dial_host(), "[fe80::2]");
        }
        for bad in ["http://[fe80::1%]/", "http://[fe80::1%a b]/", "http://a%25b/", "http://[10.0.0.1%25a]/"] {
            from_value::<HttpUrl>(json!(bad)).unwrap_err();
        }
        let target: HttpUrl = from_value(json!("http://bücher.example/ü")).unwrap();
        assert_eq!(&*target.dial_host(), "xn--bcher-kva.example");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let target = |url: &str| from_value::<HttpUrl>(json!(url)).unwrap();
        assert!(target("http://a.example/x").is_same_origin(&target("http://A.example:80/y")));
        for other in ["https://a.example/x", "http://b.example/x", "http://a.example:81/x"] {
            assert!(!target("http://a.example/x").is_same_origin(&target(other)), "{other}");
        }
    }
}
