//! The HTTP connection of a probe. It is kept between runs, and replaced after it was closed, after its maximum age, or
//! after the address of its name or a certificate of the client has changed.
//!
//! The client uses hyper directly, like the `http` kind, and not reqwest: a target may be hostile, and reqwest can't
//! bound the bytes of one read, the number of interim responses or the compressed size (its connections are private,
//! its buffers have up to 408 KiB, and it spawns its own tasks). With reqwest, a target that sent endless interim
//! responses (`100 Continue`) blocked the whole daemon for more than a second in each run.

use std::sync::Arc;

use hyper::{HeaderMap, Response, body::Incoming};
use parking_lot::{Mutex, MutexGuard};
use rustls::ClientConfig;
use tokio_util::{either::Either, task::AbortOnDropHandle};

use super::{
    exchange::{self, Sender},
    framing::{self, Framing},
    url::HttpUrl,
    version::HttpVersion,
};
use crate::{
    io::{
        context::Context,
        dial::{self, AddressFamily},
        kept::{ConnectionAge, Renewal},
        tls::Tls,
    },
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// Client with one kept connection.
#[derive(Debug)]
pub(crate) struct HttpClient {
    /// TLS settings; `None` for an unencrypted connection.
    tls: Option<Tls>,
    renewal: Renewal,
    kept: Mutex<Option<Connection>>,
}

/// An established connection. Dropping it ends the task that drives it.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    framing: Framing,
    age: ConnectionAge,
    /// TLS configuration of the handshake. A different one means that a file has changed since.
    config: Option<Arc<ClientConfig>>,
    _driver: AbortOnDropHandle<()>,
}

impl HttpClient {
    pub(crate) fn new(tls: Option<Tls>, renewal: Renewal) -> Self {
        Self { tls, renewal, kept: Mutex::default() }
    }

    /// Requests a page. After reading the response to its end, the caller returns the connection with
    /// [`HttpClient::keep_connection`].
    ///
    /// # Errors
    /// The failures of connecting, of the TLS handshake and of the request.
    pub(crate) async fn get(
        &self,
        cx: &Context,
        url: &HttpUrl,
        headers: &HeaderMap,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let config = match &self.tls {
            Some(tls) => Some(tls.client_config(&cx.shared.tls).await?),
            None => None,
        };
        let is_current = |kept: &Connection| {
            !kept.sender.is_closed() && kept.config.as_ref().map(Arc::as_ptr) == config.as_ref().map(Arc::as_ptr)
        };
        let kept = self.kept_connection().take();
        if let Some(mut kept) = kept.filter(is_current)
            && kept.age.admits_run(cx, &url.dial_host(), self.renewal).await
        {
            match kept.send_request(cx, url, headers).await {
                Ok(response) => return Ok((response, kept)),
                // The server may have closed the kept connection just now, which says nothing about its health.
                Err(failure) if failure.reason == Reason::Protocol => {}
                Err(failure) => return Err(failure),
            }
        }
        let mut fresh = self.connect(cx, url, config).await?;
        let response = fresh.send_request(cx, url, headers).await?;
        Ok((response, fresh))
    }

    /// Keeps a connection for the next run.
    pub(crate) fn keep_connection(&self, connection: Connection) {
        connection.sender.mark_idle();
        *self.kept_connection() = Some(connection);
    }

    async fn connect(
        &self,
        cx: &Context,
        url: &HttpUrl,
        config: Option<Arc<ClientConfig>>,
    ) -> Result<Connection, Failure> {
        let (stream, remote) = dial::connect(cx, &url.dial_host(), url.port(), AddressFamily::Any).await?;
        let (stream, framing) = match &self.tls {
            None => (Either::Right(stream), Framing::Direct),
            Some(tls) => {
                let handshake = tls.handshake(stream, url.host(), HttpVersion::Auto.alpn(), &cx.shared.tls);
                let stream = cx.phase(Phase::Tls, handshake).await.stream?;
                let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Either::Left(stream), if two { Framing::Two } else { Framing::Direct })
            }
        };
        let (sender, driver) = exchange::start_http(stream, framing == Framing::Two).await?;
        let age = ConnectionAge::start(remote);
        Ok(Connection { sender, framing, age, config, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }

    fn kept_connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.kept.lock()
    }
}

impl Connection {
    async fn send_request(
        &mut self,
        cx: &Context,
        url: &HttpUrl,
        headers: &HeaderMap,
    ) -> Result<Response<Incoming>, Failure> {
        let request = framing::get_request(url, self.framing, headers)?;
        cx.phase(Phase::Request, self.sender.send(request)).await
    }
}
