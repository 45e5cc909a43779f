//! Processes and ports: what every real program needs.

use std::{
    net::TcpListener,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// A port that nothing listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a signal to processes by their ids.
pub(crate) fn signal(name: &str, ids: &[u32]) {
    let ids = ids.iter().map(ToString::to_string);
    // One may have ended meanwhile: that is no mistake.
    let _ = Command::new("kill").arg(format!("-{name}")).args(ids).stderr(std::process::Stdio::null()).status();
}

/// The processes that a process has started.
pub(crate) fn children(id: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Waits for a child that was told to end, and kills it if it does not.
pub(crate) fn reap(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}
