//! What is watched: listeners of this process that behave well or badly, each group of probes at one of them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Of every probe.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// Of every run.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// Probes of one kind at one target.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) probes: usize,
    /// What their `health` must be in the end.
    pub(crate) status: &'static str,
    /// The kind with its settings, as the configuration has it.
    pub(crate) probe: String,
}

/// How a target treats a connection.
#[derive(Clone, Copy)]
enum Manner {
    Answers,
    /// Answers, but is gone for a while again and again.
    ComesAndGoes,
    SaysNo,
    HangsUp,
    Hangs,
    Trickles,
    NeverEnds,
    Metrics,
}

/// Starts every target; once `stay` is cancelled, what comes and goes stays.
pub(crate) async fn start(stay: &CancellationToken) -> Vec<Group> {
    let http = |address: SocketAddr| format!("http: {{url: 'http://{address}/'}}");
    let tcp = |address: SocketAddr| format!("tcp: {{address: '{address}'}}");
    let metrics = |address: SocketAddr| format!("metrics: {{url: 'http://{address}/metrics'}}");
    type Kind<'a> = &'a dyn Fn(SocketAddr) -> String;
    let plan: [(&str, usize, &str, Manner, Kind<'_>); 9] = [
        ("healthy", 1_000, "pass", Manner::Answers, &http),
        ("restarted", 200, "pass", Manner::ComesAndGoes, &http),
        ("failing", 100, "fail", Manner::SaysNo, &http),
        ("reset", 100, "fail", Manner::HangsUp, &http),
        ("hanging", 200, "fail", Manner::Hangs, &http),
        ("trickling", 50, "fail", Manner::Trickles, &http),
        ("endless", 50, "fail", Manner::NeverEnds, &metrics),
        ("open", 150, "pass", Manner::Answers, &tcp),
        ("counted", 50, "pass", Manner::Metrics, &metrics),
    ];
    let mut groups = Vec::new();
    for (host, (name, probes, status, manner, kind)) in (10..).zip(plan) {
        // Each is a host of its own: one that hangs fills its own room for connections, not that of the others.
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, address, manner, stay.clone()));
        groups.push(Group { name, probes, status, probe: kind(address) });
    }
    // Nobody listens here: the port is taken and never opened.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    groups.push(Group { name: "refused", probes: 100, status: "fail", probe: http(address) });
    std::mem::forget(socket);
    groups
}

async fn serve(mut listener: TcpListener, address: SocketAddr, manner: Manner, stay: CancellationToken) {
    while matches!(manner, Manner::ComesAndGoes) && !stay.is_cancelled() {
        let _ = timeout(Duration::from_secs(50), accept(&listener, manner)).await;
        drop(listener);
        let _ = timeout(Duration::from_secs(15), stay.cancelled()).await;
        listener = again(address).await;
    }
    accept(&listener, manner).await;
}

/// The same port once more; connections that linger don't keep it.
async fn again(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn accept(listener: &TcpListener, manner: Manner) {
    loop {
        // Out of descriptors for a moment: the others go on.
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(async move {
            // Nobody waits for longer than this; what is still open then is a leak of the daemon's, and shows there.
            let _ = timeout(Duration::from_secs(30), treat(stream, manner)).await;
        });
    }
}

async fn treat(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let mut request = [0; 2048];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    match manner {
        Manner::Answers | Manner::ComesAndGoes => stream.write_all(OK).await,
        Manner::SaysNo => stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await,
        Manner::HangsUp => Ok(()),
        Manner::Hangs => stream.read(&mut request).await.map(drop),
        Manner::Trickles => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x: y\r\n").await?;
                sleep(Duration::from_millis(300)).await;
            }
        }
        Manner::NeverEnds => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(b"# a comment that goes on and on\n").await?;
                sleep(Duration::from_millis(20)).await;
            }
        }
        Manner::Metrics => {
            let lines: String = (0..200).map(|n| format!("orders_total{{shop=\"{n}\"}} {n}\n")).collect();
            let body = format!("# TYPE orders_total counter\n{lines}");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
            stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
        }
    }
}
