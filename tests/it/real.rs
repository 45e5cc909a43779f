//! Real programs, started by the tests on free ports with folders of their own.

pub(crate) mod alertmanager;
pub(crate) mod blackbox;
pub(crate) mod certificates;
pub(crate) mod daemon;
pub(crate) mod nginx;
pub(crate) mod pager;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod queue;
pub(crate) mod service;

use std::{
    net::TcpListener,
    process::{Child, Command},
    time::{Duration, Instant},
};

/// A port that nothing listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for a condition and says what was seen last when it does not come.
pub(crate) async fn until<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<(), T>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match look().await {
            Ok(()) => return,
            Err(seen) if Instant::now() > deadline => panic!("{what} does not come; last seen: {seen:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The same for tests that don't await; gives what was found.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() > deadline => panic!("{what}: it does not come to that; last seen: {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
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
