//! Addresses of the form `host:port`.

use std::{borrow::Cow, fmt, net::Ipv6Addr, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::host_name::{ascii_host, split_zone};

/// A host (name, IPv4 address, or IPv6 address in brackets, with an optional zone) and a port. A name may be
/// international.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port; never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!("`{text}` is not an address ({why}): write host:port, as in db.example:5432 or [::1]:5432")
        };
        if text.contains("://") || text.contains('/') {
            return Err(bad("it looks like a URL"));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("a port lies between 1 and 65535"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() || split_zone(inner).is_some() => inner,
            Some(_) => return Err(bad("no IPv6 address in brackets")),
            None if host.contains(':') => return Err(bad("an IPv6 address stands in brackets")),
            None => host,
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '@') {
            return Err(bad("no host"));
        }
        ascii_host(host).map_err(|text| bad(&text))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "examples": ["127.0.0.1:5432", "[::1]:5432", "db.example:5432"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_taken_apart_and_put_together_again() {
        for (text, host, port) in [
            ("a.example:80", "a.example", 80),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:65535", "::1", 65_535),
            ("[fe80::1%eth0]:22", "fe80::1%eth0", 22),
            ("bücher.example:80", "bücher.example", 80),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port(), address.to_string()), (host, port, text.to_owned()));
        }
        for bad in [
            "",
            "a",
            "[fe80::1%]:80",
            "bü\u{202e}.example:1",
            "a:",
            ":80",
            "a:0",
            "a:65536",
            "::1:80",
            "[a]:80",
            "[::1]",
            "http://a:80",
            "u@a:80",
            "a b:80",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
