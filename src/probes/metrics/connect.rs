//! Takes the connects of an HTTP client, TLS handshakes included, off the event loop.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use crate::shared::Shared;

/// Lets every connect to a host run in the lane of handshakes.
#[derive(Clone)]
pub(super) struct InLane {
    pub(super) host: Arc<str>,
    pub(super) shared: Arc<Shared>,
}

/// A connector below [`InLane`].
#[derive(Clone)]
pub(super) struct Connector<S> {
    below: S,
    lane: InLane,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<S> Layer<S> for InLane {
    type Service = Connector<S>;

    fn layer(&self, below: S) -> Connector<S> {
        Connector { below, lane: self.clone() }
    }
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.below.poll_ready(task)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (connecting, InLane { host, shared }) = (self.below.call(request), self.lane.clone());
        Box::pin(async move { shared.handshakes.drive(&host, connecting).await? })
    }
}
