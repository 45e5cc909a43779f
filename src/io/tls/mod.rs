//! TLS client for all probe kinds: settings, handshakes, certificates.
//!
//! Files are read at use, so that a rotated CA bundle or client key takes effect at the next handshake. Sessions are
//! never resumed, so that the duration of a handshake is always that of a full one. The crypto provider is passed
//! explicitly and never installed for the process.

mod cache;
mod certificate;
mod client_certificate;
mod failure;
#[cfg(test)]
pub(crate) mod fixture;
mod handshakes;
pub(crate) mod meaning;
mod verifier;

use std::{borrow::Cow, path::PathBuf, sync::Arc, time::Duration};

use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub use self::cache::Cache;
use self::failure::handshake_failure;
pub use self::{
    certificate::{Certificate, Certificates},
    failure::{distrust_failure, find_failure, is_unannounced_end},
    verifier::{Distrust, Presented, TrustedPath},
};
use crate::{
    io::host_name::{ascii_host, split_zone},
    model::{
        failure::{Failure, Invalid},
        words::Reason,
    },
};

/// TLS settings of a client. By default the certificate authorities of the system are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file with the certificate authorities to trust. Default: the certificate authorities of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM file with the client certificate and its chain. Requires `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of the client certificate. Requires `cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Server name to request and to verify. Default: the host of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Minimum TLS version.
    pub min_version: Version,
    /// Maximum TLS version. Default: the newest supported version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<Version>,
    /// Whether the connection continues with a certificate that is not trusted. `certificate` checks still judge the
    /// certificate.
    pub insecure_skip_verify: bool,
}

/// Supported version of TLS. Versions 1.0 and 1.1 are insecure and not supported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// TLS 1.2
    #[default]
    V1_2,
    /// TLS 1.3
    V1_3,
}

/// Result of a handshake.
#[derive(Debug)]
pub struct Handshake<S> {
    /// The encrypted stream, or the failure of the handshake.
    pub stream: Result<TlsStream<S>, Failure>,
    /// Certificates that the server presented, accepted or not.
    pub presented: Option<Presented>,
    /// Whether the server requests a client certificate. In TLS 1.3, its refusal arrives after the handshake.
    pub wants_client_certificate: bool,
}

/// Maximum duration of a handshake without a deadline of its own. The timeout of the run is usually shorter.
const MAX_HANDSHAKE_TIME: Duration = Duration::from_secs(24 * 3600);

