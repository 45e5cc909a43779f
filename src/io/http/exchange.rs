//! One request and its response over an established connection.
//!
//! hyper's connection is a future that must be polled. Unless the connection is to be kept, the task of the exchange
//! polls both: nothing is spawned, so dropping the exchange closes the connection.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
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
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{
    body::{Body, Collector},
    wire::{Interim, Paced, Rest, ambiguous, refuse_ambiguous_end},
};
use crate::{
    io::{context::Context, dial, tls},
    model::{
        failure::Failure,
        units::Size,
        words::{Phase, Reason},
    },
};

/// Largest head of a response; larger ones are refused.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Most headers of a response: hyper's default, for which it allocates nothing.
const MAX_HEADERS: usize = 100;

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

/// The handle of a connection that accepts requests.
#[derive(Debug)]
pub(crate) struct Sender {
    dispatch: Dispatch,
    rest: Rest,
    /// The failure by which the connection ended; closed without a value when it ended without one.
    connection_failure: watch::Receiver<Option<Failure>>,
}

#[derive(Debug)]
enum Dispatch {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// The future that drives a connection; it ends with the connection.
pub(crate) type Driver = BoxFuture<'static, ()>;

/// An established connection, encrypted or not.
pub(crate) type Stream = Either<TlsStream<TcpStream>, TcpStream>;

/// Starts HTTP on a fresh connection.
pub(crate) async fn open(stream: Stream, two: bool) -> Result<(Sender, Driver), Failure> {
    let encrypted = matches!(stream, Either::Left(_));
    let rest = Rest::default();
    let stream = TokioIo::new(Paced::new(stream, rest.clone()));
    let (report, connection_failure) = watch::channel(None);
    // An error of the connection reaches the exchange only if a request is under way. A connection that breaks before,
    // for example because the server refuses the client certificate, merely closes the channel of requests.
    let report = move |ended: hyper::Result<()>| {
        if let Err(error) = ended {
            report.send_replace(Some(hyper_failure(&error)));
        }
    };
    if two {
        let executor = LocalExecutor::default();
        let builder = http2::Builder::new(executor.clone()).max_header_list_size(MAX_HEAD_BYTES as u32).to_owned();
        let (sender, connection) = builder.handshake(stream).await.map_err(|error| hyper_failure(&error))?;
        let driver = Box::pin(async move { report(executor.drive(connection).await) });
        return Ok((Sender { dispatch: Dispatch::Http2(sender), rest, connection_failure }, driver));
    }
    let (sender, mut connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .handshake(stream)
        .await
        .map_err(|error| hyper_failure(&error))?;
    // TLS ends with a close_notify alert. A plain connection ends when its socket is closed, and needs no shutdown.
    let drive = poll_fn(move |cx| match encrypted {
        true => Pin::new(&mut connection).poll(cx),
        false => connection.poll_without_shutdown(cx),
    });
    let driver = Box::pin(async move { report(drive.await) });
    Ok((Sender { dispatch: Dispatch::Http1(sender), rest, connection_failure }, driver))
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
        match &self.dispatch {
            Dispatch::Http1(sender) => sender.is_closed(),
            Dispatch::Http2(sender) => sender.is_closed(),
        }
    }

    /// To be called when the connection is kept for the next run: until then it may receive only a little.
    pub(crate) fn rest(&self) {
        self.rest.begin();
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// `protocol` or `too_large`; `protocol` also for a response whose end depends on the reader.
    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.rest.end();
        let interim = Interim::count(&mut request);
        let answered = async {
            match &mut self.dispatch {
                Dispatch::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Dispatch::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        let answered = tokio::select! {
            biased;
            failure = interim.exceeded() => return Err(failure),
            answered = answered => answered,
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => return Err(self.cause(&error).await),
        };
        refuse_ambiguous_end(answered.headers())?;
        Ok(answered)
    }

    /// The failure behind an error of a request. A closed channel or a canceled request only means that the connection
    /// has ended: the connection's own failure is the cause, which its driver reports at the same time.
    async fn cause(&mut self, error: &hyper::Error) -> Failure {
        if error.is_closed() || error.is_canceled() {
            let ended = self.connection_failure.wait_for(Option::is_some).await;
            if let Some(cause) = ended.ok().and_then(|cause| cause.clone()) {
                return cause;
            }
        }
        hyper_failure(error)
    }
}

async fn read(headers: &HeaderMap, mut body: Incoming, reading: Reading) -> Result<Body, Failure> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let mut collector = Collector::new(encoding, reading.limit, reading.keep)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| hyper_failure(&error))?;
        // The other frames are trailers.
        if let Some(piece) = frame.data_ref() {
            collector.push(piece).await?;
        }
    }
    collector.finish()
}

/// Drives a connection while an exchange needs it.
pub(crate) async fn drive_while<T>(connection: impl Future + Unpin, exchange: impl Future<Output = T>) -> T {
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        _ = connection => exchange.await,
        done = &mut exchange => done,
    }
}

/// Collects the tasks that HTTP/2 would spawn, and polls them together with the connection instead.
#[derive(Clone, Default)]
struct LocalExecutor(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        let mut new = self.0.lock();
        new.push(Box::pin(async { drop(task.await) }));
    }
}

impl LocalExecutor {
    async fn drive<T>(self, connection: impl Future<Output = T>) -> T {
        let mut connection = std::pin::pin!(connection);
        let mut tasks = FuturesUnordered::new();
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = Pin::as_mut(&mut connection).poll(cx) {
                    return Poll::Ready(ended);
                }
                // New tasks come from polling the connection, or another task.
                tasks.extend(self.0.lock().drain(..));
                while let Poll::Ready(Some(())) = tasks.poll_next_unpin(cx) {}
                if self.0.lock().is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// The failure behind an error of hyper.
pub(crate) fn hyper_failure(error: &hyper::Error) -> Failure {
    if let Some(failure) = tls::failure_in("TLS", error) {
        return failure;
    }
    let protocol = |text: &str| Failure::new(Reason::Protocol, text);
    if error.is_parse_too_large() {
        let text = format!("the head of the answer is larger than 64KiB or has more than {MAX_HEADERS} headers");
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
        Some(cause) => dial::io_failure("the connection broke", cause),
        None => Failure::from_error(Reason::Protocol, "the exchange failed", error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn the_failure_of_a_connection_is_told_by_a_request_that_comes_after_it() {
        for two in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let (mut sender, driver) = open(Either::Right(stream), two).await.unwrap();
            server.write_all(b"neither HTTP/1 nor HTTP/2, and before any request\r\n\r\n").await.unwrap();
            driver.await;
            let request = Request::new(Full::default());
            let failure = sender.send(request).await.unwrap_err();
            assert_eq!(failure.reason, Reason::Protocol);
            assert!(!failure.detail.contains("channel closed"), "HTTP/2 {two}: {failure}");
        }
    }
}
