//! Hostile targets of connections that are kept between runs.

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    flood::{Attack, Siege},
    frames::{frame, well},
};

const BAD: &str = "
    - name: bad
      http: {url: \"http://${TARGET}/\", http_version: \"2\", keep_alive: true}
      interval: 2s
      timeout: 300ms
    ";

/// More than the buffers of a socket hold at both ends.
const MAX_SENT: usize = 24 << 20;

#[test]
fn a_connection_that_is_flooded_between_two_runs_is_closed() {
    let siege = Siege::lay(BAD, &well());
    let sent = Arc::new(AtomicUsize::new(0));
    let between_runs = |name, frame: Vec<u8>| {
        let (most, frames) = (Arc::clone(&sent), frame.repeat((64 << 10) / frame.len()));
        // A run that begins while the other end is still flooding may see the connection break.
        Attack::new(name, &["pass", "fail protocol"], move |stream: &mut TcpStream| {
            stream.write_all(&well())?;
            // By now the run has ended.
            std::thread::sleep(Duration::from_millis(300));
            stream.set_write_timeout(Some(Duration::from_secs(1)))?;
            let (start, mut count) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_millis(1_500) && stream.write_all(&frames).is_ok() {
                count += frames.len();
                most.fetch_max(count, Ordering::Relaxed);
            }
            Ok(())
        })
    };
    let attacks = vec![
        between_runs("PING between runs", frame(6, 0, 0, &[0; 8])),
        between_runs("frames of an unknown kind between runs", frame(0x7f, 0, 0, b"")),
    ];
    siege.endure("bad/health", attacks, 120);
    let sent = sent.load(Ordering::Relaxed);
    println!("{} KiB were sent on one connection", sent >> 10);
    assert!((64 << 10..MAX_SENT).contains(&sent), "{sent} bytes on one connection");
}
