//! Request framing: the request line and the headers depend on the protocol and on a proxy.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Uri,
    body::Bytes,
    header::{self, HeaderValue},
    http::uri::{Authority, PathAndQuery, Scheme},
};

use super::url::HttpUrl;
use crate::model::{failure::Failure, words::Reason};

/// Framing of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// HTTP/1.1 to the server, also through a tunnel.
    Direct,
    /// HTTP/1.1 to a proxy that forwards the request.
    Proxied,
    /// HTTP/2.
    Two,
}

/// Builds a GET request with these headers and `Host`.
pub(crate) fn get_request(
    target: &HttpUrl,
    form: Framing,
    headers: &HeaderMap,
) -> Result<Request<Full<Bytes>>, Failure> {
    let authority = target.authority();
    let mut request = Request::new(Full::default());
    *request.uri_mut() = request_uri(target, form, &authority)?;
    *request.headers_mut() = headers.clone();
    if form != Framing::Two {
        let host = HeaderValue::from_str(&authority).map_err(|error| invalid_request(&error))?;
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

/// URI of the request line, or of the pseudo-headers of HTTP/2.
pub(crate) fn request_uri(target: &HttpUrl, form: Framing, authority: &str) -> Result<Uri, Failure> {
    let path = PathAndQuery::try_from(target.path_and_query()).map_err(|error| invalid_request(&error))?;
    if form == Framing::Direct {
        return Ok(Uri::from(path));
    }
    // A proxy needs the address of the target; a server needs the configured `Host`.
    let authority = if form == Framing::Two { Cow::Borrowed(authority) } else { target.authority() };
    let scheme = if target.is_https() { Scheme::HTTPS } else { Scheme::HTTP };
    let authority = Authority::try_from(&*authority).map_err(|error| invalid_request(&error))?;
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|error| invalid_request(&error))
}

pub(crate) fn invalid_request(error: &(impl ToString + ?Sized)) -> Failure {
    Failure::new(Reason::Internal, format!("no request can be made: {}", error.to_string()))
}
