//! What is sent: one request of a run, the first or one that a redirect led to.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::{
    Request,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};

use super::{Http, Method};
use crate::io::http::{
    USER_AGENT,
    framing::{Framing, invalid_request, request_uri},
};
use crate::{io::http::url::HttpUrl, model::failure::Failure};

/// One request of a run, before it is known how it travels.
#[derive(Debug)]
pub(super) struct PreparedRequest<'a> {
    pub(super) target: Cow<'a, HttpUrl>,
    pub(super) method: Method,
    pub(super) body: Bytes,
    /// Whether it still goes to the origin of the configured URL: only there go credentials and the user's headers.
    pub(super) same_origin: bool,
    /// Whether addresses that are local to this machine may be asked: the configured host may be one, and others only
    /// if it is.
    pub(super) near: bool,
}

/// What goes to any origin, if it is configured.
const CROSS_ORIGIN_HEADERS: [HeaderName; 4] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT];
/// What the probe or the connection decides.
pub(super) const MANAGED_HEADERS: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl<'a> PreparedRequest<'a> {
    /// The request that was configured.
    pub(super) fn first(http: &'a Http) -> Self {
        let body = http.body.as_ref().map(|body| Bytes::copy_from_slice(body.expose().as_bytes())).unwrap_or_default();
        Self { target: Cow::Borrowed(&http.url), method: http.method, body, same_origin: true, near: true }
    }
}

impl Http {
    /// Puts a request together; `authorization` is left out where the hop has left the configured origin.
    pub(super) fn request(
        &self,
        hop: &PreparedRequest<'_>,
        form: Framing,
        authorization: Option<&HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut headers =
            self.credentials().headers(&MANAGED_HEADERS).map_err(|invalid| invalid_request(&invalid.message))?;
        if hop.same_origin {
            headers.extend(authorization.map(|value| (header::AUTHORIZATION, value.clone())));
        } else {
            let others: Vec<_> = headers.keys().filter(|name| !CROSS_ORIGIN_HEADERS.contains(name)).cloned().collect();
            for name in others {
                headers.remove(name);
            }
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
        if let (Framing::Proxied, Some(proxy)) = (form, &self.proxy) {
            headers.extend(proxy.authorization()?.map(|value| (header::PROXY_AUTHORIZATION, value)));
        }
        let mut request = Request::new(Full::new(hop.body.clone()));
        *request.method_mut() = hop.method.into();
        *request.uri_mut() = request_uri(&hop.target, form, &authority)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The value of `Host` or `:authority`.
    fn authority(&self, hop: &PreparedRequest<'_>) -> String {
        match &self.host {
            Some(host) if hop.same_origin => host.clone(),
            _ => hop.target.authority().into_owned(),
        }
    }
}
