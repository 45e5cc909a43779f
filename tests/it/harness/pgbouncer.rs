//! A PgBouncer in front of a PostgreSQL server.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{free_port, postgres::PASSWORD, reap, signal};

/// A running pooler; it stops when this is dropped.
pub(crate) struct PgBouncer {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    process: Child,
}

impl PgBouncer {
    /// Starts a pooler with two connections to the server for each role; `options` are lines of its configuration.
    pub(crate) fn start(server_port: u16, roles: &[&str], options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let users: String = roles.iter().map(|role| format!("\"{role}\" \"{PASSWORD}\"\n")).collect();
        let path = folder.path().display();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {path}/users.txt\n\
             logfile = {path}/log\npool_mode = transaction\ndefault_pool_size = 2\n{options}\n"
        );
        fs::write(folder.path().join("users.txt"), users).unwrap();
        fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        // PgBouncer refuses to run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let program = if fs::exists("/usr/sbin/pgbouncer").unwrap() { "/usr/sbin/pgbouncer" } else { "pgbouncer" };
        let mut command = super::postgres::as_postgres(program);
        command.arg("-q").arg(folder.path().join("pgbouncer.ini")).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self { folder, port, process };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the pooler does not start: {}", pooler.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }

    /// Settings of a probe that logs in through the pooler.
    pub(crate) fn settings(&self, role: &str, more: &str) -> String {
        format!(
            "{{host: 127.0.0.1, port: {}, user: {role}, dbname: postgres, password: {PASSWORD}, sslmode: disable{more}}}",
            self.port
        )
    }

    /// A client that executes an SQL script through the pooler again and again, until it is dropped.
    pub(crate) fn load(&self, role: &str, sql: &str) -> Load {
        let mut client = Command::new("psql");
        client.env("PGPASSWORD", PASSWORD).args(["-Xq", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        client.args(["-U", role, "postgres"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = client.spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        let text = format!("{sql}\n").repeat(2_000);
        let writer = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut input, text.as_bytes());
        });
        Load { process, writer: Some(writer) }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        signal("INT", &[self.process.id()]);
        reap(&mut self.process);
    }
}

/// A client of [`PgBouncer::load`].
pub(crate) struct Load {
    process: Child,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    /// Whether the client still works.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        signal("KILL", &[self.process.id()]);
        reap(&mut self.process);
        let _ = self.writer.take().map(std::thread::JoinHandle::join);
    }
}
