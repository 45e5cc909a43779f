//! Forms of a request: the request line and the headers depend on how it travels.

use std::borrow::Cow;

use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Uri,
    body::Bytes,
    header::{self, HeaderValue},
    http::uri::{Authority, PathAndQuery, Scheme},
};

use super::url::Target;
use crate::model::{failure::Failure, words::Reason};

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// HTTP/1.1, to the server itself or through a tunnel.
    Direct,
    /// HTTP/1.1, handed to a proxy.
    Proxied,
    /// HTTP/2.
    Two,
}

/// A GET request with these headers, beside which `Host` is set.
pub(crate) fn get(target: &Target, form: Form, headers: &HeaderMap) -> Result<Request<Full<Bytes>>, Failure> {
    let authority = target.authority();
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri(target, form, &authority)?;
    *request.headers_mut() = headers.clone();
    if form != Form::Two {
        let host = HeaderValue::from_str(&authority).map_err(|error| internal(&error))?;
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

/// The URI of the request line, or of the pseudo headers.
pub(crate) fn uri(target: &Target, form: Form, authority: &str) -> Result<Uri, Failure> {
    let path = PathAndQuery::try_from(target.path_and_query()).map_err(|error| internal(&error))?;
    if form == Form::Direct {
        return Ok(Uri::from(path));
    }
    // A proxy is told where to go, the server under which name it is asked.
    let authority = if form == Form::Two { Cow::Borrowed(authority) } else { target.authority() };
    let scheme = if target.is_https() { Scheme::HTTPS } else { Scheme::HTTP };
    let authority = Authority::try_from(&*authority).map_err(|error| internal(&error))?;
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().map_err(|error| internal(&error))
}

pub(crate) fn internal(error: &(impl ToString + ?Sized)) -> Failure {
    Failure::new(Reason::Internal, format!("no request can be made: {}", error.to_string()))
}