impl Tls {
    /// Validates rules between the keys. Kinds call this function from their own validation.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    pub fn validate(&self) -> Result<(), Invalid> {
        match (&self.cert, &self.key) {
            (Some(_), None) => {
                return Err(Invalid::at("cert", "a client certificate needs its private key: add `key`"));
            }
            (None, Some(_)) => {
                return Err(Invalid::at("key", "a private key needs the client certificate it is for: add `cert`"));
            }
            _ => {}
        }
        if self.max_version == Some(Version::V1_2) && self.min_version == Version::V1_3 {
            return Err(Invalid::at("max_version", "it is below `min_version`: that can never be met"));
        }
        if let Some(name) = &self.server_name {
            server_name(name).map_err(|failure| Invalid::at("server_name", failure.detail))?;
        }
        if self.insecure_skip_verify && self.ca.is_some() {
            return Err(Invalid::at(
                "insecure_skip_verify",
                "`ca` and `insecure_skip_verify` contradict each other: remove one of them",
            ));
        }
        Ok(())
    }

    /// Client configuration without ALPN. Equal settings share one configuration until one of their files changes.
    ///
    /// # Errors
    /// `not_found`, `permission` or `tls`, with the name of the file; `certificate` if the system trusts no authority.
    pub async fn client_config(&self, cache: &Arc<Cache>) -> Result<Arc<ClientConfig>, Failure> {
        Ok(Arc::clone(&self.client(cache).await?.config))
    }

    /// Performs a TLS handshake over an established stream. The certificate is verified for `server_name`, or for
    /// `host` if that key is not set. `alpn` lists the offered protocols. The result contains the presented
    /// certificates even if they are refused.
    ///
    /// The handshakes of hosts whose handshakes are expensive are computed on another thread.
    pub async fn handshake<S>(&self, stream: S, host: &str, alpn: &[&[u8]], cache: &Arc<Cache>) -> Handshake<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.handshake_until(Instant::now() + MAX_HANDSHAKE_TIME, stream, host, alpn, cache).await
    }

    /// Performs a TLS handshake like [`Tls::handshake`], until a deadline. A handshake that does not end before it is a
    /// failure with the certificates that were presented until then.
    pub async fn handshake_until<S>(
        &self,
        deadline: Instant,
        stream: S,
        host: &str,
        alpn: &[&[u8]],
        cache: &Arc<Cache>,
    ) -> Handshake<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let host = self.server_name.as_deref().unwrap_or(host);
        let prepared = match server_name(host) {
            Ok(name) => self.client(cache).await.map(|client| (client, name)),
            Err(failure) => Err(failure),
        };
        let (client, name) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                return Handshake { stream: Err(failure), presented: None, wants_client_certificate: false };
            }
        };
        let (config, witness, resolver) = client.recording_config(alpn);
        let work = cache.handshakes.drive_handshake(host, TlsConnector::from(config).connect(name, stream));
        let what = format!("TLS handshake with {host}");
        let stream = match timeout_at(deadline, work).await {
            Ok(Ok(stream)) => stream
                .map_err(|error| handshake_failure(&what, &error, self, witness.presented(), resolver.is_requested())),
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                let text = "the server has not completed it within the timeout of the run; it may be overloaded";
                let failure = Failure::new(Reason::Timeout, format!("{what}: {text}"));
                Err(failure.with_meaning("the TLS handshake did not end within the timeout"))
            }
        };
        let version = stream.as_ref().ok().and_then(|stream| version_name(stream.get_ref().1.protocol_version()?));
        let presented = witness.presented().map(|presented| Presented { version, ..presented });
        Handshake { stream, presented, wants_client_certificate: resolver.is_requested() }
    }
}

fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("1.2"),
        ProtocolVersion::TLSv1_3 => Some("1.3"),
        _ => None,
    }
}

/// Converts a host to the name or IP address for the verification of a certificate.
///
/// # Errors
/// `tls`: the host is neither a name nor an IP address.
pub fn server_name(host: &str) -> Result<ServerName<'static>, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // A fully qualified name ends with a dot; a name in a certificate does not.
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let ascii = ascii_host(bare).map_err(|text| Failure::new(Reason::Tls, text))?;
    // A certificate is for an address, not for a zone of this machine.
    let bare = split_zone(&ascii).map_or_else(|| ascii.clone().into_owned(), |(address, _)| address.to_string());
    ServerName::try_from(bare).map_err(|_| {
        Failure::new(
            Reason::Tls,
            format!("`{host}` is neither a host name nor an IP address that a certificate could be for"),
        )
    })
}

impl Version {
    fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TlsVersionVisitor;
        impl de::Visitor<'_> for TlsVersionVisitor {
            type Value = Version;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a version of TLS: 1.2 or 1.3")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Version, E> {
                match text {
                    "1.2" => Ok(Version::V1_2),
                    "1.3" => Ok(Version::V1_3),
                    "1" | "1.0" | "1.1" => Err(E::custom(format!(
                        "TLS {text} is insecure and not supported: the minimum of `min_version` is 1.2"
                    ))),
                    _ => Err(E::custom(format!("`{text}` is not a version of TLS: write 1.2 or 1.3"))),
                }
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(TlsVersionVisitor)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "TlsVersion".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ["1.2", "1.3", 1.2, 1.3], "default": "1.2"})
    }
}

#[cfg(test)]
mod tests;
