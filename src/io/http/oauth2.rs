//! OAuth 2.0 client credentials (RFC 6749, section 4.4): a token endpoint exchanges a secret for an access token, which is
//! kept until shortly before its expiry.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request,
    body::Bytes,
    header::{self, HeaderValue},
};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::either::Either;
use url::form_urlencoded;

use super::{
    USER_AGENT,
    auth::{basic_auth_value, secret_value},
    body::BodyOptions,
    exchange::{self, ReceivedResponse, ResponseProgress},
    framing::{Framing, invalid_request, request_uri},
    url::HttpUrl,
    version::HttpVersion,
};
use crate::{
    io::{
        context::Context,
        dial::{self, AddressFamily},
        secret_file::{SecretFile, SecretSource},
        tls::Tls,
    },
    model::{
        failure::{Failure, Invalid},
        redaction::SentSecrets,
        secret::Secret,
        text::excerpt,
        units::Size,
        words::{Phase, Reason},
    },
};

/// OAuth 2.0 client credentials. A token is requested from the token endpoint, kept until shortly before its expiry, and
/// sent as bearer token.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// URL of the token endpoint.
    pub token_url: HttpUrl,
    /// Identifier of the client.
    pub client_id: String,
    /// Secret of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// File that contains the secret of the client. The file is read for each token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<SecretFile>,
    /// Scopes to request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Further parameters of the token request, such as `audience`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoint_params: BTreeMap<String, Secret>,
    /// Place of the client credentials in the token request.
    #[serde(default)]
    pub auth_style: AuthStyle,
    /// TLS settings for the token endpoint.
    #[serde(default)]
    pub tls: Tls,
}

/// Place of the client credentials in a token request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthStyle {
    /// HTTP basic authentication, which every server supports.
    #[default]
    Header,
    /// Parameters in the body of the request.
    Body,
}

/// The current access token of a probe.
#[derive(Debug, Default)]
pub(crate) struct TokenCache(Mutex<Option<AccessToken>>);

#[derive(Debug, Clone)]
struct AccessToken {
    token: Secret,
    expires: Instant,
}

/// Body of a successful response (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct TokenResponse {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<f64>,
}

/// Body of a failure (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct TokenError {
    error: String,
    error_description: Option<String>,
}

/// Maximum size of the response of a token endpoint.
const MAX_RESPONSE: Size = Size(64 << 10);
/// Lifetime of a token whose response does not state it.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Maximum time for which a token is kept.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Time before its expiry at which a token is replaced; at most a tenth of its lifetime.
const MAX_EXPIRY_MARGIN: Duration = Duration::from_secs(30);

