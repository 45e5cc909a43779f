//! The daemon as users run it: its own binary and process, so that its CPU is its own.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::real::free_port;

/// A daemon that runs; killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts it with a configuration, which says nothing of `server`, and waits until every probe has run.
    pub(crate) fn start(configuration: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let file = folder.path().join("readiness.yaml");
        std::fs::write(&file, format!("server: {{listen: ['127.0.0.1:{port}']}}\n{configuration}")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
        command.arg("serve").arg("--config.file").arg(file).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let daemon = Self { child: child.expect("the daemon starts"), port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !daemon.get("/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(Instant::now() < deadline, "the daemon does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The sum over all series of a family, as the page says it now.
    pub(crate) fn sum(&self, family: &str) -> f64 {
        let page = self.get("/metrics").expect("a page");
        let samples = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(family));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
