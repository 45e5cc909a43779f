//! The real server on a free port, and a plain client that sends just what it is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use readiness_exporter::{
    board::Board,
    scheduler::Heartbeat,
    server::{self, ReloadRequest, ServerContext},
    settings,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) reloads: mpsc::Receiver<ReloadRequest>,
    pub(crate) serving: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn open(board: Arc<Board>) -> Self {
        Self::with(board, true).await
    }

    pub(crate) async fn with(board: Arc<Board>, lifecycle: bool) -> Self {
        // The name that `ask` uses.
        let allowed_hosts = vec!["test".to_owned()];
        Self::of(board, settings::Server { listen: Vec::new(), lifecycle, external_url: None, allowed_hosts }).await
    }

    pub(crate) async fn of(board: Arc<Board>, settings: settings::Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reload, reloads) = mpsc::channel(1);
        let effective = Arc::new(ArcSwap::from_pointee("service: eventcore\ntoken: <secret>\n".into()));
        let heartbeat = Arc::new(Heartbeat::new(tokio::runtime::Handle::current()));
        let doors = ServerContext { board, effective, reload, heartbeat, settings };
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(vec![listener], doors, stop.clone()));
        Self { address, stop, reloads, serving }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n")).await
    }

    /// Sends just these bytes, and reads to the end of the connection.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("no answer").unwrap();
        Answer::of(&bytes)
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[at + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Unpacked as a strict reader does: one stream, nothing after it.
    pub(crate) fn gunzip(&self) -> String {
        use std::io::Read;
        let mut reader = flate2::bufread::GzDecoder::new(&*self.body);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(reader.into_inner().is_empty(), "bytes after the end of the stream");
        text
    }
}
