//! Real programs, started by the tests on free ports with folders of their own.

pub(crate) mod alertmanager;
pub(crate) mod blackbox;
pub(crate) mod board;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod daemon;
pub(crate) mod families;
pub(crate) mod http;
pub(crate) mod inbox;
pub(crate) mod markdown;
pub(crate) mod nginx;
pub(crate) mod pager;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod probe_under_test;
mod process;
pub(crate) mod prometheus;
pub(crate) mod queue;
pub(crate) mod service;

use std::time::{Duration, Instant};

pub(crate) use self::process::{children, free_port, reap, signal};

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
