//! HTTP responses with uniform headers.

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

use super::activity::AnswerUnderWay;
use crate::{
    exposition::MetricsPage,
    outgoing::{ChunkBatch, PageStream},
};

pub(super) type ServerResponse = Response<ResponseBody>;

/// Response body: a shared page, followed by parts of this response.
#[derive(Debug, Default)]
pub(super) struct ResponseBody {
    shared: Option<PageStream>,
    tail: VecDeque<Bytes>,
    /// Whether the task of the connection lets others go first before the next piece.
    must_yield: bool,
    /// Counted as long as there is a body.
    under_way: Option<AnswerUnderWay>,
}

/// The rest of the page was withdrawn to make room for newer pages.
#[derive(Debug, thiserror::Error)]
#[error("the client read too slowly: its page was withdrawn to make room for newer pages")]
pub(super) struct PageWithdrawn;

impl<const N: usize> From<[Bytes; N]> for ResponseBody {
    fn from(parts: [Bytes; N]) -> Self {
        Self { tail: parts.into_iter().filter(|part| !part.is_empty()).collect(), ..Self::default() }
    }
}

impl From<PageStream> for ResponseBody {
    fn from(shared: PageStream) -> Self {
        Self { shared: Some(shared), ..Self::default() }
    }
}

impl From<MetricsPage> for ResponseBody {
    fn from(page: MetricsPage) -> Self {
        Self { shared: page.main, tail: page.tail, ..Self::default() }
    }
}

impl ResponseBody {
    /// The answer is made, and under way until its body is dropped.
    pub(super) fn keep_until_sent(&mut self, under_way: AnswerUnderWay) {
        under_way.record_made();
        self.under_way = Some(under_way);
    }

    fn len(&self) -> u64 {
        let tail: u64 = self.tail.iter().map(|part| part.len() as u64).sum();
        self.shared.as_ref().map_or(0, PageStream::remaining) + tail
    }
}

impl Body for ResponseBody {
    type Data = ChunkBatch;
    type Error = PageWithdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<ChunkBatch>, PageWithdrawn>>> {
        if std::mem::take(&mut self.must_yield) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Each piece that is decompressed takes a while.
        self.must_yield = matches!(self.shared, Some(PageStream::Decompressed(_))) && self.len() > 0;
        let part = match self.shared.as_mut().filter(|shared| shared.remaining() > 0) {
            Some(shared) => shared.next_batch().ok_or(PageWithdrawn).map(Some),
            None => Ok(self.tail.pop_front().map(ChunkBatch::from)),
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

/// Creates a response with a media type. Caches must not store it, because it describes the current state.
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

/// Creates a plain-text response with a trailing line break.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> ServerResponse {
    let mut text = text.into();
    text.push('\n');
    with_media_type(status, "text/plain; charset=utf-8", [Bytes::from(text)])
}

/// Creates a JSON response, indented for people.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> ServerResponse {
    match serde_json::to_vec_pretty(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            with_media_type(status, "application/json", [Bytes::from(bytes)])
        }
        // API values always serialize; a failure is a bug.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("can't serialize the response: {error}")),
    }
}

/// Creates a JSON error response.
pub(super) fn json_error(status: StatusCode, error: &str) -> ServerResponse {
    json(status, &serde_json::json!({ "error": error }))
}

/// Another copy of an answer with a body that is not shared with other clients.
pub(super) fn duplicate(response: &ServerResponse) -> ServerResponse {
    let tail = response.body().tail.clone();
    let mut copy = Response::new(ResponseBody { tail, ..ResponseBody::default() });
    *copy.status_mut() = response.status();
    *copy.headers_mut() = response.headers().clone();
    copy
}

/// Sets the content length, and removes the body for HEAD requests.
pub(super) fn finalize(mut response: ServerResponse, method: &Method) -> ServerResponse {
    let length = HeaderValue::from(response.body().len());
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    if method == Method::HEAD {
        *response.body_mut() = ResponseBody::default();
    }
    response
}
