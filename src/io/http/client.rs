//! The HTTP connection of a probe: kept from run to run, and made anew when it is gone or a certificate has changed.
//!
//! It drives hyper as the `http` kind does, rather than through reqwest: a page comes from a target that may be hostile,
//! and reqwest can bound neither what is read in one go nor the interim responses (its connections are sealed, its
//! buffers up to 408 KiB, its tasks not ours), nor what comes in compressed. A target that answered with endless
//! `100 Continue` held the whole daemon up for more than a second in each run.

use std::sync::Arc;

use hyper::{HeaderMap, Response, body::Incoming};
use parking_lot::{Mutex, MutexGuard};
use rustls::ClientConfig;
use tokio_util::{either::Either, task::AbortOnDropHandle};

use super::{
    exchange::{self, Sender},
    form::{self, Form},
    url::Target,
    version::HttpVersion,
};
use crate::{
    io::{
        context::Context,
        dial::{self, AddressFamily},
        tls::Tls,
    },
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    /// None for a connection in the clear.
    tls: Option<Tls>,
    kept: Mutex<Option<Connection>>,
}

/// A connection that takes a request. Its driver ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    form: Form,
    /// The configuration of its handshake: another one means that a file has changed since.
    config: Option<Arc<ClientConfig>>,
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    pub(crate) fn new(tls: Option<Tls>) -> Self {
        Self { tls, kept: Mutex::default() }
    }

    /// Asks for a page; the connection is to be given back to [`Client::keep`] once the response was read to its end.
    ///
    /// # Errors
    /// Those of connecting, encrypting and of an exchange.
    pub(crate) async fn get(
        &self,
        cx: &Context,
        url: &Target,
        headers: &HeaderMap,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let config = match &self.tls {
            Some(tls) => Some(tls.client_config(&cx.shared.tls).await?),
            None => None,
        };
        let is_current = |kept: &Connection| {
            !kept.sender.is_closed() && kept.config.as_ref().map(Arc::as_ptr) == config.as_ref().map(Arc::as_ptr)
        };
        let kept = self.kept().take();
        if let Some(mut kept) = kept.filter(is_current) {
            match kept.ask(cx, url, headers).await {
                Ok(response) => return Ok((response, kept)),
                // The other end may have closed it just now, which says nothing about the service.
                Err(failure) if failure.reason == Reason::Protocol => {}
                Err(failure) => return Err(failure),
            }
        }
        let mut fresh = self.connect(cx, url, config).await?;
        let response = fresh.ask(cx, url, headers).await?;
        Ok((response, fresh))
    }

    /// Keeps a connection for the next run.
    pub(crate) fn keep(&self, connection: Connection) {
        connection.sender.rest();
        *self.kept() = Some(connection);
    }

    async fn connect(
        &self,
        cx: &Context,
        url: &Target,
        config: Option<Arc<ClientConfig>>,
    ) -> Result<Connection, Failure> {
        let (stream, _) = dial::connect(cx, url.host(), url.port(), AddressFamily::Any).await?;
        let (stream, form) = match &self.tls {
            None => (Either::Right(stream), Form::Direct),
            Some(tls) => {
                let handshake = tls.handshake(stream, url.host(), HttpVersion::Auto.alpn(), &cx.shared.tls);
                let stream = cx.phase(Phase::Tls, handshake).await.stream?;
                let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Either::Left(stream), if two { Form::Two } else { Form::Direct })
            }
        };
        let (sender, driver) = exchange::open(stream, form == Form::Two).await?;
        Ok(Connection { sender, form, config, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }

    fn kept(&self) -> MutexGuard<'_, Option<Connection>> {
        self.kept.lock()
    }
}

impl Connection {
    async fn ask(&mut self, cx: &Context, url: &Target, headers: &HeaderMap) -> Result<Response<Incoming>, Failure> {
        let request = form::get(url, self.form, headers)?;
        cx.phase(Phase::Request, self.sender.send(request)).await
    }
}
