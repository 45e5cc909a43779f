//! Requests of a run: the configured request, and the targets of redirects.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::{
    HeaderMap, Request,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};

use super::{Http, Method, cookies::CookieJar};
use crate::{
    io::{
        context::Context,
        http::{
            USER_AGENT,
            auth::secret_value,
            framing::{Framing, invalid_request, request_uri},
            oauth2::TokenCache,
            url::HttpUrl,
        },
    },
    model::{failure::Failure, redaction::SentSecrets},
};

/// One request of a run, independent of its framing.
#[derive(Debug)]
pub(super) struct PreparedRequest<'a> {
    pub(super) target: Cow<'a, HttpUrl>,
    pub(super) method: Method,
    pub(super) body: Bytes,
    /// Whether the request goes to the origin of the configured URL. Only this origin receives credentials and the
    /// configured headers.
    pub(super) same_origin: bool,
    /// Whether addresses that are local to this machine are allowed: the configured host may have one, and others only
    /// if the configured host has one.
    pub(super) near: bool,
}

/// Headers of a run that are not known before its start.
#[derive(Debug, Default)]
pub(super) struct SentHeaders {
    authorization: Option<HeaderValue>,
    /// Whether the authorization is a token that an earlier run has requested.
    pub(super) has_kept_token: bool,
    /// Headers with values in files.
    from_files: HeaderMap,
    pub(super) cookies: CookieJar,
}

/// Configured headers that are also sent to another origin.
const CROSS_ORIGIN_HEADERS: [HeaderName; 4] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT];
/// Headers that the probe or the connection sets.
pub(super) const MANAGED_HEADERS: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl SentHeaders {
    /// Reads the files of secrets and registers the secrets for redaction.
    ///
    /// # Errors
    /// The failure of a file.
    pub(super) async fn read(settings: &Http, cx: &Context, tokens: &TokenCache) -> Result<Self, Failure> {
        let (authorization, has_kept_token) = match &settings.oauth2 {
            Some(oauth2) => {
                let (value, is_kept) = oauth2.authorization(cx, tokens).await?;
                (Some(value), is_kept)
            }
            None => (settings.credentials().authorization(cx).await?, false),
        };
        let mut from_files = HeaderMap::new();
        let mut secrets = SentSecrets::default();
        for (name, file) in &settings.header_files {
            let secret = file.read(&cx.shared).await?;
            secrets.add_header(name, secret.expose());
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| invalid_request(&error))?;
            let value = secret_value(secret.expose()).map_err(|mut failure| {
                failure.detail = format!("secret file {} has bytes that no header may have", file.0.display());
                failure
            })?;
            from_files.insert(name, value);
        }
        if !from_files.is_empty() {
            cx.register_secrets(|registered| *registered = secrets);
        }
        Ok(Self { authorization, has_kept_token, from_files, cookies: CookieJar::default() })
    }
}

impl<'a> PreparedRequest<'a> {
    /// The configured request.
    pub(super) fn first(http: &'a Http) -> Self {
        let body = http.body.as_ref().map(|body| Bytes::copy_from_slice(body.expose().as_bytes())).unwrap_or_default();
        Self { target: Cow::Borrowed(&http.url), method: http.method, body, same_origin: true, near: true }
    }
}

impl Http {
    /// Builds a request. Credentials are left out if a redirect has left the configured origin.
    pub(super) fn request(
        &self,
        hop: &PreparedRequest<'_>,
        form: Framing,
        sent: &SentHeaders,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut headers =
            self.credentials().headers(&MANAGED_HEADERS).map_err(|invalid| invalid_request(&invalid.message))?;
        if hop.same_origin {
            headers.extend(sent.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
            headers.extend(sent.from_files.clone());
        } else {
            let others: Vec<_> = headers.keys().filter(|name| !CROSS_ORIGIN_HEADERS.contains(name)).cloned().collect();
            for name in others {
                headers.remove(name);
            }
        }
        if let Some(cookies) = sent.cookies.header(&hop.target, headers.get(header::COOKIE)) {
            headers.insert(header::COOKIE, cookies);
        }
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let authority = self.authority(hop);
        if form != Framing::Two {
            let host = HeaderValue::from_str(&authority).map_err(|error| invalid_request(&error))?;
            headers.insert(header::HOST, host);
            if !self.keep_alive {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        if form == Framing::Proxied {
            headers.extend(self.headers_for_proxy()?);
        }
        let mut request = Request::new(Full::new(hop.body.clone()));
        *request.method_mut() = hop.method.into();
        *request.uri_mut() = request_uri(&hop.target, form, &authority)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Headers for the proxy: `proxy_headers`, and the login in the URL of the proxy.
    pub(super) fn headers_for_proxy(&self) -> Result<HeaderMap, Failure> {
        let Some(proxy) = &self.proxy else { return Ok(HeaderMap::new()) };
        let mut headers =
            self.proxy_headers().headers(&MANAGED_HEADERS).map_err(|invalid| invalid_request(&invalid.message))?;
        headers.extend(proxy.authorization()?.map(|value| (header::PROXY_AUTHORIZATION, value)));
        Ok(headers)
    }

    /// Whether the configured `Accept-Encoding` names an encoding with a large window.
    pub(super) fn accepts_large_windows(&self) -> bool {
        let mut accepted = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
        accepted.any(|(_, value)| ["br", "zstd", "*"].iter().any(|encoding| value.expose().contains(encoding)))
    }

    /// The host of the first connection: the proxy or the host of the URL.
    pub(super) fn nearest(&self) -> &HttpUrl {
        self.proxy.as_ref().map_or(&self.url, |proxy| proxy.target())
    }

    /// Registers the cookies of the next request for redaction, because they may identify a session.
    pub(super) fn register_cookies(cx: &Context, sent: &SentHeaders, to: &HttpUrl) {
        if let Some(value) = sent.cookies.header(to, None) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            cx.register_secrets(|secrets| secrets.add_header(header::COOKIE.as_str(), &value));
        }
    }

    /// The value of `Host` or `:authority`.
    fn authority(&self, hop: &PreparedRequest<'_>) -> String {
        match &self.host {
            Some(host) if hop.same_origin => host.clone(),
            _ => hop.target.authority().into_owned(),
        }
    }
}
