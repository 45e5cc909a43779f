//! A real nginx on a port of its own: one process, so that a signal reaches all of it.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{daemon::program, free_port, reap, signal, wait_until};

/// A running server; it and its files are gone when this is dropped.
pub(crate) struct Nginx {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Nginx {
    /// Starts it with what stands in its `server` block beside `listen`; its files are served from [`Nginx::folder`].
    pub(crate) fn start(server: &str) -> Self {
        Self::prepare().launched("", server, "")
    }

    /// The same with `more` beside that block, and with what `prepare` puts into its folder.
    pub(crate) fn start_with(server: &str, more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let nginx = Self::prepare();
        prepare(nginx.folder());
        nginx.launched("", server, more)
    }

    /// The same for HTTPS, with `server.pem` and `server.key` of its folder, which `certify` writes.
    pub(crate) fn start_tls(certify: impl FnOnce(&Path)) -> Self {
        let nginx = Self::prepare();
        certify(nginx.folder());
        nginx.launched(" ssl", "ssl_certificate server.pem; ssl_certificate_key server.key; return 200 well;", "")
    }

    fn prepare() -> Self {
        let nginx = Self { folder: tempfile::tempdir().unwrap(), port: free_port(), child: None };
        // Where this is root, nginx reads what it serves as somebody else.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(nginx.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        nginx
    }

    fn launched(mut self, options: &str, server: &str, more: &str) -> Self {
        let (folder, port) = (self.folder.path().display(), self.port);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/temp;"))
            .concat();
        fs::write(
            self.folder().join("nginx.conf"),
            format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
                 events {{}}\nhttp {{ access_log off; {temporary} root {folder}/files; default_type text/plain;\n\
                 server {{ listen 127.0.0.1:{port}{options}; {server} }}\n{more} }}\n"
            ),
        )
        .unwrap();
        fs::create_dir_all(self.folder().join("files")).unwrap();
        self.start_again();
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file that it serves.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder().join("files").join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Starts again after [`Nginx::stop`], on the same port.
    pub(crate) fn start_again(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.folder().join("log")).unwrap();
        let mut command = Command::new(program("nginx", "nginx-light"));
        command.arg("-p").arg(self.folder()).arg("-c").arg("nginx.conf").arg("-e").arg("error.log");
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        wait_until("nginx starts", || {
            let log = || fs::read_to_string(self.folder().join("log")).unwrap_or_default();
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| format!("{error}: {}", log()))
        });
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("CONT", &[child.id()]);
            signal("TERM", &[child.id()]);
            reap(&mut child);
        }
    }

    /// Stops it in its tracks: the system goes on accepting for it, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Nginx::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        signal(name, &[self.child.as_ref().unwrap().id()]);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}
