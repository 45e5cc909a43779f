//! An Alertmanager with the configuration that a test gives it.

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Output, Stdio},
};

use super::{daemon::program, free_port, reap, signal, wait_until};

/// A running one; it and its files are gone when this is dropped.
pub(crate) struct Alertmanager {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Alertmanager {
    pub(crate) fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, configuration).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = folder.path().join("log");
        let child = Command::new(program("prometheus-alertmanager", "prometheus-alertmanager"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // Alone, it needs no port for others.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        wait_until("Alertmanager starts", || {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            TcpStream::connect(address).map_err(|error| format!("{error}: {}", log()))
        });
        Self { address, child, folder }
    }

    /// Hands it alerts as JSON.
    pub(crate) fn post(&self, alerts: &serde_json::Value) {
        let body = alerts.to_string();
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = "POST /api/v2/alerts HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// What it wrote since its start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Hands it an alert, as Prometheus does.
    pub(crate) fn add(&self, labels: &[&str]) {
        let url = format!("--alertmanager.url=http://{}", self.address);
        let output = amtool().arg(url).args(["alert", "add"]).args(labels).output().unwrap();
        assert!(output.status.success(), "{}", output_text(&output));
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        signal("TERM", &[self.child.id()]);
        reap(&mut self.child);
    }
}

/// Its companion on the command line.
pub(crate) fn amtool() -> Command {
    Command::new(program("amtool", "prometheus-alertmanager"))
}

/// All that a command wrote.
pub(crate) fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}
