//! Targets that send without end, and the course of an attack on a running daemon.

use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::vitals::Vitals;
use crate::harness::{
    daemon::{Daemon, Home},
    service::Service,
    wait_until,
};

/// Timeout of the probes whose target is hostile.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(300);
/// How much later than its timeout a run may end.
const MAX_LATENESS: Duration = Duration::from_millis(250);
/// Longest time that one connection is flooded.
const MAX_FLOOD: Duration = Duration::from_secs(3);
/// How long each attack is watched.
const ATTACK: Duration = Duration::from_millis(600);

type Misdeed = Box<dyn Fn(&mut TcpStream) -> io::Result<()> + Send + Sync>;

/// A way to misbehave: what it is, what the target does once it was asked, and the statuses that the check may have.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) does: Misdeed,
    pub(crate) turns: &'static [&'static str],
}

impl Attack {
    pub(crate) fn new(
        name: &'static str,
        turns: &'static [&'static str],
        does: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { name, does: Box::new(does), turns }
    }

    /// Sends the beginning once and the rest again and again.
    pub(crate) fn endless(
        name: &'static str,
        turns: &'static [&'static str],
        start: impl Into<Vec<u8>>,
        again: impl Into<Vec<u8>>,
    ) -> Self {
        let (start, again) = (start.into(), again.into());
        Self::new(name, turns, move |stream| flood(stream, &start, &again))
    }

    /// Sends a response and goes on to wait for the next request.
    pub(crate) fn once(name: &'static str, turns: &'static [&'static str], answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(name, turns, move |stream| stream.write_all(&answer))
    }

    /// Sends the beginning at once and one byte after the other of the rest, slowly.
    pub(crate) fn drip(
        name: &'static str,
        turns: &'static [&'static str],
        start: impl Into<Vec<u8>>,
        byte: u8,
        pause: Duration,
    ) -> Self {
        let start = start.into();
        Self::new(name, turns, move |stream| {
            stream.set_nodelay(true)?;
            stream.write_all(&start)?;
            let begin = Instant::now();
            while begin.elapsed() < MAX_FLOOD {
                stream.write_all(&[byte])?;
                std::thread::sleep(pause);
            }
            Ok(())
        })
    }
}

/// Sends the beginning once and the rest again and again, until the other end has had enough.
fn flood(stream: &mut TcpStream, start: &[u8], again: &[u8]) -> io::Result<()> {
    stream.set_write_timeout(Some(MAX_FLOOD))?;
    stream.write_all(start)?;
    let again = again.repeat((64 << 10) / again.len() + 1);
    let begin = Instant::now();
    while begin.elapsed() < MAX_FLOOD {
        stream.write_all(&again)?;
    }
    Ok(())
}

/// A target that begins to send as soon as it is connected to, without having been asked.
pub(crate) fn unasked(attack: Attack) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let does = Arc::new(attack.does);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let does = Arc::clone(&does);
            std::thread::spawn(move || does(&mut stream));
        }
    });
    address
}

/// Lets a target answer well. It reads what the client still sends, because a connection that is closed with unread
/// data is reset, and a reset can reach the client before the answer.
fn behave(target: &Service, well: &[u8]) {
    let well = well.to_vec();
    target.set_behaviour(move |stream, _, _| {
        stream.write_all(&well)?;
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        io::copy(stream, &mut io::sink()).map(drop)
    });
}

/// A target that behaves until it is told how to attack, one attack after the other, with a healthy neighbour.
pub(crate) struct Siege {
    daemon: Daemon,
    target: Service,
    _neighbour: Service,
    well: Vec<u8>,
}

impl Siege {
    /// A daemon with a probe `bad` of the target at `${TARGET}`, which answers with `well`.
    pub(crate) fn lay(bad: &str, well: &[u8]) -> Self {
        let (target, neighbour) = (Service::start(), Service::start());
        behave(&target, well);
        let good = "
            - name: good
              http: {url: \"${NEIGHBOUR}\"}
              interval: 500ms
              timeout: 500ms
            ";
        let home =
            Home::new(&[bad, good]).with("TARGET", target.address.to_string()).with("NEIGHBOUR", neighbour.url());
        let daemon = home.serve();
        let siege = Self { daemon, target, _neighbour: neighbour, well: well.to_vec() };
        siege.daemon.wait_for("bad/health", "pass");
        siege.daemon.wait_for("good/health", "pass");
        siege
    }

    /// Lets the attacks happen one after the other; the verdict is that of `check`.
    pub(crate) fn endure(&self, check: &str, attacks: Vec<Attack>, mebibytes: u64) {
        let since = self.daemon.check("good/health").since;
        let idle = Vitals::watch(&self.daemon);
        std::thread::sleep(ATTACK);
        idle.end().assert_alive("before the attacks");
        for Attack { name, does, turns } in attacks {
            self.target.set_behaviour(move |stream, _, _| does(stream));
            let vitals = Vitals::watch(&self.daemon);
            let (start, runs) = (Instant::now(), self.daemon.runs("bad"));
            let seen = wait_until(name, || {
                let seen = self.daemon.check(check);
                let done = turns.contains(&seen.status.as_str()) && self.daemon.runs("bad") > runs + 1.0;
                if done && start.elapsed() >= ATTACK { Ok(seen) } else { Err(format!("{seen:?}, expected {turns:?}")) }
            });
            let took = self.daemon.value("readiness_probe_duration_seconds{probe=\"bad\"}").unwrap();
            let good = self.daemon.check("good/health");
            let signs = vitals.end();
            println!("{name}: {} ({}), {took:.3} s", seen.status, seen.summary);
            signs.assert_alive(name);
            signs.assert_memory_below(mebibytes);
            assert!(took <= (TIMEOUT + MAX_LATENESS).as_secs_f64(), "{name}: the run took {took} s");
            assert_eq!((good.status.as_str(), &good.since), ("pass", &since), "{name}: the neighbour");
        }
        behave(&self.target, &self.well);
        self.daemon.wait_for("bad/health", "pass");
    }
}
