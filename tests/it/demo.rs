//! The demo as a stranger runs it: everything passes, then something breaks, then it is gone without a trace.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::harness::{http::Answer, reap, signal};

/// A demo that runs, with a folder of its own for what it leaves behind.
pub(crate) struct Demo {
    child: Child,
    said: Arc<Mutex<String>>,
    temporary: tempfile::TempDir,
}

impl Demo {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
        command.arg("demo").args(["--web.listen-address", "127.0.0.1:0"]).args(arguments);
        command.env_clear().env("TMPDIR", temporary.path()).current_dir(temporary.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, copy) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *copy.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, said, temporary }
    }

    /// Where its doors are.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.wait("addresses", 10, |said| address(said, "metrics"));
        url.trim_start_matches("http://").trim_end_matches("/metrics").parse().unwrap()
    }

    /// Waits for something, and shows what the demo said when it does not come.
    pub(crate) fn wait<T>(&self, what: &str, seconds: u64, mut look: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let said = self.said.lock().unwrap().clone();
            if let Some(found) = look(&said) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: it does not come to that; the demo said: {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it as somebody does who has seen enough.
    pub(crate) fn interrupt(mut self) {
        let start = Instant::now();
        signal("INT", &[self.child.id()]);
        reap(&mut self.child);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn get(url: &str) -> Answer {
    use std::io::{Read, Write};
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::of(&bytes)
}

/// The address that is printed behind a word.
pub(crate) fn address(said: &str, word: &str) -> Option<String> {
    let line = said.lines().find(|line| line.trim_start().starts_with(word))?;
    line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
}

#[test]
fn the_demo_shows_that_all_is_well_then_a_fault_and_leaves_nothing_behind() {
    let demo = Demo::start(&[]);
    let gate = demo.wait("addresses", 10, |said| address(said, "deploy gate"));
    for (word, marker) in [("status page", "<html"), ("metrics", "# HELP readiness_ready ")] {
        let url = demo.wait(word, 1, |said| address(said, word));
        let page = get(&url);
        assert!(page.status == 200 && page.text().contains(marker), "{url}: {}", page.text());
    }
    let checks = gate.replace("/ready", "/api/v1/checks");
    let failing = || {
        let list = get(&checks).json();
        let list = list["checks"].as_array().unwrap().iter();
        let not_well = list.filter(|check| check["status"] != "pass");
        not_well.map(|check| check["check"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    demo.wait("everything passes", 25, |_| failing().is_empty().then_some(()));
    assert_eq!(get(&gate).status, 200);
    // The first fault of the script.
    demo.wait("a fault is told", 30, |said| said.contains("answers get slow").then_some(()));
    demo.wait("the fault shows", 25, |_| {
        let failing = failing();
        failing.contains(&"api/latency".to_owned()).then_some(())
    });
    let slow = failing();
    assert!(slow.iter().all(|check| check.ends_with("/latency")), "slow answers turn nothing else: {slow:?}");
    demo.interrupt();
}

#[test]
fn two_demos_do_not_get_in_each_others_way() {
    let (one, two) = (Demo::start(&["--calm"]), Demo::start(&["--calm"]));
    let gates = [&one, &two].map(|demo| demo.wait("addresses", 10, |said| address(said, "deploy gate")));
    assert_ne!(gates[0], gates[1]);
    one.interrupt();
    two.interrupt();
}
