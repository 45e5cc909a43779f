//! Answers: status, type, length and body, alike on every route.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Method, Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{self, HeaderValue},
};
use serde::Serialize;

use crate::{exposition::MetricsPage, outgoing::PageStream};

pub(super) type ServerResponse = Response<ResponseBody>;

/// A body: a page that is shared with other clients, and small parts of its own after it.
#[derive(Debug, Default)]
pub(super) struct ResponseBody {
    shared: Option<PageStream>,
    tail: VecDeque<Bytes>,
}

/// The rest of the page has been withdrawn, since newer pages needed the room.
#[derive(Debug, thiserror::Error)]
#[error("the client read too slowly: the rest of its page made room for newer pages")]
pub(super) struct PageWithdrawn;

impl<const N: usize> From<[Bytes; N]> for ResponseBody {
    fn from(parts: [Bytes; N]) -> Self {
        Self { shared: None, tail: parts.into_iter().filter(|part| !part.is_empty()).collect() }
    }
}

impl From<PageStream> for ResponseBody {
    fn from(shared: PageStream) -> Self {
        Self { shared: Some(shared), tail: VecDeque::new() }
    }
}

impl From<MetricsPage> for ResponseBody {
    fn from(page: MetricsPage) -> Self {
        Self { shared: page.main, tail: page.tail }
    }
}

impl ResponseBody {
    fn len(&self) -> u64 {
        let tail: u64 = self.tail.iter().map(|part| part.len() as u64).sum();
        self.shared.as_ref().map_or(0, PageStream::remaining) + tail
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = PageWithdrawn;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PageWithdrawn>>> {
        let part = match self.shared.as_mut().filter(|shared| shared.remaining() > 0) {
            Some(shared) => shared.next().ok_or(PageWithdrawn).map(Some),
            None => Ok(self.tail.pop_front()),
        };
        Poll::Ready(part.map(|part| part.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

/// An answer of a media type; not to be stored by anyone, for it tells of this moment.
pub(super) fn with_media_type(
    status: StatusCode,
    media: &'static str,
    parts: impl Into<ResponseBody>,
) -> ServerResponse {
    let mut response = Response::new(parts.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Plain text, with a line end at its end.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> ServerResponse {
    let mut text = text.into();
    text.push('\n');
    with_media_type(status, "text/plain; charset=utf-8", [Bytes::from(text)])
}

/// JSON for people who read it with curl: indented.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> ServerResponse {
    match serde_json::to_vec_pretty(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            with_media_type(status, "application/json", [Bytes::from(bytes)])
        }
        // Values of the API are numbers and texts; if one could not be written, that is a bug to report.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("can't write the answer: {error}")),
    }
}

/// An error for a script.
pub(super) fn json_error(status: StatusCode, error: &str) -> ServerResponse {
    json(status, &serde_json::json!({ "error": error }))
}

/// What every answer needs in the end: its length, and no body for HEAD.
pub(super) fn finalize(mut response: ServerResponse, method: &Method) -> ServerResponse {
    let length = HeaderValue::from(response.body().len());
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    if method == Method::HEAD {
        *response.body_mut() = ResponseBody::default();
    }
    response
}
