//! A blackbox_exporter, to see the same faults as others see them.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
};

use super::{daemon::program, free_port, reap, signal, wait_until};

/// A running one; it and its files are gone when this is dropped.
pub(crate) struct Blackbox {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Blackbox {
    /// With modules by their names, each written as in its configuration.
    pub(crate) fn start<'a>(modules: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("blackbox.yml");
        let modules: String = modules.map(|(name, module)| format!("  {name:?}: {module}\n")).collect();
        std::fs::write(&file, format!("modules:\n{modules}")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new(program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("blackbox_exporter starts", || TcpStream::connect(address).map_err(|error| error.to_string()));
        Self { address, child, _folder: folder }
    }
}

impl Drop for Blackbox {
    fn drop(&mut self) {
        signal("TERM", &[self.child.id()]);
        reap(&mut self.child);
    }
}
