//! One request and its answer over a connection that stands.
//!
//! hyper's connection is driven beside the exchange, in the same task: nothing is spawned, so dropping the exchange
//! closes the connection.

use std::future::Future;

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::CONTENT_ENCODING,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::{Body, Collector};
use crate::{
    dial,
    probe::{Context, Failure, Phase, Reason},
    tls,
    units::Size,
};

/// Larger heads than this are refused: an endless one must end somewhere.
const LARGEST_HEAD: usize = 64 << 10;
/// More headers than this are refused: hyper's own default, for which it needs no memory of its own.
const MOST_HEADERS: usize = 100;

/// The answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// What to do with the body of the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) limit: Size,
    pub(super) keep: bool,
}

/// HTTP/1.1 over a fresh connection.
pub(super) async fn http1<S>(
    cx: &Context,
    stream: S,
    request: Request<Full<Bytes>>,
    reading: Reading,
) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .max_header_size(LARGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error))?;
    beside(connection, exchange(cx, sender.send_request(request), reading)).await
}

async fn exchange(
    cx: &Context,
    sent: impl Future<Output = hyper::Result<Response<Incoming>>>,
    reading: Reading,
) -> Result<Answer, Failure> {
    let (head, body) = cx.phase(Phase::Request, sent).await.map_err(|error| failure(&error))?.into_parts();
    let body = cx.phase(Phase::Response, read(&head.headers, body, reading)).await?;
    Ok(Answer { status: head.status, version: head.version, headers: head.headers, body })
}

async fn read(headers: &HeaderMap, mut body: Incoming, reading: Reading) -> Result<Body, Failure> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let mut collector = Collector::new(encoding, reading.limit, reading.keep)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        // The other frames are trailers.
        if let Some(piece) = frame.data_ref() {
            collector.push(piece)?;
        }
    }
    collector.finish()
}

/// Drives a connection while an exchange needs it.
async fn beside<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        // What ended the connection, the exchange hears too.
        _ = connection => exchange.await,
        done = &mut exchange => done,
    }
}

fn failure(error: &hyper::Error) -> Failure {
    if let Some(failure) = tls::failure_in("TLS", error) {
        return failure;
    }
    let protocol = |text: &str| Failure::new(Reason::Protocol, text);
    if error.is_parse_too_large() {
        let text = format!("the head of the answer is larger than 64KiB or has more than {MOST_HEADERS} headers");
        return Failure::new(Reason::TooLarge, text);
    }
    if error.is_parse_version_h2() {
        return protocol("the other end speaks only HTTP/2: set `http_version: \"2\"`");
    }
    if error.is_parse() {
        return protocol("the other end answers with something that is not HTTP");
    }
    if error.is_incomplete_message() {
        return protocol("the other end closed the connection before its answer was complete");
    }
    match std::error::Error::source(error).and_then(|cause| cause.downcast_ref()) {
        Some(cause) => dial::broken("the connection broke", cause),
        None => Failure::from_error(Reason::Protocol, "the exchange failed", error),
    }
}
