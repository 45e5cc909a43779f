//! Clients that ask for more than the daemon can answer: each gets its turn, and nothing else waits for them.

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    raw::{connect, daemon},
    vitals::Vitals,
};

/// More than the daemon has places.
const GREEDY_CLIENTS: usize = 140;
const PIPELINING_CLIENTS: usize = 100;
/// Requests that are sent together.
const PIPELINED: usize = 16;

/// Clients on threads of their own, which count their answers until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
    answers: Arc<AtomicU64>,
}

impl Crowd {
    fn start(count: usize, client: impl Fn(&AtomicBool, &AtomicU64) -> u64 + Clone + Send + 'static) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..count).map(|_| {
            let (stop, answers, client) = (Arc::clone(&stop), Arc::clone(&answers), client.clone());
            std::thread::Builder::new().stack_size(256 << 10).spawn(move || client(&stop, &answers)).unwrap()
        });
        Self { clients: clients.collect(), stop, answers }
    }

    /// The answers of each client.
    fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().unwrap()).collect()
    }
}

/// Reads one answer; gives the length of its body.
fn read_answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let read = std::io::copy(&mut stream.by_ref().take(length as u64), &mut std::io::sink())?;
    if read == length as u64 { Ok(length) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Sends batches of requests, reads the answers and comes back at once, on a new connection where the old one ended.
fn ask_on_and_on(address: SocketAddr, batch: &str, size: usize, stop: &AtomicBool, total: &AtomicU64) -> u64 {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect(address) else { continue };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut stream = BufReader::new(stream);
        'connection: while !stop.load(Ordering::Relaxed) {
            if stream.get_mut().write_all(batch.as_bytes()).is_err() {
                break;
            }
            for _ in 0..size {
                if read_answer(&mut stream).is_err() {
                    break 'connection;
                }
                answers += 1;
                total.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    answers
}

/// One scrape on a connection of its own.
fn scrape(address: SocketAddr) -> Duration {
    let start = Instant::now();
    let mut stream = connect(address);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    assert!(read_answer(&mut BufReader::new(stream)).unwrap() > 1_000);
    start.elapsed()
}

#[test]
fn a_hundred_and_forty_greedy_clients_and_a_scraper_all_get_their_answers() {
    let (_service, _home, daemon) = daemon();
    let address = daemon.address;
    let crowd = Crowd::start(GREEDY_CLIENTS, move |stop, total| {
        ask_on_and_on(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 1, stop, total)
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut scrapes: Vec<Duration> = (0..20)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            scrape(address)
        })
        .collect();
    scrapes.sort();
    let answers = crowd.end();
    let total: u64 = answers.iter().sum();
    println!("{total} answers, at least {:?} each; 20 scrapes, worst {:?}", answers.iter().min(), scrapes[19]);
    assert!(scrapes[19] < Duration::from_secs(1), "{scrapes:?}");
    assert!(answers.iter().all(|count| *count > 0), "{answers:?}");
    assert_eq!(daemon.check("shop/health").status, "pass");
}

#[test]
fn pipelined_requests_delay_neither_health_checks_nor_the_end() {
    let (_service, _home, daemon) = daemon();
    let address = daemon.address;
    let accept = ",".repeat(8 << 10);
    let paths =
        ["/ready", "/api/v1/status", "/api/v1/checks/shop/health", "/runbooks/ReadinessProbeDown", "/runbooks/"];
    for (n, path) in paths.into_iter().enumerate() {
        let accept = if n == 0 { format!("Accept: {accept}*/*\r\n") } else { String::new() };
        let batch = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n").repeat(PIPELINED);
        let crowd =
            Crowd::start(PIPELINING_CLIENTS, move |stop, total| ask_on_and_on(address, &batch, PIPELINED, stop, total));
        std::thread::sleep(Duration::from_millis(200));
        let vitals = Vitals::watch(&daemon);
        std::thread::sleep(Duration::from_secs(3));
        let signs = vitals.end();
        println!("{path}: {} answers", crowd.answers.load(Ordering::Relaxed));
        if n + 1 == paths.len() {
            // While they go on.
            daemon.terminate();
            crowd.end();
            signs.assert_alive(path);
            return;
        }
        crowd.end();
        signs.assert_alive(path);
    }
}
