//! The daemon itself: its binary, started with a configuration and a folder of its own, and watched through its doors.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{reap, signal, wait_until};
use crate::harness::http::Answer;

/// A folder with a configuration, and what the daemon leaves there. It stays when a daemon ends, for the next one.
#[derive(Clone)]
pub(crate) struct Home {
    folder: Arc<tempfile::TempDir>,
    environment: Vec<(String, String)>,
}

/// A daemon that runs; killed when it is dropped, and its log printed if the test fails.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    _home: Option<Arc<tempfile::TempDir>>,
}

/// What the API says of a check.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CheckReport {
    /// Status, and the reason behind it where there is one: `fail refused`.
    pub(crate) status: String,
    pub(crate) since: String,
    pub(crate) summary: String,
    pub(crate) last_pass: Option<String>,
    pub(crate) gate: bool,
}

/// Every check by its name.
pub(crate) type Checks = BTreeMap<String, CheckReport>;

impl Home {
    /// A configuration with these entries of `probes`, state in the folder `state`, and a free port.
    pub(crate) fn new(probes: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let environment = vec![("HOME_FOLDER".to_owned(), folder.path().display().to_string())];
        let home = Self { folder, environment };
        home.configure(probes);
        home
    }

    /// Writes other entries of `probes`.
    pub(crate) fn configure(&self, probes: &[&str]) {
        let probes: String = probes.iter().map(|text| dedented(text)).collect();
        self.write(
            "readiness.yaml",
            format!(
                "service: \"${{SERVICE:-shop}}\"\nserver: {{listen: [\"127.0.0.1:0\"], lifecycle: true}}\nstate: \"${{HOME_FOLDER}}/state\"\n\
                 defaults: {{interval: 500ms, failure_threshold: 1}}\nprobes:\n{probes}"
            ),
        );
    }

    pub(crate) fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.environment.push((variable.to_owned(), value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program, with the configuration of this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
        command.args(arguments).arg("--config.file").arg(self.path("readiness.yaml"));
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A script of the shell, as one runs it beside the daemon.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_readiness-exporter")).parent().unwrap();
        let places = std::env::var_os("PATH").unwrap_or_default();
        let places = std::iter::once(program.to_owned()).chain(std::env::split_paths(&places));
        let mut command = Command::new("sh");
        command.args(["-euc", script]).env_clear().envs(self.environment.iter().cloned());
        command.env("PATH", std::env::join_paths(places).unwrap()).env("HOME", self.folder.path());
        command.env("READINESS_CONFIG", self.path("readiness.yaml")).current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn serve(&self) -> Daemon {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Daemon {
        let mut daemon = Daemon::start(self.command(&[&["serve"], arguments].concat()));
        daemon._home = Some(Arc::clone(&self.folder));
        daemon
    }
}

impl Daemon {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, copy) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *copy.lock().unwrap() += &(line + "\n");
            }
        });
        let address = wait_until("the daemon starts", || {
            let text = log.lock().unwrap().clone();
            let address = text.split("listen=").nth(1).and_then(|rest| rest.split_whitespace().next());
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended with {}: {text}", ended.unwrap_or_default());
            address.and_then(|address| address.trim_matches('"').parse().ok()).ok_or(text)
        });
        Self { child, address, log, _home: None }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        self.try_ask(method, path).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_ask(&self, method: &str, path: &str) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(Answer::of(&bytes))
    }

    pub(crate) fn checks(&self) -> Checks {
        let list = self.get("/api/v1/checks").json();
        let text = |check: &Value, key: &str| check[key].as_str().map(str::to_owned);
        let seen = |check: &Value| CheckReport {
            status: [text(check, "status"), text(check, "reason")].into_iter().flatten().collect::<Vec<_>>().join(" "),
            since: text(check, "since").unwrap(),
            summary: text(check, "summary").unwrap(),
            last_pass: text(check, "last_pass"),
            gate: check["gate"].as_bool().unwrap(),
        };
        list["checks"].as_array().unwrap().iter().map(|check| (text(check, "check").unwrap(), seen(check))).collect()
    }

    pub(crate) fn check(&self, name: &str) -> CheckReport {
        self.checks().remove(name).unwrap_or_else(|| panic!("there is no check {name}"))
    }

    /// Waits until a check has a status, as in `fail timeout`.
    pub(crate) fn wait_for(&self, check: &str, status: &str) -> CheckReport {
        wait_until(&format!("{check} is {status}"), || {
            let seen = self.check(check);
            if seen.status == status { Ok(seen) } else { Err(format!("{seen:?}")) }
        })
    }

    /// The value of a series on `/metrics`, written as it stands there.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let page = self.get("/metrics").text();
        let mut values = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        values.next().map(|value| value.parse().unwrap())
    }

    pub(crate) fn runs(&self, probe: &str) -> f64 {
        self.value(&format!("readiness_probe_runs_total{{probe=\"{probe}\"}}")).unwrap_or(f64::NAN)
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has a line with all of these words.
    pub(crate) fn wait_for_log(&self, words: &[&str]) -> String {
        wait_until(&format!("the log has {words:?}"), || {
            let log = self.log();
            let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
            line.map(str::to_owned).ok_or(log)
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, &[self.child.id()]);
    }

    /// Ends it as a service manager does; it must obey within five seconds.
    pub(crate) fn terminate(mut self) {
        let start = Instant::now();
        self.signal("TERM");
        let ended = self.wait();
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        assert_eq!(ended.code(), Some(0), "{}", self.log());
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, once it has.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        reap(&mut self.child);
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// Text without the indentation that it has in the source of a test.
fn dedented(text: &str) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let margin = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    lines().map(|line| format!("{}\n", &line[margin..])).collect()
}

/// Standard output and error of a command.
pub(crate) fn output_text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Where a program is, for those that are not on every user's path.
pub(crate) fn program(name: &str, package: &str) -> PathBuf {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&places).chain([Path::new("/usr/sbin").to_owned()]);
    places
        .find_map(|place| Some(place.join(name)).filter(|path| path.exists()))
        .unwrap_or_else(|| panic!("{name} is not here: run tests/setup, or apt-get install {package}"))
}
