//! Answers: status, type, length and body, alike on every route.

use std::{
    collections::VecDeque,
    convert::Infallible,
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

use crate::{gzip::Unpacker, metrics::Page};

pub(super) type Answer = Response<Parts>;

/// A body in parts that are kept elsewhere too, so that a large page is never copied, after one that is unpacked as
/// the client reads it.
#[derive(Debug, Default)]
pub(super) struct Parts {
    unpacked: Option<Unpacker>,
    ready: VecDeque<Bytes>,
}

impl<const N: usize> From<[Bytes; N]> for Parts {
    fn from(parts: [Bytes; N]) -> Self {
        Self { unpacked: None, ready: parts.into_iter().filter(|part| !part.is_empty()).collect() }
    }
}

impl From<Unpacker> for Parts {
    fn from(unpacked: Unpacker) -> Self {
        Self { unpacked: Some(unpacked), ready: VecDeque::new() }
    }
}

impl From<Page> for Parts {
    fn from(page: Page) -> Self {
        Self { unpacked: page.unpacked, ready: page.parts }
    }
}

impl Parts {
    fn len(&self) -> u64 {
        let ready: u64 = self.ready.iter().map(|part| part.len() as u64).sum();
        self.unpacked.as_ref().map_or(0, Unpacker::left) + ready
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let unpacked = self.unpacked.as_mut().and_then(Iterator::next);
        let part = unpacked.or_else(|| self.ready.pop_front());
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

/// An answer of a media type; not to be stored by anyone, for it tells of this moment.
pub(super) fn of(status: StatusCode, media: &'static str, parts: impl Into<Parts>) -> Answer {
    let mut answer = Response::new(parts.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Plain text, with a line end at its end.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut text = text.into();
    text.push('\n');
    of(status, "text/plain; charset=utf-8", [Bytes::from(text)])
}

/// JSON for people who read it with curl: indented.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            of(status, "application/json", [Bytes::from(bytes)])
        }
        // Values of the API are numbers and texts; if one could not be written, that is a bug to report.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("can't write the answer: {error}")),
    }
}

/// An error for a script.
pub(super) fn json_error(status: StatusCode, error: &str) -> Answer {
    json(status, &serde_json::json!({ "error": error }))
}

/// What every answer needs in the end: its length, and no body for HEAD.
pub(super) fn finish(mut answer: Answer, method: &Method) -> Answer {
    let length = HeaderValue::from(answer.body().len());
    answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    if method == Method::HEAD {
        *answer.body_mut() = Parts::default();
    }
    answer
}
