//! The HTTP server: metrics, status page, API, probes for orchestrators. It serves snapshots of the board.
//!
//! No request waits for a probe. Headers, bodies, connections and connection times are bounded, so that slow clients
//! neither exhaust memory nor delay other clients.

mod activity;
mod answers;
mod api;
mod connections;
mod host;
mod negotiate;
mod page;
mod page_cache;
mod query;
mod response;
mod route;
mod routes;
mod runbooks;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    activity::TrackedStream,
    connections::{ConnectionGuard, Connections},
    routes::Router,
};
use crate::{
    board::Board,
    scheduler::Heartbeat,
    settings::{self, EffectiveConfig},
};

/// The body of `/-/healthy` while the daemon is healthy, by which `healthcheck` tells it from another server.
pub(crate) const HEALTHY: &str = "readiness-exporter is healthy";

/// Dependencies of the server.
#[derive(Debug)]
pub struct ServerContext {
    /// The board.
    pub board: Arc<Board>,
    /// The effective configuration, served at `/config`; a reload replaces it.
    pub effective: Arc<ArcSwap<EffectiveConfig>>,
    /// Channel for the reload requests of `/-/reload`.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Heartbeat of the probe thread.
    pub heartbeat: Arc<Heartbeat>,
    /// Settings of the server; they apply from start to stop.
    pub settings: settings::Server,
}

/// A reload request. The response contains the report or the error for the operator.
pub type ReloadRequest = oneshot::Sender<Result<ReloadReport, String>>;

/// Report of a successful reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// Keys whose values differ from the running values, and that take effect only after a restart of the daemon.
    pub needs_restart: Vec<&'static str>,
}

/// Largest request header; browsers and scrapers send less.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Size of the write buffer of a connection. It also bounds the read buffer, so it must exceed [`MAX_HEADER_BYTES`].
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// Longest time of a connection; then its current request finishes and the client must reconnect.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(3_600);
/// Shortest interval between warnings about a persistent error.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// Time for current responses to finish after the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections that the kernel queues until they are accepted. With the usual 128, the kernel drops connections of a
/// burst, and their clients retry only after a second.
const ACCEPT_BACKLOG: u32 = 1_024;

/// Listens on an address.
///
/// # Errors
/// The address is in use, does not belong to this machine or needs privileges that the process lacks.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Allows a restart while connections of the previous process are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

/// Serves requests until the stop, then waits up to [`DRAIN_TIMEOUT`] for current responses.
pub async fn serve(listeners: Vec<TcpListener>, context: ServerContext, stop: CancellationToken) {
    let acceptor = Acceptor {
        router: Arc::new(Router::new(context)),
        connections: Arc::default(),
        tasks: TaskTracker::new(),
        stop,
    };
    join_all(listeners.into_iter().map(|listener| acceptor.accept(listener))).await;
    acceptor.tasks.close();
    if timeout(DRAIN_TIMEOUT, acceptor.tasks.wait()).await.is_err() {
        acceptor.connections.close_all();
        acceptor.tasks.wait().await;
    }
}

struct Acceptor {
    router: Arc<Router>,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Acceptor {
    async fn accept(&self, listener: TcpListener) {
        let mut last_warning: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The usual cause is a lack of file descriptors. Accepting would fail again until a connection
                    // closes.
                    self.connections.make_room();
                    if last_warning.is_none_or(|at| at.elapsed() > WARN_INTERVAL) {
                        last_warning = Some(Instant::now());
                        tracing::warn!(%error, "can't accept a connection; closing an idle one");
                    }
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // One accepted connection waits for its place, all after it wait in the queue of the kernel.
            let guard = tokio::select! {
                guard = self.connections.acquire(peer.ip()) => guard,
                () = self.stop.cancelled() => return,
            };
            self.tasks.spawn(serve_connection(stream, guard, Arc::clone(&self.router), self.stop.clone()));
        }
    }
}

/// Serves one connection until it closes.
async fn serve_connection(stream: TcpStream, guard: ConnectionGuard, router: Arc<Router>, stop: CancellationToken) {
    // A response consists of few large writes, so delaying packets would only delay the last one.
    let _ = stream.set_nodelay(true);
    // The address comes from the socket, because a client controls its `Host` header.
    let local = stream.local_addr().ok();
    let stream = TrackedStream::new(stream, Arc::clone(guard.activity()));
    let service = service_fn(|request: Request<Incoming>| {
        let under_way = guard.activity().begin_answer();
        let router = Arc::clone(&router);
        async move {
            // Requests that came together take turns with the requests of other connections, with signals and with reloads.
            yield_now().await;
            let mut response = router.respond(request, local).await;
            response.body_mut().keep_until_sent(under_way);
            Ok::<_, Infallible>(response)
        }
    });
    // The timeouts of the guard replace hyper's header timeout, which doesn't cover slow readers.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let until = Instant::now() + MAX_CONNECTION_AGE;
    let mut is_ending = false;
    loop {
        tokio::select! {
            end = connection.as_mut() => {
                if let Err(error) = end {
                    tracing::debug!(%error, "a connection failed");
                }
                return;
            }
            () = guard.wait_until_closed() => return,
            () = stop.cancelled(), if !is_ending => {}
            () = guard.wait_until_ending(), if !is_ending => {}
            () = sleep_until(until), if !is_ending => {}
        }
        is_ending = true;
        connection.as_mut().graceful_shutdown();
    }
}
