//! One request and its response over an established connection.
//!
//! A connection of hyper is a future that must be polled. Unless the connection is kept, the task of the exchange polls
//! both: no task is spawned, so that dropping the exchange closes the connection.

use std::{
    future::{Future, poll_fn},
    io,
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
    body::{Body, BodyOptions, Collector},
    wire::{IdleLimit, InterimResponses, PacedStream, ReceivedBytes, ambiguous_end, refuse_ambiguous_end},
};
use crate::{
    io::{context::Context, dial, tls},
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// Maximum size of the head of a response.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Maximum number of headers of a response: the default of hyper, which needs no allocation.
const MAX_HEADERS: usize = 100;

/// A response. Its body may be incomplete if the run has failed or was aborted.
#[derive(Debug)]
pub(crate) struct ReceivedResponse {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// The part of a response that was received until now. It outlives an exchange that is aborted.
#[derive(Debug, Default)]
pub(crate) struct ResponseProgress {
    /// The response, as soon as its head is complete.
    pub(crate) response: Option<ReceivedResponse>,
    /// The bytes of the response, including the head.
    pub(crate) received: ReceivedBytes,
}

/// Handle of a connection for sending requests.
#[derive(Debug)]
pub(crate) struct Sender {
    dispatch: Dispatch,
    idle_limit: IdleLimit,
    received: ReceivedBytes,
    /// The failure that ended the connection. The channel is closed without a value if the connection ended without a
    /// failure.
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
pub(crate) type HttpStream = Either<TlsStream<TcpStream>, TcpStream>;

/// Starts HTTP/1.1 or HTTP/2 (`two`) on a new connection.
pub(crate) async fn start_http(stream: HttpStream, two: bool) -> Result<(Sender, Driver), Failure> {
    let encrypted = matches!(stream, Either::Left(_));
    let idle_limit = IdleLimit::default();
    let received = ReceivedBytes::default();
    let stream = TokioIo::new(PacedStream::new(stream, idle_limit.clone(), received.clone()));
    let (report, connection_failure) = watch::channel(None);
    // An error of the connection reaches the exchange only during a request. A connection that breaks before, for
    // example because the server refuses the client certificate, merely closes the channel of requests.
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
        return Ok((Sender { dispatch: Dispatch::Http2(sender), idle_limit, received, connection_failure }, driver));
    }
    let (sender, mut connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        // RFC 9112, sections 5.1 and 5.2: a user agent may accept whitespace before the colon and folded lines. As curl,
        // the client skips lines that are no headers.
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(stream)
        .await
        .map_err(|error| hyper_failure(&error))?;
    // TLS ends with a close_notify alert. A plain connection ends when its socket is closed, and needs no shutdown.
    let drive = poll_fn(move |cx| match encrypted {
        true => Pin::new(&mut connection).poll(cx),
        false => connection.poll_without_shutdown(cx),
    });
    let driver = Box::pin(async move { report(drive.await) });
    Ok((Sender { dispatch: Dispatch::Http1(sender), idle_limit, received, connection_failure }, driver))
}

/// Sends a request and reads its response to the end, in the phases `request` and `response`. `progress` has the response
/// afterwards, and the received part of it after a failure.
pub(crate) async fn send_and_read(
    cx: &Context,
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
    options: BodyOptions,
    progress: &mut ResponseProgress,
) -> Result<(), Failure> {
    sender.received.reset();
    *progress = ResponseProgress { response: None, received: sender.received.clone() };
    let answered = cx.phase(Phase::Request, sender.send(request)).await?;
    let (head, body) = answered.into_parts();
    let response = progress.response.insert(ReceivedResponse {
        status: head.status,
        version: head.version,
        headers: head.headers,
        body: Body::default(),
    });
    cx.phase(Phase::Response, read_body(response, body, options)).await
}

impl Sender {
    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.dispatch {
            Dispatch::Http1(sender) => sender.is_closed(),
            Dispatch::Http2(sender) => sender.is_closed(),
        }
    }

    /// Marks the connection as idle until the next request. An idle connection may receive only a few bytes.
    pub(crate) fn mark_idle(&self) {
        self.idle_limit.start();
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// `protocol` or `too_large`; `protocol` also for a response whose end depends on the reader.
    pub(crate) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.idle_limit.stop();
        let interim = InterimResponses::count_for(&mut request);
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
            failure = interim.wait_until_exceeded() => return Err(failure),
            answered = answered => answered,
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => return Err(self.request_failure(&error).await),
        };
        refuse_ambiguous_end(answered.headers())?;
        Ok(answered)
    }

    /// Converts an error of a request. A closed channel or a cancelled request only means that the connection has
    /// ended. In this case, the failure is that of the connection, which its driver reports at the same time.
    async fn request_failure(&mut self, error: &hyper::Error) -> Failure {
        if error.is_closed() || error.is_canceled() {
            let ended = self.connection_failure.wait_for(Option::is_some).await;
            if let Some(cause) = ended.ok().and_then(|cause| cause.clone()) {
                return cause;
            }
        }
        hyper_failure(error)
    }
}

async fn read_body(
    response: &mut ReceivedResponse,
    mut incoming: Incoming,
    options: BodyOptions,
) -> Result<(), Failure> {
    let ReceivedResponse { headers, body, .. } = response;
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let mut collector = Collector::new(encoding, options)?;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| hyper_failure(&error))?;
        // The other frames are trailers.
        if let Some(piece) = frame.data_ref() {
            body.received += piece.len() as u64;
            collector.push(piece).await?;
            body.size = collector.size();
        }
    }
    body.kept = collector.finish()?;
    body.is_complete = true;
    Ok(())
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
                // Polling the connection or a task may add tasks.
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

/// Converts an error of hyper.
pub(crate) fn hyper_failure(error: &hyper::Error) -> Failure {
    if let Some(failure) = tls::find_failure("TLS", error) {
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
    // The text of the error is the only sign of the refused header.
    if error.is_parse() && error.to_string().contains("content-length") {
        return ambiguous_end("several Content-Length that differ, or one that is no number");
    }
    if error.is_parse() && error.to_string().contains("transfer-encoding") {
        return ambiguous_end("Transfer-Encoding in HTTP/1.0");
    }
    if error.is_parse() {
        return protocol("the other end answers with something that is not HTTP");
    }
    if error.is_incomplete_message() {
        return protocol("the other end closed the connection before its answer was complete");
    }
    match std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
            protocol("the other end closed the connection before its answer was complete")
        }
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
            let (mut sender, driver) = start_http(Either::Right(stream), two).await.unwrap();
            server.write_all(b"neither HTTP/1 nor HTTP/2, and before any request\r\n\r\n").await.unwrap();
            driver.await;
            let request = Request::new(Full::default());
            let failure = sender.send(request).await.unwrap_err();
            assert_eq!(failure.reason, Reason::Protocol);
            assert!(!failure.detail.contains("channel closed"), "HTTP/2 {two}: {failure}");
        }
    }
}