impl OAuth2 {
    /// Validates rules between the keys.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    pub(crate) fn validate(&self) -> Result<(), Invalid> {
        if self.client_secret.is_some() == self.client_secret_file.is_some() {
            return Err(Invalid::at("oauth2", "write either `client_secret` or `client_secret_file`"));
        }
        if self.client_id.is_empty() {
            return Err(Invalid::at("oauth2", "`client_id` is empty"));
        }
        if self.tls != Tls::default() && !self.token_url.is_https() {
            return Err(Invalid::at("oauth2", "`token_url` is not encrypted: write https://, or remove `tls`"));
        }
        let ours = ["grant_type", "scope", "client_id", "client_secret"];
        if let Some(name) = self.endpoint_params.keys().find(|name| ours.contains(&name.as_str())) {
            return Err(Invalid::at("oauth2", format!("`endpoint_params` has `{name}`, which the probe sets itself")));
        }
        if self.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            return Err(Invalid::at("oauth2", "a scope is a word: write a list such as [read, write]"));
        }
        self.tls.validate().map_err(|invalid| Invalid::at("oauth2", format!("`tls`: {}", invalid.message)))
    }

    /// Adds the secrets in the configuration.
    pub(crate) fn add_secrets_to(&self, secrets: &mut SentSecrets) {
        secrets.add_query(self.token_url.url().query().unwrap_or_default());
        self.client_secret.iter().for_each(|secret| secrets.add_basic_auth(&self.client_id, secret.expose()));
        self.endpoint_params.values().for_each(|value| secrets.add_sent_text(value.expose()));
    }

    /// Value of `Authorization` with the current token, and whether the token is from an earlier run. The token is
    /// registered for redaction.
    ///
    /// # Errors
    /// The failure of the secret file or of the token request.
    pub(crate) async fn authorization(&self, cx: &Context, cache: &TokenCache) -> Result<(HeaderValue, bool), Failure> {
        let kept = cache.0.lock().clone().filter(|token| token.expires > Instant::now());
        let is_kept = kept.is_some();
        let token = match kept {
            Some(token) => token,
            None => {
                // The phases of the token request are not those of the probe.
                let own = Context::new(cx.remaining(), std::sync::Arc::clone(&cx.shared));
                let token = cx.phase(Phase::Login, self.request_token(&own)).await;
                own.take_registered_secrets().into_iter().for_each(|held| cx.hold_secrets(held));
                let token = token?;
                *cache.0.lock() = Some(token.clone());
                token
            }
        };
        cx.register_secrets(|secrets| secrets.add_credential(token.token.expose()));
        Ok((secret_value(&format!("Bearer {}", token.token.expose()))?, is_kept))
    }

    async fn request_token(&self, cx: &Context) -> Result<AccessToken, Failure> {
        let in_words = |failure: Failure| {
            Failure::new(failure.reason, format!("no token from {}: {}", self.token_url, failure.detail))
        };
        let asked = Instant::now();
        let request = self.request(cx).await?;
        let response = self.exchange(cx, request).await.map_err(in_words)?;
        self.read_token(&response, asked).map_err(in_words)
    }

    async fn request(&self, cx: &Context) -> Result<Request<Full<Bytes>>, Failure> {
        let source = SecretSource::from_settings(self.client_secret.as_ref(), self.client_secret_file.as_ref());
        let secret = match source {
            Some(source) => source.read(&cx.shared).await?,
            None => return Err(invalid_request("there is no client secret")),
        };
        if self.client_secret.is_none() {
            cx.register_secrets(|secrets| secrets.add_basic_auth(&self.client_id, secret.expose()));
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        let mut headers = HeaderMap::new();
        match self.auth_style {
            AuthStyle::Header => {
                // RFC 6749, section 2.3.1: both are form-encoded before basic authentication.
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let (id, encoded) = (encode(&self.client_id), Secret::from(encode(secret.expose())));
                cx.register_secrets(|secrets| secrets.add_basic_auth(&id, encoded.expose()));
                headers.insert(header::AUTHORIZATION, basic_auth_value(&id, &encoded)?);
            }
            AuthStyle::Body => {
                form.append_pair("client_id", &self.client_id).append_pair("client_secret", secret.expose());
            }
        }
        form.extend_pairs(self.endpoint_params.iter().map(|(name, value)| (name, value.expose())));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let mut request = Request::new(Full::new(Bytes::from(form.finish())));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn exchange(&self, cx: &Context, request: Request<Full<Bytes>>) -> Result<ReceivedResponse, Failure> {
        let url = &self.token_url;
        let (stream, _) = dial::connect(cx, url.host(), url.port(), AddressFamily::Any).await?;
        let stream = match url.is_https() {
            false => Either::Right(stream),
            true => {
                let alpn = HttpVersion::One.alpn();
                Either::Left(self.tls.handshake(stream, url.host(), alpn, &cx.shared.tls).await.stream?)
            }
        };
        let mut request = request;
        let authority = url.authority();
        *request.uri_mut() = request_uri(url, Framing::Direct, &authority)?;
        let host = HeaderValue::from_str(&authority).map_err(|error| invalid_request(&error))?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let (mut sender, driver) = exchange::start_http(stream, false).await?;
        let options = BodyOptions { limit: MAX_RESPONSE, keep: true, accepts_large_windows: false };
        let mut progress = ResponseProgress::default();
        exchange::drive_while(driver, exchange::send_and_read(cx, &mut sender, request, options, &mut progress))
            .await?;
        progress.response.ok_or_else(|| Failure::new(Reason::Internal, "a complete exchange has no response"))
    }

    fn read_token(&self, response: &ReceivedResponse, asked: Instant) -> Result<AccessToken, Failure> {
        let refused = |reason, text: String| Err(Failure::new(reason, text));
        let body = response.body.kept.as_deref().unwrap_or_default();
        let status = response.status.as_u16();
        if !response.status.is_success() {
            let told = match serde_json::from_slice::<TokenError>(body) {
                Ok(TokenError { error, error_description: Some(text) }) => {
                    format!(": {} ({})", excerpt(&error, 40), excerpt(&text, 120))
                }
                Ok(TokenError { error, .. }) => format!(": {}", excerpt(&error, 40)),
                Err(_) => String::new(),
            };
            let is_refusal = matches!(status, 400..=403);
            let advice = if is_refusal { "; check the client, its secret and its scopes" } else { "" };
            let reason = if is_refusal { Reason::Auth } else { Reason::Status };
            return refused(reason, format!("it answered with status {status}{told}{advice}"));
        }
        // The error of the parser may quote the token, so it must not be displayed.
        let Ok(TokenResponse { access_token, token_type, expires_in }) = serde_json::from_slice(body) else {
            return refused(
                Reason::Parse,
                "its response is not the JSON of a token (RFC 6749, section 5.1)".to_owned(),
            );
        };
        if let Some(kind) = token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            let text = format!("its token has the type `{}`; only bearer tokens are supported", excerpt(&kind, 20));
            return refused(Reason::Auth, text);
        }
        let Some(token) = access_token.filter(|token| !token.is_empty()) else {
            return refused(Reason::Auth, "its response has no `access_token`".to_owned());
        };
        Ok(AccessToken { token: Secret::from(token), expires: asked + kept_for(expires_in) })
    }
}

impl TokenCache {
    /// Forgets the token, because a server has refused it.
    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}

/// Time for which a token is kept.
fn kept_for(expires_in: Option<f64>) -> Duration {
    let lifetime = match expires_in {
        Some(seconds) => Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME),
        None => DEFAULT_LIFETIME,
    };
    lifetime.saturating_sub(MAX_EXPIRY_MARGIN.min(lifetime / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_until_shortly_before_its_expiry() {
        for (expires_in, seconds) in [
            (Some(3600.0), 3570),
            (Some(60.0), 54),
            (Some(0.0), 0),
            (Some(-5.0), 0),
            (Some(1e300), 86_370),
            (Some(f64::NAN), 0),
            (None, 270),
        ] {
            assert_eq!(kept_for(expires_in).as_secs(), seconds, "{expires_in:?}");
        }
    }
}
