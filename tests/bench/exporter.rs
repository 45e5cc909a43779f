//! The daemon as users run it, its own binary and process: what it holds, what it has used, what it serves.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// A daemon that runs; killed when it is dropped.
pub(crate) struct Exporter {
    child: Child,
    port: u16,
    started: Instant,
    _folder: tempfile::TempDir,
}

/// Resident memory, in KiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// VmRSS: all of it.
    pub(crate) total: f64,
    /// RssAnon: its own.
    pub(crate) own: f64,
    /// RssFile: pages of the program and its libraries, which the system takes back when it needs them.
    pub(crate) file: f64,
}

/// A connection that is kept, as a scraper keeps it.
pub(crate) struct Scraper {
    stream: BufReader<TcpStream>,
    request: String,
    body: Vec<u8>,
}

impl Exporter {
    /// Starts it with a configuration that says nothing of `server`.
    pub(crate) fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The port is free again until the daemon takes it; nobody else here takes ports in between.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
        let file = folder.path().join("readiness.yaml");
        fs::write(&file, format!("server: {{listen: ['127.0.0.1:{port}']}}\n{configuration}")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
        command.args(["--log.level", "error", "--config.file"]).arg(&file).current_dir(folder.path());
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: child.expect("the daemon starts"), port, started, _folder: folder }
    }

    /// Waits until an address answers 200; tells how long after the start that was.
    pub(crate) fn wait(&self, path: &str) -> Duration {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            // Refused until the daemon listens.
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.scraper(path, "").get() == 200 {
                return self.started.elapsed();
            }
            assert!(Instant::now() < deadline, "{path} is not answered with 200");
            sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn scraper(&self, path: &str, headers: &str) -> Scraper {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
        Scraper { stream: BufReader::with_capacity(1 << 16, stream), request, body: Vec::new() }
    }

    pub(crate) fn memory(&self) -> Memory {
        memory_of(self.child.id())
    }

    /// CPU so far, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("/proc");
        tasks.flatten().map(|task| cpu_of(&task.path())).sum()
    }

    /// The fewest runs that any probe has had.
    pub(crate) fn rounds(&self) -> u64 {
        let mut scraper = self.scraper("/metrics", "");
        assert_eq!(scraper.get(), 200);
        let runs =
            |line: &str| line.starts_with("readiness_probe_runs_total").then(|| line.rsplit(' ').next()?.parse().ok());
        String::from_utf8_lossy(&scraper.body).lines().filter_map(runs).flatten().min().unwrap_or(0)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scraper {
    /// Asks once and reads the whole answer; gives its status.
    pub(crate) fn get(&mut self) -> u16 {
        self.stream.get_mut().write_all(self.request.as_bytes()).expect("a request");
        let (mut status, mut length, mut line) = (0, 0, String::new());
        while {
            line.clear();
            self.stream.read_line(&mut line).expect("a head") > 2
        } {
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
            }
            if let Some((name, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().unwrap_or_else(|_| panic!("{name}: {value}"));
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("a body");
        status
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The memory of a process.
pub(crate) fn memory_of(process: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("/proc");
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a field");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    Memory { total: field("VmRSS:"), own: field("RssAnon:"), file: field("RssFile:") }
}

/// CPU of one thread, by its folder under /proc: exact where `stat` counts ticks.
pub(crate) fn cpu_of(thread: &Path) -> Duration {
    let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// So many `http` probes of one target, with their default checks.
pub(crate) fn http_probes(count: usize, target: std::net::SocketAddr, interval: &str) -> String {
    let mut text = format!("defaults: {{interval: {interval}}}\nprobes:\n");
    for n in 0..count {
        writeln!(text, "  - {{name: probe-{n}, http: {{url: 'http://{target}/'}}}}").expect("a string");
    }
    text
}

/// A target in threads of this process, whose CPU and memory nobody counts here.
pub(crate) fn target() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 2048];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            }
        }
    });
    address
}
