//! A listener with an accept queue that can be filled, so that the system does not answer new connections.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A listener; it exists until the process of the test ends.
pub(crate) struct Queue {
    pub(crate) address: SocketAddr,
    accepts: Arc<AtomicBool>,
}

impl Queue {
    /// Starts to accept all connections.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _guard = runtime.enter();
        // The standard library does not allow to choose the length of the queue.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let accepts = Arc::new(AtomicBool::new(true));
        let may = Arc::clone(&accepts);
        std::thread::spawn(move || {
            loop {
                while may.load(Ordering::SeqCst) && listener.accept().is_ok() {}
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { address, accepts }
    }

    /// Stops accepting and fills the queue. Returns the connections that wait in the queue.
    pub(crate) fn fill(&self) -> Vec<TcpStream> {
        self.accepts.store(false, Ordering::SeqCst);
        let mut waiting = Vec::new();
        for _ in 0..10 {
            match TcpStream::connect_timeout(&self.address, Duration::from_millis(200)) {
                Ok(stream) => waiting.push(stream),
                Err(_) => return waiting,
            }
        }
        panic!("{} connections, and the queue of one is not full", waiting.len());
    }

    /// Accepts connections again.
    pub(crate) fn empty(&self, waiting: Vec<TcpStream>) {
        drop(waiting);
        self.accepts.store(true, Ordering::SeqCst);
    }
}
