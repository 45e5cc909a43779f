//! A service that answers every request just as a test says, for what no real program would do.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// What it does with a connection, once the head of a request is read; the head and how many came before.
type Behaviour = Arc<dyn Fn(&mut TcpStream, &str, usize) -> std::io::Result<()> + Send + Sync>;

/// Listens until the process of the test ends; its manner can change at any time.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Service {
    /// Says that all is well.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour: Behaviour = Arc::new(|stream, _, _| stream.write_all(&ok_response()));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let current = Arc::clone(&behaviour);
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let (Ok(stream), behaviour) = (stream, Arc::clone(&current.lock().unwrap())) else { continue };
                std::thread::spawn(move || serve_connection(stream, &*behaviour, n));
            }
        });
        Self { address, behaviour }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// From the next connection on it does this.
    pub(crate) fn set_behaviour(
        &self,
        behaviour: impl Fn(&mut TcpStream, &str, usize) -> std::io::Result<()> + Send + Sync + 'static,
    ) {
        *self.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// From the next connection on it answers with this.
    pub(crate) fn set_response(&self, bytes: Vec<u8>) {
        self.set_behaviour(move |stream, _, _| stream.write_all(&bytes));
    }

    /// It answers as in the beginning.
    pub(crate) fn reset(&self) {
        self.set_response(ok_response());
    }
}

fn ok_response() -> Vec<u8> {
    http_response("200 OK", "Content-Type: application/json\r\n", br#"{"status":"ok"}"#)
}

/// A whole answer; each line of `headers` ends with CR LF.
pub(crate) fn http_response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn serve_connection(
    mut stream: TcpStream,
    behaviour: &dyn Fn(&mut TcpStream, &str, usize) -> std::io::Result<()>,
    n: usize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    behaviour(&mut stream, &String::from_utf8_lossy(&head), n)
}
