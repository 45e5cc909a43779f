//! A probe that keeps its thread busy, as a parser does that never yields: the server, the end of the process and the
//! age of results don't depend on it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use readiness_exporter::{
    app::App,
    io::resources::Resources,
    kind::{Detail, Job, ProbeConfig, RunReport},
    model::{
        check::CheckLimits,
        failure::{Failure, Invalid},
        privilege::Privilege,
        words::Reason,
    },
    settings::{self, Sources},
};
use tokio_util::sync::CancellationToken;

use super::raw::converse;

/// Sleeps on the thread of the probes until it is told to stop.
#[derive(Clone, Default)]
struct Busy(Arc<AtomicBool>);

impl ProbeConfig for Busy {
    fn build(self: Box<Self>, _: &Arc<Resources>) -> Result<Arc<dyn Job>, Invalid> {
        Ok(Arc::new(*self))
    }

    fn privileges(&self) -> Vec<Vec<Privilege>> {
        Vec::new()
    }

    fn target(&self) -> String {
        String::new()
    }
}

impl Job for Busy {
    fn host(&self) -> Option<&str> {
        None
    }

    fn limits(&self) -> Vec<CheckLimits> {
        Vec::new()
    }

    fn run(&self, _: Detail) -> BoxFuture<'_, RunReport> {
        Box::pin(async move {
            let start = Instant::now();
            while !self.0.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            RunReport {
                at: jiff::Timestamp::now(),
                duration: start.elapsed(),
                phases: Vec::new(),
                failure: Some(Failure::new(Reason::Timeout, "kept busy")),
                samples: Vec::new(),
                verdicts: Vec::new(),
                panics: 0,
                facts: None,
            }
        })
    }

    fn save(&self) -> Vec<Option<Box<serde_json::value::RawValue>>> {
        Vec::new()
    }

    fn restore(&self, _: usize, _: &serde_json::value::RawValue) {}
}

#[test]
fn a_probe_that_keeps_its_thread_busy_delays_neither_answers_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readiness.yaml");
    let text = "service: test\nserver: {listen: [\"127.0.0.1:0\"]}\nprobes:\n  - {name: busy, tcp: {address: \"127.0.0.1:9\"}, interval: 1s, checks: [{health: {}}]}\n";
    std::fs::write(&path, text).unwrap();
    let (busy, taken) = (Busy::default(), Mutex::new(()));
    let job = busy.clone();
    let load = move || {
        let _one = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settings = settings::load(&Sources { path: path.clone(), ..Sources::default() })?;
        settings.probes[0].config = Box::new(job.clone());
        Ok(settings)
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let app = App::build(Arc::new(load)).await.unwrap();
            tell.send(app.addresses().next().unwrap()).unwrap();
            app.run(stop).await.unwrap();
        });
    });
    let address = told.recv().unwrap();
    // The first run begins within an interval.
    std::thread::sleep(Duration::from_millis(1_200));
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        converse(address, request.as_bytes(), Duration::from_secs(10))
    };
    let mut worst = Duration::ZERO;
    for _ in 0..100 {
        for (path, status) in [("/-/healthy", 200), ("/metrics", 200), ("/ready", 503)] {
            let end = ask(path);
            assert_eq!(end.statuses(), [status], "{path}: {end:?}");
            worst = worst.max(end.took);
        }
    }
    println!("worst of 300 answers beside a busy probe: {worst:?}");
    assert!(worst < Duration::from_millis(400), "{worst:?}");
    let start = Instant::now();
    shutdown.cancel();
    running.join().unwrap();
    println!("the end took {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    busy.0.store(true, Ordering::Relaxed);
}
