//! Vital signs of a daemon under attack: latency of `/-/healthy`, resident memory, CPU time, and the verdict of a
//! healthy neighbour.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::harness::{
    daemon::{Daemon, Home},
    service::Service,
};

/// Longest time that `/-/healthy` may take while an attack goes on.
pub(crate) const MAX_LATENCY: Duration = Duration::from_millis(100);

/// Asks `/-/healthy` every few milliseconds until it is told to stop.
pub(crate) struct Vitals {
    pid: u32,
    cpu_at_start: Duration,
    start: Instant,
    stop: Arc<AtomicBool>,
    heartbeat: JoinHandle<Vec<Duration>>,
}

/// What was seen between [`Vitals::watch`] and [`Vitals::end`].
#[derive(Debug)]
pub(crate) struct Signs {
    /// Latencies of `/-/healthy`, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Largest resident set since the daemon started.
    pub(crate) peak_bytes: u64,
    /// CPU time per second of wall-clock time: 1.0 is one core.
    pub(crate) cores: f64,
}

impl Vitals {
    pub(crate) fn watch(daemon: &Daemon) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (address, stopped) = (daemon.address, Arc::clone(&stop));
        let heartbeat = std::thread::spawn(move || {
            let mut latencies = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                latencies.push(heartbeat(address));
                std::thread::sleep(Duration::from_millis(10));
            }
            latencies
        });
        let pid = daemon.pid();
        Self { pid, cpu_at_start: cpu(pid), start: Instant::now(), stop, heartbeat }
    }

    pub(crate) fn end(self) -> Signs {
        let cores = (cpu(self.pid) - self.cpu_at_start).as_secs_f64() / self.start.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let mut latencies = self.heartbeat.join().unwrap();
        latencies.sort();
        Signs { latencies, peak_bytes: peak_bytes(self.pid), cores }
    }
}

/// An idle daemon beside the one under attack, which tells the hiccups of the machine from those of the attack.
pub(crate) struct Control {
    vitals: Vitals,
    _parts: (Daemon, Home, Service),
}

impl Control {
    pub(crate) fn start() -> Self {
        let service = Service::start();
        let home = Home::new(&[&format!("- name: idle\n  tcp: {{address: \"{}\"}}", service.address)]);
        let daemon = home.serve();
        daemon.wait_for("idle/health", "pass");
        Self { vitals: Vitals::watch(&daemon), _parts: (daemon, home, service) }
    }

    pub(crate) fn end(self) -> Signs {
        self.vitals.end()
    }
}

impl Signs {
    pub(crate) fn worst(&self) -> Duration {
        self.latencies.last().copied().unwrap_or_default()
    }

    fn late(&self) -> usize {
        self.latencies.iter().filter(|latency| **latency > MAX_LATENCY).count()
    }

    /// As [`Signs::assert_alive`], with allowance for as much as an idle daemon was late at the same time: on a machine
    /// that does nothing else, for nothing.
    #[track_caller]
    pub(crate) fn assert_alive_beside(&self, control: &Signs, what: &str) {
        let (count, late, worst) = (self.latencies.len(), self.late(), self.worst());
        println!(
            "{what}: {count} answers, worst {worst:?}, {late} late; idle: {:?}, {}",
            control.worst(),
            control.late()
        );
        assert!(count >= 20, "{what}: {count} answers are too few to judge");
        assert!(late <= 1.max(count / 200) + 2 * control.late(), "{what}: {late} of {count} answers were late");
        assert!(worst < 5 * MAX_LATENCY + 2 * control.worst(), "{what}: an answer took {worst:?}");
    }

    /// The limit on latency is held by all answers but one, or one in two hundred: the machine that runs the tests has hiccups
    /// of its own, and an event loop that is held up delays many answers in a row.
    #[track_caller]
    pub(crate) fn assert_alive(&self, what: &str) {
        let count = self.latencies.len();
        assert!(count >= 20, "{what}: {count} answers are too few to judge");
        let (late, worst) = (self.late(), self.worst());
        println!(
            "{what}: {count} answers, worst {worst:?}, {late} late, peak {} KiB, {:.2} cores",
            self.peak_bytes >> 10,
            self.cores
        );
        assert!(
            late <= 1.max(count / 200),
            "{what}: {late} of {count} answers took more than {MAX_LATENCY:?}, the worst {worst:?}"
        );
        assert!(worst < 5 * MAX_LATENCY, "{what}: an answer took {worst:?}");
    }

    #[track_caller]
    pub(crate) fn assert_memory_below(&self, mebibytes: u64) {
        assert!(self.peak_bytes < mebibytes << 20, "{} MiB resident, above {mebibytes}", self.peak_bytes >> 20);
    }
}

fn heartbeat(address: SocketAddr) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    start.elapsed()
}

/// CPU time of all threads, in user and kernel mode: fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Peak resident set of a process: `VmHWM` of proc_pid_status(5).
pub(crate) fn peak_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
