//! What others cost for the same, where they are installed: their processes beside ours, on the same targets.
//!
//! They work when they are scraped, so a scrape over a kept connection, as Prometheus does it, is one run.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Runtime};

use crate::{
    floor::{Floor, Pace},
    real::{free_port, postgres::Postgres, signal},
    target::Target,
};

/// CPU of one probe of `prometheus-blackbox-exporter`, in microseconds; `None` where it is not installed.
pub(crate) fn blackbox(floor: &Floor, kind: &str, target: &Target, pace: Pace) -> Option<f64> {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, port, of) = (folder.path().join("blackbox.yaml"), free_port(), target.port);
    let ca = target.authority().map(|path| format!("tls_config: {{ca_file: '{}'}}, ", path.display()));
    let ca = ca.unwrap_or_default();
    let (module, of) = match kind {
        "tcp" => ("{prober: tcp, tcp: {preferred_ip_protocol: ip4}}".to_owned(), format!("127.0.0.1:{of}")),
        kind => {
            (format!("{{prober: http, http: {{{ca}preferred_ip_protocol: ip4}}}}"), format!("{kind}://127.0.0.1:{of}/"))
        }
    };
    std::fs::write(&file, format!("modules: {{probe: {module}}}\n")).expect("a file");
    let mut command = Command::new("prometheus-blackbox-exporter");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg(format!("--config.file={}", file.display()));
    let peer = Peer::start(command, port)?;
    Some(peer.cost(floor, &format!("/probe?module=probe&target={of}"), "probe_success 1", pace))
}

/// CPU of one scrape of `prometheus-postgres-exporter`, in microseconds; `None` where it is not installed.
pub(crate) fn postgres_exporter(floor: &Floor, server: &Postgres) -> Option<f64> {
    // It can't read a password with a blank.
    server.sql("DROP ROLE IF EXISTS peer; CREATE ROLE peer LOGIN PASSWORD 'peer' IN ROLE pg_monitor");
    let port = free_port();
    let mut command = Command::new("prometheus-postgres-exporter");
    let source = format!("postgresql://peer:peer@127.0.0.1:{}/postgres?sslmode=disable", server.port);
    command.env("DATA_SOURCE_NAME", source).arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let peer = Peer::start(command, port)?;
    Some(peer.cost(floor, "/metrics", "pg_up 1", Pace::BackToBack))
}

/// A peer that runs; ended when it is dropped.
struct Peer {
    process: Child,
    address: SocketAddr,
}

impl Peer {
    fn start(mut command: Command, port: u16) -> Option<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let peer = Self { process: quiet.spawn().ok()?, address: ([127, 0, 0, 1], port).into() };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(peer.address).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(peer)
    }

    fn cost(&self, floor: &Floor, path: &str, good: &str, pace: Pace) -> f64 {
        let runs = if pace == Pace::Paced { 250 } else { 500 };
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let stream = TcpStream::connect(self.address).await.expect("a connection");
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
            tokio::spawn(connection);
            let mut cpu = Duration::ZERO;
            for run in 0..runs + 50 {
                if run == 50 {
                    cpu = floor.cpu_of(self.process.id());
                }
                if pace == Pace::Paced {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let request =
                    Request::get(path).header("host", "bench").body(Empty::<Bytes>::new()).expect("a request");
                sender.ready().await.expect("a connection");
                let answer = sender.send_request(request).await.expect("an answer");
                let page = answer.into_body().collect().await.expect("a page").to_bytes();
                assert!(String::from_utf8_lossy(&page).contains(good), "{path} is no success");
            }
            (floor.cpu_of(self.process.id()) - cpu).as_secs_f64() * 1e6 / f64::from(runs)
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        signal("KILL", &[self.process.id()]);
        let _ = self.process.wait();
    }
}
