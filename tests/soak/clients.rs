//! Who asks the daemon: clients that scrape as Prometheus does, and some that read slowly or never end their request.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

/// Between two scrapes of a client.
const EVERY: Duration = Duration::from_secs(5);
/// As Prometheus' own limit for an interval of 10 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// A slow client goes and comes back, a little after the daemon has shown it out.
const GIVE_UP: Duration = Duration::from_secs(75);

/// What all clients have seen so far.
#[derive(Default)]
pub(crate) struct Clients {
    scrapes: AtomicU64,
    slow: AtomicU64,
    problems: Mutex<Vec<String>>,
}

impl Clients {
    pub(crate) fn scrapes(&self) -> u64 {
        self.scrapes.load(Ordering::Relaxed)
    }

    pub(crate) fn slow(&self) -> u64 {
        self.slow.load(Ordering::Relaxed)
    }

    fn problem(&self, text: String) {
        self.problems.lock().expect("nobody panics with it").push(text);
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.lock().expect("nobody panics with it").iter().take(5).cloned().collect()
    }
}

/// Lets them loose; they end with the process.
pub(crate) fn start(daemon: SocketAddr, scrapers: usize, slow: usize) -> Arc<Clients> {
    let clients = Arc::<Clients>::default();
    for n in 0..scrapers {
        tokio::spawn(scrape(daemon, n, Arc::clone(&clients)));
    }
    for n in 0..slow {
        tokio::spawn(dawdle(daemon, n, Arc::clone(&clients)));
    }
    clients
}

/// The body of an answer of 200.
pub(crate) async fn get(daemon: SocketAddr, method: &str, path: &str) -> io::Result<String> {
    let bytes = ask(daemon, &format!("{method} {path} HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n")).await?;
    let text = String::from_utf8_lossy(&bytes);
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(text.chars().take(300).collect::<String>())),
    }
}

async fn ask(daemon: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(daemon).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    timeout(PATIENCE, exchange).await.map_err(|_| io::Error::other("no answer in time"))??;
    Ok(answer)
}

/// Every third asks for OpenMetrics, every second for gzip.
async fn scrape(daemon: SocketAddr, n: usize, clients: Arc<Clients>) {
    let accept = if n % 3 == 0 { "accept: application/openmetrics-text;version=1.0.0\r\n" } else { "" };
    let encoding = if n % 2 == 0 { "accept-encoding: gzip\r\n" } else { "" };
    let request = format!("GET /metrics HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n{accept}{encoding}\r\n");
    sleep(EVERY.mul_f64(n as f64 / 20.0)).await;
    loop {
        let start = Instant::now();
        let problem = match ask(daemon, &request).await {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 200 ") => missing(&answer),
            Ok(answer) => Some(String::from_utf8_lossy(&answer).chars().take(100).collect()),
            Err(error) => Some(error.to_string()),
        };
        clients.scrapes.fetch_add(1, Ordering::Relaxed);
        if let Some(problem) = problem {
            clients.problem(format!("a scrape went wrong after {:?}: {problem}", start.elapsed()));
        }
        sleep(EVERY.saturating_sub(start.elapsed())).await;
    }
}

/// A connection whose kernel takes little of an answer: else the daemon would be done with it at once.
async fn narrow(daemon: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    socket.connect(daemon).await
}

/// What an answer lacks that promises more than it brings.
fn missing(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), answer.len() - end - 4);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    (length.parse() != Ok(body)).then(|| format!("a page of {length} bytes ends after {body}"))
}

/// Half of them never end their request; the others read a page at a few kilobytes a second until they are cut off.
/// What the daemon's kernel still has for them then would last for minutes.
async fn dawdle(daemon: SocketAddr, n: usize, clients: Arc<Clients>) {
    let mut buffer = [0; 512];
    // Each has another page before it, as it would be in the long run.
    sleep(GIVE_UP.mul_f64(n as f64 / 20.0)).await;
    loop {
        if let Ok(mut stream) = narrow(daemon).await {
            let request: &[u8] = if n % 2 == 0 {
                b"GET /metrics HTTP/1.1\r\nhost: "
            } else {
                b"GET /metrics HTTP/1.1\r\nhost: soak\r\n\r\n"
            };
            let _ = stream.write_all(request).await;
            let reading = async {
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let closed = timeout(GIVE_UP, reading).await;
            if n % 2 == 0 && closed.is_err() {
                clients.problem(format!("a request that never ends was not cut off within {GIVE_UP:?}"));
            }
        }
        clients.slow.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(500)).await;
    }
}
