#![doc = include_str!("http.md")]

pub mod checks;
mod connection;
mod cookies;
mod facts;
mod options;
mod probe;
mod proxy;
mod redirect;
pub(crate) mod request;

use std::{collections::BTreeMap, sync::Arc};

use hyper::{
    header::{self, HeaderName},
    http::uri::Authority,
};
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
pub use crate::io::http::{auth::BasicAuth, oauth2::OAuth2, url::HttpUrl, version::HttpVersion};
use crate::{
    io::{dial::AddressFamily, http::framing, kept::Renewal, resources::Resources, secret_file::SecretFile, tls::Tls},
    kind::{CheckEntry, Kind},
    model::{
        failure::Invalid,
        observation::Timing,
        redaction::SentSecrets,
        secret::Secret,
        units::{Period, Size},
        words::Phase,
    },
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
    /// Request headers with values in files, by name: `{X-Api-Key: /run/secrets/key}`. The files are read at each
    /// run, and the values are never displayed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header_files: BTreeMap<String, SecretFile>,
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
    /// OAuth 2.0 client credentials for a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<Box<OAuth2>>,
    /// Status codes that mean success: codes (`200`), ranges (`200-299`) or classes (`2xx`).
    #[serde(default)]
    pub expect_status: Statuses,
    /// Maximum number of redirects to follow: `false` (none), `true` (5) or `{max: N}`. Credentials and configured
    /// headers are not sent to another origin. Redirects to link-local addresses and to metadata addresses of cloud
    /// providers are refused unless `url` itself has such an address.
    #[serde(default)]
    pub follow_redirects: Redirects,
    /// Whether cookies that a response sets are sent with the following redirects of the same run, to the host or domain
    /// that has set them. Every run starts without cookies.
    #[serde(default = "yes")]
    pub cookies: bool,
    /// TLS settings for `https` URLs.
    #[serde(default)]
    pub tls: Tls,
    /// URL of a forward proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Box<Proxy>>,
    /// Headers that are sent only to the proxy, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_headers: BTreeMap<String, Secret>,
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
    /// Maximum age of a kept connection. A run after this time opens a new one, so that the name, the address and the
    /// certificate are checked again. The name is also resolved every 30 s, and the connection is replaced if the name no
    /// longer has its address. Default: 1h; with a `certificate` check 1m or 10 runs, whichever ends first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_age: Option<Period>,
}

fn yes() -> bool {
    true
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
        self.validate_oauth2()?;
        self.validate_header_files()?;
        self.validate_proxy_headers()?;
        Renewal::validate(self.max_connection_age)?;
        if self.max_connection_age.is_some() && !self.keep_alive {
            let text = "connections are not kept: set `keep_alive: true`, or remove `max_connection_age`";
            return Err(Invalid::at("max_connection_age", text));
        }
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

    fn target(&self) -> Option<String> {
        Some(format!("{}:{}", self.url.host(), self.url.port()))
    }

    fn sent_secrets(&self) -> SentSecrets {
        let mut secrets = self.credentials().sent_secrets(&self.url);
        self.body.iter().for_each(|body| secrets.add_sent_text(body.expose()));
        self.oauth2.iter().for_each(|oauth2| oauth2.add_secrets_to(&mut secrets));
        self.proxy.iter().for_each(|proxy| proxy.add_secrets_to(&mut secrets));
        self.proxy_headers.iter().for_each(|(name, value)| secrets.add_header(name, value.expose()));
        secrets
    }

    fn build(self, requests: Vec<HttpFactRequest>, _shared: &Arc<Resources>) -> Result<HttpProbe, Invalid> {
        let renewal =
            Renewal::from_settings(self.max_connection_age, requests.contains(&HttpFactRequest::Certificates));
        Ok(HttpProbe::new(self, requests.contains(&HttpFactRequest::Body), renewal))
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

    /// The headers for the proxy, with the same rules as the headers for the target.
    fn proxy_headers(&self) -> Credentials<'_> {
        Credentials { headers: &self.proxy_headers, basic_auth: None, bearer_token: None, bearer_token_file: None }
    }

    fn validate_oauth2(&self) -> Result<(), Invalid> {
        match &self.oauth2 {
            Some(_) if self.credentials().has_authorization() => {
                Err(Invalid::at("oauth2", "there are other credentials: only one of them can be sent"))
            }
            Some(oauth2) => oauth2.validate(),
            None => Ok(()),
        }
    }

    fn validate_header_files(&self) -> Result<(), Invalid> {
        let headers = self.credentials().headers(&request::MANAGED_HEADERS)?;
        for name in self.header_files.keys() {
            let wrong = |text: &str| Err(Invalid::at("header_files", format!("header `{name}`: {text}")));
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else { return wrong("not a name for a header") };
            if request::MANAGED_HEADERS.contains(&parsed) {
                return wrong("it is set by the probe itself");
            }
            let others = self.header_files.keys().filter(|other| other.eq_ignore_ascii_case(name)).count();
            if headers.contains_key(&parsed) || others > 1 {
                return wrong("it is there twice");
            }
            let has_others = self.credentials().has_authorization() || self.oauth2.is_some();
            if parsed == header::AUTHORIZATION && has_others {
                return wrong("there are other credentials: only one of them can be sent");
            }
        }
        Ok(())
    }

    fn validate_proxy_headers(&self) -> Result<(), Invalid> {
        let wrong = |text: &str| Err(Invalid::at("proxy_headers", text.to_owned()));
        let headers = self
            .proxy_headers()
            .headers(&request::MANAGED_HEADERS)
            .map_err(|invalid| Invalid::at("proxy_headers", invalid.message))?;
        match &self.proxy {
            None if !headers.is_empty() => wrong("there is no proxy to send them to: set `proxy`"),
            Some(proxy) if proxy.has_login() && headers.contains_key(header::PROXY_AUTHORIZATION) => {
                wrong("`proxy` has a user, and `proxy-authorization` is another one: remove one of them")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
