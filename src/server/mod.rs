//! The doors: HTTP for Prometheus, people and scripts, over the board's snapshots.
//!
//! Nothing here waits for a probe. What a client can take up is bounded: headers, bodies, connections and the time
//! that each may hold one, so that a thousand slow clients cost a bounded sum and delay nobody else.

mod api;
mod connections;
mod host;
mod negotiate;
mod page;
mod page_cache;
mod query;
mod response;
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
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    connections::{ConnectionGuard, Connections},
    routes::Router,
};
use crate::{
    board::Board,
    scheduler::Heartbeat,
    settings::{self, EffectiveConfig},
};

/// What the server shows and what it can ask for.
#[derive(Debug)]
pub struct ServerContext {
    /// The state of everything.
    pub board: Arc<Board>,
    /// What `/config` shows; replaced by a reload.
    pub effective: Arc<ArcSwap<EffectiveConfig>>,
    /// Where `/-/reload` asks for a reload.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Sign of life of the probes' thread.
    pub heartbeat: Arc<Heartbeat>,
    /// Settings of the server as of the start.
    pub settings: settings::Server,
}

/// A wish to reload; the answer is the error as the operator should read it.
pub type ReloadRequest = oneshot::Sender<Result<(), String>>;

/// More than any browser or scraper sends.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// So much of an answer is made ahead of a client that reads slowly, and the piece that goes beyond it. It is also the
/// room for a request, so it is more than [`MAX_HEADER_BYTES`].
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// A connection may stay this long, however busy it is: then it may finish and must come again.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(3_600);
/// What keeps failing is said this often.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// How long answers may still be under way after the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections that the kernel keeps until they are accepted. With the usual 128, a burst of clients makes the kernel
/// ignore the next one, which tries again after a second.
const ACCEPT_BACKLOG: u32 = 1_024;

/// Begins to listen on an address.
///
/// # Errors
/// The address is taken, or is no address of this machine, or needs rights that this process hasn't.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As any server does, so that a restart needn't wait for connections of the past to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)
}

/// Serves until the stop, and then until every answer under way is out, for three seconds at most.
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
            // Room first: a connection that is not accepted costs the kernel something and us nothing.
            let accepted = async {
                let guard = self.connections.acquire().await;
                (listener.accept().await, guard)
            };
            let (stream, guard) = tokio::select! {
                (accepted, guard) = accepted => match accepted {
                    Ok((stream, _)) => (stream, guard),
                    Err(error) => {
                        // Usually out of file descriptors: it would fail again at once, unless somebody leaves.
                        self.connections.close_idle();
                        if last_warning.is_none_or(|at| at.elapsed() > WARN_INTERVAL) {
                            last_warning = Some(Instant::now());
                            tracing::warn!(%error, "can't accept a connection; idle ones make room");
                        }
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = self.stop.cancelled() => return,
            };
            // Before the next one asks for room: only who has begun can be shown out.
            guard.register();
            self.tasks.spawn(serve_connection(stream, guard, Arc::clone(&self.router), self.stop.clone()));
        }
    }
}

/// One connection, to its end.
async fn serve_connection(stream: TcpStream, guard: ConnectionGuard, router: Arc<Router>, stop: CancellationToken) {
    // An answer is written in few large pieces; waiting to fill packets would only delay the last one.
    let _ = stream.set_nodelay(true);
    // Read from the socket, because the client could write anything into its `Host` header.
    let local = stream.local_addr().ok();
    let service = service_fn(|request: Request<Incoming>| {
        guard.record_request();
        let router = Arc::clone(&router);
        async move { Ok::<_, Infallible>(router.respond(request, local).await) }
    });
    // The ticket's time takes the place of hyper's header timeout, which knows nothing of slow readers.
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
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = guard.wait_until_closed() => return,
            () = stop.cancelled(), if !is_ending => {}
            () = sleep_until(until), if !is_ending => {}
        }
        is_ending = true;
        connection.as_mut().graceful_shutdown();
    }
}
