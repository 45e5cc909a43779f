//! A PostgreSQL server: SCRAM over TCP, everything allowed over its Unix socket, TLS with certificates of its own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{children, free_port, reap, signal};

/// The password of every role that [`Postgres::role`] makes.
pub(crate) const PASSWORD: &str = "correct horse";

/// Rules for clients. The keyword `all` does not include replication.
const HBA: &str = "local all all trust\nlocal replication all trust\nhost all nobody all reject\n\
                   hostssl all certified all cert\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// A running server; it and its data are gone when this is dropped.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    options: Vec<String>,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server; `options` are settings such as `max_connections=10`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = Self::empty_folder();
        let copied = as_postgres("cp").arg("-a").arg(template()).arg(folder.path().join("data")).status().unwrap();
        assert!(copied.success());
        Self::start_in(folder, options)
    }

    /// Starts a standby that streams from this server over its Unix socket.
    pub(crate) fn standby(&self, options: &[&str]) -> Self {
        let folder = Self::empty_folder();
        let mut backup = as_postgres(program("pg_basebackup"));
        backup.args([
            "--checkpoint=fast",
            "--no-sync",
            "--write-recovery-conf",
            "--wal-method=stream",
            "-U",
            "postgres",
        ]);
        backup.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
        let output = backup.arg("-D").arg(folder.path().join("data")).output().unwrap();
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        Self::start_in(folder, options)
    }

    fn empty_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        // The server runs as another user where this is root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        folder
    }

    fn start_in(folder: tempfile::TempDir, options: &[&str]) -> Self {
        certificates(folder.path());
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut postgres = Self { folder, port: 0, options, server: None };
        postgres.launch(free_port());
        postgres
    }

    /// Starts again after [`Postgres::stop`], on the same port.
    pub(crate) fn start_again(&mut self) {
        self.launch(self.port);
    }

    fn launch(&mut self, port: u16) {
        self.port = port;
        let folder = self.folder.path();
        let log = fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
        let mut command = as_postgres(program("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string());
        let folder = folder.display();
        let fixed = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={folder}"),
            format!("hba_file={folder}/pg_hba.conf"),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={folder}/server.pem"),
            format!("ssl_key_file={folder}/server.key"),
            format!("ssl_ca_file={folder}/ca.pem"),
            "fsync=off".to_owned(),
            "shared_buffers=8MB".to_owned(),
        ];
        for option in fixed.iter().chain(&self.options) {
            command.args(["-c", option]);
        }
        let server = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.server = Some(server);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.try_sql("select 1").is_err() {
            assert!(Instant::now() < deadline, "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server and throws its sessions out.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let ids: Vec<_> = [server.id()].into_iter().chain(children(server.id())).collect();
            signal("CONT", &ids);
            signal("INT", &[server.id()]);
            reap(&mut server);
        }
    }

    /// Stops every process of it in its tracks: it accepts, and says no word.
    pub(crate) fn freeze(&self) {
        signal("STOP", &self.processes());
    }

    /// Lets it go on after [`Postgres::freeze`].
    pub(crate) fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// Refuses connections of standbys, and ends those that exist.
    pub(crate) fn refuse_replication(&self) {
        self.write_hba(&format!("local replication all reject\n{HBA}"));
        self.sql("select pg_terminate_backend(pid) from pg_stat_replication");
    }

    /// Accepts standbys again after [`Postgres::refuse_replication`].
    pub(crate) fn allow_replication(&self) {
        self.write_hba(HBA);
    }

    fn write_hba(&self, text: &str) {
        fs::write(self.folder.path().join("pg_hba.conf"), text).unwrap();
        self.sql("select pg_reload_conf()");
        let rejects =
            "select count(*) from pg_hba_file_rules where auth_method = 'reject' and 'replication' = any(database)";
        let expected = text.matches("replication all reject").count().to_string();
        assert_eq!(self.sql(rejects), expected, "the file is read");
    }

    /// Sends a signal to the processes of a type in `pg_stat_activity`.
    pub(crate) fn signal_backend(&self, name: &str, backend: &str) {
        let ids = self.sql(&format!("select pid from pg_stat_activity where backend_type = '{backend}'"));
        let ids: Vec<_> = ids.lines().map(|id| id.parse().unwrap()).collect();
        assert!(!ids.is_empty(), "there is no {backend}");
        signal(name, &ids);
    }

    fn processes(&self) -> Vec<u32> {
        let id = self.server.as_ref().unwrap().id();
        [id].into_iter().chain(children(id)).collect()
    }

    /// Makes a role that may log in over TCP; `rights` are role options or memberships.
    pub(crate) fn role(&self, name: &str, rights: &str) {
        self.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {rights}"));
    }

    /// Runs SQL as the administrator, over the Unix socket.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// What the client says otherwise is an error.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output =
            self.client("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A client program that connects as the administrator.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.args(["-U", "postgres", "-p"]).arg(self.port.to_string()).arg("-h").arg(self.folder.path());
        command
    }

    /// Settings of a probe that logs in over TCP.
    pub(crate) fn settings(&self, role: &str, more: &str) -> String {
        format!("{{host: 127.0.0.1, port: {}, user: {role}, dbname: postgres, password: {PASSWORD}{more}}}", self.port)
    }

    /// The folder with the socket, `ca.pem`, and `client.pem` and `client.key` for a role `certified`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An authority, a certificate of it for `localhost`, and one for the client `certified`.
fn certificates(folder: &Path) {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.pem"), params.self_signed(&authority).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    let client = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "certified");
    fs::write(folder.join("client.pem"), params.signed_by(&client, &issuer).unwrap().pem()).unwrap();
    fs::write(folder.join("client.key"), client.serialize_pem()).unwrap();
    fs::write(folder.join("pg_hba.conf"), HBA).unwrap();
    // The server takes a key only from a file of its own user that nobody else may read.
    let path = folder.join("server.key");
    let mut install = as_postgres("sh");
    install.arg("-c").arg("umask 077 && cat > \"$1\"").arg("sh").arg(path).stdin(Stdio::piped());
    let mut writer = install.spawn().unwrap();
    std::io::Write::write_all(&mut writer.stdin.take().unwrap(), key.serialize_pem().as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// A data folder to copy: made once for all tests, because making one takes longer than most of them.
fn template() -> PathBuf {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let folder = std::env::temp_dir().join(format!("readiness-exporter-tests-{uid}"));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let initdb = program("initdb");
    let version = initdb.parent().and_then(Path::parent).and_then(Path::file_name).unwrap_or_default();
    let data = folder.join(format!("postgres-{}", version.to_string_lossy()));
    let lock = fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !data.exists() {
        let making = folder.join(format!("making-{}", std::process::id()));
        let output = as_postgres(&initdb)
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&making)
            .output()
            .unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        fs::rename(making, &data).unwrap();
    }
    data
}

/// PostgreSQL refuses to run as root.
pub(crate) fn as_postgres(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    // Where root stands, the other user may have no business.
    command.current_dir("/");
    command
}

fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|p| p.exists()).collect();
    found.sort();
    found
        .pop()
        .unwrap_or_else(|| panic!("{name} of PostgreSQL is not here: run tests/setup, or apt-get install postgresql"))
}
