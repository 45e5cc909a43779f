//! A small order service as a target: it responds to HTTP, processes orders through a connection pool, exposes metrics
//! and can be made to fail. Its customers run in the same process.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::Instant};

use super::faults::Faults;

const POOL_SIZE: usize = 20;
const BUCKET_BOUNDS: [f64; 9] = [0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0];

/// Order rate and duration: together they use about a third of the pool.
const ORDERS_PER_SECOND: f64 = 40.0;
const ORDER_DURATION: Duration = Duration::from_millis(120);

/// State of the service: pool, counters and faults.
#[derive(Debug)]
pub(super) struct Service {
    faults: Arc<Faults>,
    pool: Semaphore,
    waiting: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKET_BOUNDS.len()],
    micros: AtomicU64,
}

impl Service {
    pub(super) fn new(faults: Arc<Faults>) -> Arc<Self> {
        Arc::new(Self {
            faults,
            pool: Semaphore::new(POOL_SIZE),
            waiting: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            buckets: Default::default(),
            micros: AtomicU64::new(0),
        })
    }

    /// Serves HTTP until it is dropped.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    let service = Arc::clone(&self);
                    connections.spawn(async move {
                        let answer = service_fn(|request| Arc::clone(&service).answer(request));
                        // A client may disconnect at any time.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Sends orders until it is dropped.
    pub(super) async fn send_orders(self: Arc<Self>) {
        let mut orders = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / ORDERS_PER_SECOND));
        loop {
            tokio::select! {
                _ = tick.tick() => { orders.spawn(Arc::clone(&self).handle_order()); }
                Some(_) = orders.join_next() => {}
            }
        }
    }

    async fn handle_order(self: Arc<Self>) -> bool {
        let start = Instant::now();
        self.waiting.fetch_add(1, Relaxed);
        let connection = tokio::time::timeout(Duration::from_secs(2), self.pool.acquire()).await;
        self.waiting.fetch_sub(1, Relaxed);
        let worked = match connection {
            Ok(Ok(_connection)) => {
                tokio::time::sleep(self.faults.scaled_duration(ORDER_DURATION)).await;
                !self.faults.fails_next_answer()
            }
            // An exhausted pool: no connection became free within two seconds.
            _ => false,
        };
        self.record_order(start.elapsed(), worked);
        worked
    }

    fn record_order(&self, took: Duration, worked: bool) {
        let (counter, seconds) = (if worked { &self.succeeded } else { &self.failed }, took.as_secs_f64());
        counter.fetch_add(1, Relaxed);
        self.micros.fetch_add((seconds * 1e6) as u64, Relaxed);
        for (bucket, _) in self.buckets.iter().zip(BUCKET_BOUNDS).filter(|(_, bound)| seconds <= *bound) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
        let (status, kind, body) = match request.uri().path() {
            "/health/ready" => {
                tokio::time::sleep(self.faults.answer_delay()).await;
                if self.faults.fails_next_answer() {
                    (StatusCode::INTERNAL_SERVER_ERROR, "application/json", r#"{"status":"error"}"#.to_owned())
                } else {
                    (StatusCode::OK, "application/json", r#"{"status":"ok","version":"2.4.1"}"#.to_owned())
                }
            }
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics()),
            _ => (StatusCode::NOT_FOUND, "text/plain", "try /health/ready or /metrics\n".to_owned()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if let Ok(kind) = kind.parse() {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    fn metrics(&self) -> String {
        use std::fmt::Write;
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let (succeeded, failed) = (read(&self.succeeded), read(&self.failed));
        let (used, waiting) = (POOL_SIZE - self.pool.available_permits(), read(&self.waiting));
        let mut page = format!(
            "# HELP orders_total Orders handled.\n# TYPE orders_total counter\norders_total {}\n\
             # HELP orders_failed_total Orders that failed.\n# TYPE orders_failed_total counter\norders_failed_total {failed}\n\
             # HELP orders_pool_connections Database connections in use.\n# TYPE orders_pool_connections gauge\n\
             orders_pool_connections {used}\n\
             # HELP orders_pool_waiting Orders that wait for a connection.\n# TYPE orders_pool_waiting gauge\n\
             orders_pool_waiting {waiting}\n\
             # HELP orders_pool_connections_max Most database connections.\n# TYPE orders_pool_connections_max gauge\n\
             orders_pool_connections_max {POOL_SIZE}\n\
             # HELP orders_duration_seconds Time to handle an order.\n# TYPE orders_duration_seconds histogram\n",
            succeeded + failed,
        );
        for (bucket, bound) in self.buckets.iter().zip(BUCKET_BOUNDS) {
            let _ = writeln!(page, "orders_duration_seconds_bucket{{le=\"{bound}\"}} {}", read(bucket));
        }
        let (count, sum) = (succeeded + failed, read(&self.micros) as f64 / 1e6);
        let _ = writeln!(page, "orders_duration_seconds_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(page, "orders_duration_seconds_sum {sum}\norders_duration_seconds_count {count}");
        page
    }

    /// Holds most connections of the pool until the returned permit is dropped.
    pub(super) async fn exhaust_pool(self: &Arc<Self>) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.pool.acquire_many(POOL_SIZE as u32 - 1).await.ok()
    }
}
