//! The daemon itself killed, in the middle of writing down its state and at other times, and started again.

use std::{
    fs,
    io::{Read, Write},
    time::{Duration, Instant},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Calm;
use crate::harness::{
    daemon::Home,
    service::{Service, http_response},
    wait_until,
};

/// The state that is on disk; whatever happened, it is whole.
fn state(home: &Home) -> Option<Value> {
    let text = fs::read_to_string(home.path("state/state.json")).ok()?;
    let (head, body) = text.split_once('\n').expect("a first line");
    let checksum: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(head.ends_with(&format!("sha256:{checksum}")), "{head}");
    Some(serde_json::from_str(body).unwrap())
}

fn saved_runs(home: &Home, probe: &str) -> f64 {
    state(home).map_or(0.0, |state| state["probes"][probe]["runs"].as_f64().unwrap())
}

/// Many probes with a past: their state takes a while to write.
fn many(service: &Service) -> String {
    let probe = |n| {
        format!(
            "
- name: shop-{n}
  tcp: {{address: \"{}\"}}
  interval: 1s
  checks: [{{latency: {{max: 1s}}}}, {{error_rate: {{max: 50%}}}}]",
            service.address
        )
    };
    (0..100).map(probe).collect()
}

#[test]
fn a_kill_in_the_middle_of_a_state_write_loses_and_damages_nothing() {
    let service = Service::start();
    let home = Home::new(&[&many(&service)]);
    let first = home.serve();
    let begun = Calm::of(&first).since("shop-7/health");
    first.terminate();
    let (mut hits, mut rounds) = (0, 0);
    while hits < 4 {
        rounds += 1;
        assert!(rounds <= 30, "{hits} of {rounds} kills met a write");
        let saved = saved_runs(&home, "shop-7");
        let daemon = home.serve();
        let seen = daemon.runs("shop-7");
        assert!(seen >= saved, "{seen} runs after the restart, {saved} were saved");
        let result = daemon.wait_for("shop-7/health", "pass");
        assert_eq!(result.since, begun, "round {rounds}");
        assert!(!daemon.log().contains("damaged"), "{}", daemon.log());
        // The end is a moment at which state is written; every round the kill comes a little later.
        let draft = home.path("state/state.json.new");
        let _ = fs::remove_file(&draft);
        daemon.signal("TERM");
        let deadline = Instant::now() + Duration::from_secs(5);
        while !draft.exists() && Instant::now() < deadline {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(rounds * 50 % 1_000));
        daemon.kill();
        hits += u32::from(draft.exists());
        assert!(saved_runs(&home, "shop-7") >= saved);
    }
    println!("{hits} of {rounds} kills met a write");
    home.serve().terminate();
    let length = fs::metadata(home.path("state/state.json")).unwrap().len();
    assert!(length > 64 << 10, "{length} bytes are written at once");
}

#[test]
fn a_killed_daemon_goes_on_where_it_was_and_claims_nothing_about_the_time_between() {
    let service = Service::start();
    let probe = "
        - name: shop
          http: {url: \"${SHOP}\"}
          interval: 1s
          checks:
            - health
            - error_rate: {max: 90%, window: 10m, min_samples: 3}
            - name: patient
              health: {failure_threshold: 8}
        ";
    let home = Home::new(&[probe]).with("SHOP", service.url());
    let fails = || {
        service.set_behaviour(|stream, _, n| {
            let status = if n == 0 { "200 OK" } else { "503 Service Unavailable" };
            stream.write_all(&http_response(status, "", b""))
        })
    };
    fails();
    let daemon = home.serve();
    // One pass, then failures; killed after a write that knows of three.
    let before = daemon.wait_for("shop/health", "fail status");
    wait_until("three failures are saved", || {
        let fails = state(&home).map(|state| state["probes"]["shop"]["checks"]["patient"]["results"]["fail"].as_u64());
        if fails.flatten() >= Some(3) { Ok(()) } else { Err(format!("{fails:?}")) }
    });
    daemon.kill();
    let saved = state(&home).unwrap();
    let results = |state: &Value| state["probes"]["shop"]["checks"]["patient"]["results"]["fail"].as_u64().unwrap();
    assert!(saved["probes"]["shop"]["checks"]["patient"]["streak"].as_i64() >= Some(3), "{saved:#}");

    // As long as there is no result, nothing is known.
    service.set_behaviour(|stream, _, _| stream.read_to_end(&mut Vec::new()).map(drop));
    let daemon = home.serve();
    let between = daemon.check("shop/health");
    assert_eq!((&*between.status, &*between.summary), ("pending", "not run since the restart"));
    assert_eq!(between.last_pass, before.last_pass, "that was before, and stays true");
    assert!(between.since > before.since);
    assert_eq!(daemon.runs("shop"), saved["probes"]["shop"]["runs"].as_f64().unwrap());
    assert_eq!(daemon.get("/ready").status, 503);

    // Then since, streak, counters and window go on.
    fails();
    let after = daemon.wait_for("shop/health", "fail status");
    assert_eq!(after.since, before.since);
    let summary = daemon.check("shop/error_rate").summary;
    let (failed, all) = shares(&summary);
    assert!(failed > results(&saved) && all > failed, "{summary}");
    daemon.wait_for("shop/patient", "fail status");
    let detail = daemon.get("/api/v1/checks/shop/patient").json();
    let counted = detail["results"]["fail"].as_u64().unwrap();
    assert!((8..results(&saved) + 8).contains(&counted), "{counted} failures, {} before the kill", results(&saved));
    assert!(detail["history"].as_array().unwrap().len() as u64 > counted, "the pass before the kill is in it");
    daemon.terminate();
}

/// `.. (3 of 4 runs in 10m)`
fn shares(summary: &str) -> (u64, u64) {
    let words: Vec<_> = summary.split(['(', ' ']).collect();
    let of = words
        .iter()
        .position(|word| *word == "of" && words.len() > 1)
        .map_or(0, |_| words.windows(4).position(|four| four[1] == "of" && four[3].starts_with("run")).unwrap());
    (words[of].parse().unwrap(), words[of + 2].parse().unwrap())
}

#[test]
fn a_damaged_state_file_is_set_aside_and_the_daemon_runs() {
    let service = Service::start();
    let home = Home::new(&["- name: shop\n  http: {url: \"${SHOP}\"}"]).with("SHOP", service.url());
    let daemon = home.serve();
    daemon.wait_for("shop/health", "pass");
    daemon.terminate();
    let path = home.path("state/state.json");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let daemon = home.serve();
    let line = daemon.wait_for_log(&["level=warn", "starting without"]);
    assert!(line.contains("checksum") && line.contains("state.json.damaged"), "{line}");
    assert_eq!(fs::read(home.path("state/state.json.damaged")).unwrap(), bytes, "nothing is lost");
    daemon.wait_for("shop/health", "pass");
    daemon.terminate();
}

#[test]
fn a_second_daemon_on_the_same_state_folder_is_refused() {
    let service = Service::start();
    let home = Home::new(&["- name: shop\n  http: {url: \"${SHOP}\"}"]).with("SHOP", service.url());
    let daemon = home.serve();
    let second = home.run(&["serve"]);
    let (_, error) = crate::harness::daemon::output_text(&second);
    assert!(!second.status.success() && error.contains("another readiness-exporter uses the state folder"), "{error}");
    daemon.wait_for("shop/health", "pass");
    daemon.terminate();
}
