//! One request and its answer over a connection that stands.
//!
//! hyper's connection is a future that somebody must drive. Unless a connection is to be kept, it is driven beside
//! the exchange, in the same task: nothing is spawned, so dropping the exchange closes the connection.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
    header::CONTENT_ENCODING,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{
    body::{Body, Collector},
    wire::{Interim, Paced, ambiguous, refuse_ambiguous_end},
};
use crate::{
    io::{context::Context, dial, tls},
    model::{
        failure::Failure,
        units::Size,
        words::{Phase, Reason},
    },
};

/// Larger heads than this are refused: an endless one must end somewhere.
const LARGEST_HEAD: usize = 64 << 10;
/// More headers than this are refused: hyper's own default, for which it needs no memory of its own.
const MOST_HEADERS: usize = 100;

/// The answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// What to do with the body of the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) limit: Size,
    pub(crate) keep: bool,
}

/// The end of a connection that takes requests.
#[derive(Debug)]
pub(crate) enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// What drives a connection; done when the connection is.
pub(crate) type Driver = BoxFuture<'static, ()>;

/// A connection that stands, encrypted or not.
pub(crate) type Stream = Either<TlsStream<TcpStream>, TcpStream>;

/// Starts HTTP on a fresh connection.
pub(crate) async fn open(stream: Stream, two: bool) -> Result<(Sender, Driver), Failure> {
    let encrypted = matches!(stream, Either::Left(_));
    let stream = TokioIo::new(Paced::new(stream));
    // How a connection ended, the exchange hears too.
    if two {
        let side = Side::default();
        let builder = http2::Builder::new(side.clone()).max_header_list_size(LARGEST_HEAD as u32).to_owned();
        let (sender, connection) = builder.handshake(stream).await.map_err(|error| failure(&error))?;
        return Ok((Sender::Two(sender), Box::pin(side.drive(connection))));
    }
    let (sender, mut connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .max_header_size(LARGEST_HEAD)
        .handshake(stream)
        .await
        .map_err(|error| failure(&error))?;
    // TLS ends with a goodbye. A plain connection ends when its socket is closed, and needs no shutdown before.
    let drive = poll_fn(move |cx| match encrypted {
        true => Pin::new(&mut connection).poll(cx).map(drop),
        false => connection.poll_without_shutdown(cx).map(drop),
    });
    Ok((Sender::One(sender), Box::pin(drive)))
}

/// Sends a request and reads its answer to the end, in the phases `request` and `response`.
pub(crate) async fn ask(
    cx: &Context,
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
    reading: Reading,
) -> Result<Answer, Failure> {
    let answered = cx.phase(Phase::Request, sender.send(request)).await?;
    let (head, body) = answered.into_parts();
    let body = cx.phase(Phase::Response, read(&head.headers, body, reading)).await?;
    Ok(Answer { status: head.status, version: head.version, headers: head.headers, body })
}

impl Sender {
    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            Self::Two(sender) => sender.is_closed(),
        }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// `protocol` or `too_large`; `protocol` also for a response whose end depends on the reader.
    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let interim = Interim::count(&mut request);
        let answered = async {
            match self {
                Self::One(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        let answered = tokio::select! {
            biased;
            failure = interim.exceeded() => return Err(failure),
            answered = answered => answered.map_err(|error| failure(&error))?,
        };
        refuse_ambiguous_end(answered.headers())?;
        Ok(answered)
    }
}

async fn read(headers: &HeaderMap, mut body: Incoming, reading: Reading) -> Result<Body, Failure> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let mut collector = Collector::new(encoding, reading.limit, reading.keep)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        // The other frames are trailers.
        if let Some(piece) = frame.data_ref() {
            collector.push(piece).await?;
        }
    }
    collector.finish()
}

/// Drives a connection while an exchange needs it.
pub(crate) async fn beside<T>(connection: impl Future + Unpin, exchange: impl Future<Output = T>) -> T {
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        _ = connection => exchange.await,
        done = &mut exchange => done,
    }
}

/// Takes the tasks that HTTP/2 wants to have spawned, to drive them beside the connection instead.
#[derive(Clone, Default)]
struct Side(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Side {
    fn execute(&self, task: F) {
        let mut new = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        new.push(Box::pin(async { drop(task.await) }));
    }
}

impl Side {
    async fn drive(self, connection: impl Future) {
        let mut connection = std::pin::pin!(connection);
        let mut tasks = FuturesUnordered::new();
        poll_fn(|cx| {
            loop {
                if Pin::as_mut(&mut connection).poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                // New tasks come from polling the connection, or another task.
                tasks.extend(self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
                while let Poll::Ready(Some(())) = tasks.poll_next_unpin(cx) {}
                if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

/// The failure behind an error of hyper.
pub(crate) fn failure(error: &hyper::Error) -> Failure {
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
    // hyper has no other way to tell which header it refuses.
    if error.is_parse() && error.to_string().contains("content-length") {
        return ambiguous("several Content-Length that differ, or one that is no number");
    }
    if error.is_parse() && error.to_string().contains("transfer-encoding") {
        return ambiguous("Transfer-Encoding in HTTP/1.0");
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
