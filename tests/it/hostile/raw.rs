//! A client that sends just the bytes it is told, and the daemon that it attacks.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::harness::{
    daemon::{Daemon, Home},
    service::Service,
};

/// A daemon with one healthy probe, `shop`.
pub(super) fn daemon() -> (Service, Home, Daemon) {
    let service = Service::start();
    let home = Home::new(&[&format!("- name: shop\n  tcp: {{address: \"{}\"}}", service.address)]);
    let daemon = home.serve();
    daemon.wait_for("shop/health", "pass");
    (service, home, daemon)
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(15))).unwrap();
    stream
}

/// How a conversation ended.
#[derive(Debug)]
pub(super) struct End {
    /// All bytes that came, decoded with replacement characters.
    pub(super) text: String,
    pub(super) took: Duration,
    /// Whether the server closed the connection, in order or with a reset, within the time.
    pub(super) is_closed: bool,
}

impl End {
    /// The status of each answer, where answers have small bodies of text.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let lines = self.text.split("HTTP/1.1 ").skip(1);
        lines.filter_map(|line| line.get(..3)?.parse().ok()).collect()
    }
}

/// Sends bytes and reads until the server closes, or says nothing for `patience`.
pub(super) fn converse(address: SocketAddr, bytes: &[u8], patience: Duration) -> End {
    let start = Instant::now();
    let mut stream = connect(address);
    // The server may refuse, and close, before it has read all of it.
    let _ = stream.write_all(bytes);
    read_to_end(stream, start, patience)
}

pub(super) fn read_to_end(mut stream: TcpStream, start: Instant, patience: Duration) -> End {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut all = Vec::new();
    let mut part = [0; 16 << 10];
    let is_closed = loop {
        match stream.read(&mut part) {
            Ok(0) => break true,
            Ok(read) => all.extend(&part[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break false,
            Err(_) => break true,
        }
    };
    End { text: String::from_utf8_lossy(&all).into_owned(), took: start.elapsed(), is_closed }
}

/// Sends the same bytes again and again until the server closes; gives how many it took, and for how long.
pub(super) fn flood(address: SocketAddr, first: &[u8], again: &[u8], limit: Duration) -> (usize, Duration) {
    let start = Instant::now();
    let mut stream = connect(address);
    let mut sent = 0;
    let mut bytes = first;
    while start.elapsed() < limit {
        match stream.write(bytes) {
            Ok(0) | Err(_) => return (sent, start.elapsed()),
            Ok(written) => sent += written,
        }
        bytes = again;
    }
    panic!("the server still takes bytes after {limit:?}: {sent}");
}
