#![doc = include_str!("http.md")]

pub mod checks;
mod facts;
mod options;
mod probe;
mod proxy;
mod redirect;
pub(crate) mod request;

use std::{collections::BTreeMap, sync::Arc};

use hyper::http::uri::Authority;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    checks::{response::Response, status::Statuses},
    facts::{HttpFactRequest, HttpFacts, HttpResponse},
    options::{Method, Redirects},
    probe::HttpProbe,
    proxy::Proxy,
};
pub(crate) use crate::io::http::auth::Credentials;
pub use crate::io::http::{auth::BasicAuth, url::HttpUrl, version::HttpVersion};
use crate::{
    io::{dial::AddressFamily, http::framing, resources::Resources, secret_file::SecretFile, tls::Tls},
    kind::{CheckEntry, Kind},
    model::{failure::Invalid, observation::Timing, redaction::SentSecrets, secret::Secret, units::Size, words::Phase},
};

/// Settings of an `http` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// URL of the request: `http://` or `https://`, without user name and password.
    pub url: HttpUrl,
    /// Method of the request.
    #[serde(default)]
    pub method: Method,
    /// Request headers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// Body of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Secret>,
    /// User name and password for HTTP basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<Box<BasicAuth>>,
    /// Token for HTTP bearer authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<Secret>,
    /// File that contains the bearer token. The file is read at each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<SecretFile>,
    /// Status codes that mean success: codes (`200`), ranges (`200-299`) or classes (`2xx`).
    #[serde(default)]
    pub expect_status: Statuses,
    /// Maximum number of redirects to follow: `false` (none), `true` (5) or `{max: N}`. Credentials and configured
    /// headers are not sent to another origin. Redirects to link-local addresses and to metadata addresses of cloud
    /// providers are refused unless `url` itself has such an address.
    #[serde(default)]
    pub follow_redirects: Redirects,
    /// TLS settings for `https` URLs.
    #[serde(default)]
    pub tls: Tls,
    /// URL of a forward proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Box<Proxy>>,
    /// Address family of the connection.
    #[serde(default)]
    pub address_family: AddressFamily,
    /// Host name to send instead of the host of `url`, in `Host` or `:authority` and in the TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Maximum size of the response body after decompression. The run fails with `too_large` if the body is larger.
    #[serde(default = "a_mebibyte")]
    pub body_limit: Size,
    /// HTTP version to use.
    #[serde(default)]
    pub http_version: HttpVersion,
    /// Whether the connection is kept for the next run. A new connection for each run measures the experience of a new
    /// client.
    #[serde(default)]
    pub keep_alive: bool,
}

fn a_mebibyte() -> Size {
    Size(1 << 20)
}

impl Kind for Http {
    const NAME: &'static str = "http";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::Response];
    const DOC: &'static str = include_str!("http.md");
    const CHECKS: &'static [CheckEntry<HttpFacts>] = checks::CHECKS;
    const RENAMED: &'static [(&'static str, &'static str)] = &[("reuse", "keep_alive")];
    type Probe = HttpProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        self.tls.validate()?;
        self.credentials().validate(&request::MANAGED_HEADERS)?;
        if self.body_limit.0 == 0 {
            return Err(Invalid::at("body_limit", "no body can be smaller than nothing: write a size such as 1MiB"));
        }
        if self.tls != Tls::default() && !self.url.is_https() && self.follow_redirects.0 == 0 {
            return Err(Invalid::at("tls", "the URL is not encrypted: write https://, or remove `tls`"));
        }
        if self.http_version == HttpVersion::Two && self.proxy.is_some() && !self.url.is_https() {
            return Err(Invalid::at("http_version", "a proxy is spoken to in HTTP/1.1: remove `http_version`"));
        }
        if self.host.as_deref().is_some_and(|host| host.contains('@') || host.parse::<Authority>().is_err()) {
            return Err(Invalid::at("host", "not a host: write a name, with a port if it is not the usual one"));
        }
        framing::request_uri(&self.url, framing::Framing::Proxied, "")
            .map_err(|failure| Invalid::at("url", failure.detail))?;
        Ok(())
    }

    fn validate_requests(&self, requests: &[HttpFactRequest]) -> Result<(), Invalid> {
        if requests.contains(&HttpFactRequest::Certificates) && !self.url.is_https() {
            return Err(Invalid::at("url", "a `certificate` check needs an encrypted connection: write https://"));
        }
        if requests.contains(&HttpFactRequest::Body) && self.method == Method::Head {
            return Err(Invalid::at("method", "an answer to HEAD has no body for a `response` check to look at"));
        }
        Ok(())
    }

    fn sent_secrets(&self) -> SentSecrets {
        let mut secrets = self.credentials().sent_secrets(&self.url);
        self.body.iter().for_each(|body| secrets.add_sent_text(body.expose()));
        self.proxy.iter().for_each(|proxy| proxy.add_secrets_to(&mut secrets));
        secrets
    }

    fn build(self, requests: Vec<HttpFactRequest>, _shared: &Arc<Resources>) -> Result<HttpProbe, Invalid> {
        Ok(HttpProbe::new(self, requests.contains(&HttpFactRequest::Body)))
    }
}

impl Http {
    fn credentials(&self) -> Credentials<'_> {
        Credentials {
            headers: &self.headers,
            basic_auth: self.basic_auth.as_deref(),
            bearer_token: self.bearer_token.as_ref(),
            bearer_token_file: self.bearer_token_file.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;
