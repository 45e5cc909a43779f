//! A state folder in which somebody else has put something: the daemon starts, follows no link and overwrites nothing.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::vitals::peak_bytes;
use crate::harness::{daemon::Home, service::Service};

const PROBE: &str = "
    - name: shop
      http: {url: \"${SHOP}\"}
    ";

/// Longest time of a start, with room for a busy machine: a FIFO that is waited for takes forever.
const MAX_START: Duration = Duration::from_secs(10);

fn home(service: &Service) -> Home {
    let home = Home::new(&[PROBE]).with("SHOP", service.url());
    fs::create_dir(home.path("state")).unwrap();
    home
}

fn mode(home: &Home, name: &str) -> u32 {
    fs::symlink_metadata(home.path(name)).unwrap().permissions().mode() & 0o7777
}

fn fifo(home: &Home, name: &str) {
    assert!(Command::new("mkfifo").arg(home.path(name)).status().unwrap().success());
}

#[test]
fn links_and_fifos_in_the_state_folder_are_neither_followed_nor_waited_for() {
    let service = Service::start();
    let home = home(&service);
    let victim = home.write("victim", "precious");
    for name in ["state/state.json.new", "state/state.json.damaged"] {
        symlink(&victim, home.path(name)).unwrap();
    }
    fifo(&home, "state/state.json");
    fs::set_permissions(home.path("state"), Permissions::from_mode(0o777)).unwrap();
    let start = Instant::now();
    let daemon = home.serve();
    daemon.wait_for("shop/health", "pass");
    println!("passing {:?} after the start", start.elapsed());
    assert!(start.elapsed() < MAX_START);
    daemon.wait_for_log(&["level=warn", "it is a FIFO, not a regular file", "starting without"]);
    daemon.wait_for_log(&["level=warn", "the state folder is not safe", "mode 0777", "chmod o-w"]);
    // The end writes the state.
    daemon.terminate();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(fs::symlink_metadata(home.path("state/state.json")).unwrap().is_file());
    assert_eq!((mode(&home, "state/state.json"), mode(&home, "state/lock")), (0o600, 0o600));
}

#[test]
fn a_lock_that_is_a_fifo_or_a_link_ends_the_start_with_an_explanation() {
    let service = Service::start();
    let home = home(&service);
    let lock = home.path("state/lock");
    for (kind, make) in [
        ("a FIFO", &(|| fifo(&home, "state/lock")) as &dyn Fn()),
        ("a symbolic link", &|| symlink(home.path("elsewhere"), &lock).unwrap()),
    ] {
        make();
        let mut child = home.command(&["serve"]).spawn().unwrap();
        let end = Instant::now() + MAX_START;
        while child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let error = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        assert!(error.contains(&format!("its file lock is {kind}, not a regular file")), "{error}");
        fs::remove_file(&lock).unwrap();
    }
    assert!(!home.path("elsewhere").exists());
}

#[test]
fn a_huge_state_file_costs_neither_memory_nor_a_late_start() {
    let service = Service::start();
    let home = home(&service);
    let empty = {
        let daemon = home.serve();
        daemon.wait_for("shop/health", "pass");
        let empty = peak_bytes(daemon.pid());
        daemon.terminate();
        empty
    };
    let head = fs::read(home.path("state/state.json")).unwrap()[..99].to_vec();
    for (what, head) in [("of zeros", Vec::new()), ("with the first line of a state", head)] {
        let mut file = File::create(home.path("state/state.json")).unwrap();
        file.write_all(&head).unwrap();
        file.set_len(900 << 20).unwrap();
        let start = Instant::now();
        let daemon = home.serve();
        let started = start.elapsed();
        let log = daemon.wait_for_log(&["starting without", "state.json.damaged"]);
        daemon.wait_for("shop/health", "pass");
        let peak = peak_bytes(daemon.pid());
        println!("{what}: started in {started:?}, {} KiB at most, {} KiB without: {log}", peak >> 10, empty >> 10);
        assert!(peak < empty + (8 << 20), "{} MiB resident", peak >> 20);
        assert!(started < MAX_START);
        daemon.terminate();
    }
}

#[test]
fn the_state_of_an_older_version_is_taken_up_and_becomes_private() {
    let service = Service::start();
    let home = Home::new(&[PROBE]).with("SHOP", service.url());
    let daemon = home.serve();
    let since = daemon.wait_for("shop/health", "pass").since;
    daemon.terminate();
    assert_eq!((mode(&home, "state"), mode(&home, "state/state.json")), (0o700, 0o600));
    for (name, mode) in [("state", 0o755), ("state/state.json", 0o644), ("state/lock", 0o644)] {
        fs::set_permissions(home.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let daemon = home.serve();
    daemon.wait_for_log(&["restored the state from before the restart"]);
    assert_eq!(daemon.wait_for("shop/health", "pass").since, since);
    assert!(!daemon.log().contains("not safe"), "0755 is no risk: {}", daemon.log());
    daemon.terminate();
    assert_eq!((mode(&home, "state/state.json"), mode(&home, "state/lock")), (0o600, 0o600));
}

/// Changes the content of the state file, with a valid checksum.
fn forge(home: &Home, change: impl FnOnce(&mut Value)) {
    let path = home.path("state/state.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut state = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    change(&mut state);
    let body = state.to_string();
    let sum: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(path, format!("readiness-exporter state 1 sha256:{sum}\n{body}")).unwrap();
}

#[test]
fn a_forged_state_takes_neither_memory_nor_the_counters_past_their_end() {
    let service = Service::start();
    let home = Home::new(&["
    - name: shop
      http: {url: \"${SHOP}\"}
      interval: 300ms
      timeout: 200ms
      checks:
        - health
        - latency: {p95: 200ms, window: 1m}
    "])
    .with("SHOP", service.url());
    let daemon = home.serve();
    let since = daemon.wait_for("shop/latency", "pass").since;
    let honest = peak_bytes(daemon.pid());
    daemon.terminate();
    forge(&home, |state| {
        let probe = &mut state["probes"]["shop"];
        probe["runs"] = json!(u64::MAX);
        probe["overruns"] = json!(u64::MAX);
        probe["recent"] = json!(vec![(1, 1.0); 200_000]);
        let leaf = |n| json!(["readiness_certificate_not_after_timestamp_seconds", [format!("leaf{n}"), "true"], 9e9]);
        probe["lasting"] = (0..20_000).map(leaf).chain([json!(["readiness_probe_success", [], 1])]).collect();
        probe["checks"]["health"]["results"] = json!({"pass": u64::MAX});
        probe["checks"]["health"]["recent"] = json!(vec!["pass"; 200_000]);
        probe["checks"]["health"]["lasting"] = json!([["readiness_probe_last_run_timestamp_seconds", [], 7]]);
        probe["checks"]["latency"]["window"] = json!(vec![json!([]); 8_000_000]);
    });
    let daemon = home.serve();
    daemon.wait_for_log(&["restored the state from before the restart"]);
    assert_eq!(daemon.wait_for("shop/latency", "pass").since, since);
    assert_eq!(daemon.value("readiness_panics_total"), Some(0.0));
    let largest = u64::MAX as f64;
    assert_eq!(daemon.runs("shop"), largest);
    let results = "readiness_check_results_total{probe=\"shop\",check=\"health\",status=\"pass\"}";
    assert_eq!(daemon.value(results), Some(largest));
    let page = daemon.get("/metrics").text();
    let count = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
    // The last 256 samples are read, and one of them is of a family that is not retained.
    assert_eq!(count("readiness_certificate_not_after_timestamp_seconds{"), 255);
    assert_eq!((count("readiness_probe_success{"), count("readiness_probe_last_run_timestamp_seconds{")), (1, 1));
    let peak = peak_bytes(daemon.pid());
    println!("{} KiB at most, {} KiB with an honest state", peak >> 10, honest >> 10);
    assert!(peak < honest + (90 << 20), "{} MiB resident", peak >> 20);
    daemon.terminate();
}
