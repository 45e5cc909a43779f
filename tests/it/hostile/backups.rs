//! Backups that mean harm: bombs and endless checksum files.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use super::vitals::{Control, Vitals};
use crate::harness::{daemon::Home, service::Service};

#[test]
fn no_backup_holds_up_the_daemon_however_much_it_unpacks_to() {
    let neighbour = Service::start();
    let probes = [
        "
        - name: bombs
          backups: {files: \"${HOME_FOLDER}/backups/*.zst\", stable_for: 1ms}
          interval: 1s
          timeout: 400ms
          checks: [integrity: {}]
        ",
        "
        - name: sums
          backups: {files: \"${HOME_FOLDER}/sums/*.gz\", stable_for: 1ms}
          interval: 1s
          timeout: 1s
          checks: [integrity: {}]
        ",
        "
        - name: good
          http: {url: \"${NEIGHBOUR}\"}
          interval: 500ms
          timeout: 500ms
        ",
    ];
    let home = Home::new(&probes).with("NEIGHBOUR", neighbour.url());
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let block = vec![0; 1 << 20];
    (0..8_192).for_each(|_| encoder.write_all(&block).unwrap());
    home.write("backups/a.zst", encoder.finish().unwrap());
    home.write("sums/a.gz", super::http::gzip(b"a"));
    let sums = home.write("sums/a.gz.sha256", "");
    fs::File::options().write(true).open(sums).unwrap().set_len(64 << 30).unwrap();
    let daemon = home.serve();
    let (control, vitals) = (Control::start(), Vitals::watch(&daemon));
    let since = daemon.wait_for("good/health", "pass").since;
    // A checksum file without end says nothing of the backup: the check is unknown, and its text names the bound.
    daemon.wait_for("sums/integrity", "unknown not_found");
    assert!(daemon.check("sums/integrity").summary.contains("is larger than 256KiB"));
    let start = Instant::now();
    let (mut longest, mut timed_out) = (0.0_f64, false);
    while start.elapsed() < Duration::from_secs(3) {
        let took = daemon.value("readiness_probe_duration_seconds{probe=\"bombs\"}").unwrap_or_default();
        longest = longest.max(took);
        timed_out |= daemon.check("bombs/health").status == "fail timeout";
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{:?}\n{:?}", daemon.check("bombs/integrity"), daemon.check("sums/integrity"));
    let good = daemon.check("good/health");
    assert_eq!((good.status.as_str(), good.since), ("pass", since));
    let signs = vitals.end();
    let idle = control.end();
    signs.assert_alive_beside(&idle, "a backup of 8 GiB in a few hundred KiB");
    assert!(longest <= 0.65 + 2.0 * idle.worst().as_secs_f64(), "the run took {longest} s, {idle:?}");
    // A run leaves 100 ms of its time for everything but reading, of which a machine with other work may take all.
    assert!(!timed_out || idle.worst() > Duration::from_millis(50), "a run took all of its time");
    signs.assert_memory_below(100);
}

/// Six decoders with windows of 128 MiB would take 785 MiB.
#[test]
fn backups_with_large_windows_are_read_one_at_a_time() {
    let probes: Vec<_> = (0..6)
        .map(|n| {
            format!(
                "- name: large{n}\n  backups: {{files: \"${{HOME_FOLDER}}/large{n}/*.zst\", stable_for: 1ms}}\n  \
                 interval: 1s\n  timeout: 500ms\n  checks: [integrity: {{}}]\n"
            )
        })
        .collect();
    let home = Home::new(&probes.iter().map(String::as_str).collect::<Vec<_>>());
    let content = home.write("content", vec![b'a'; 160 << 20]);
    let mut zstd = std::process::Command::new("zstd");
    zstd.args(["--long=27", "--ultra", "-22", "-q", "-c"]).stdin(fs::File::open(&content).unwrap());
    let packed = zstd.output().unwrap().stdout;
    (0..6).for_each(|n| drop(home.write(&format!("large{n}/a.zst"), &packed)));
    let daemon = home.serve();
    let vitals = Vitals::watch(&daemon);
    let mut waited = false;
    for n in 0..6 {
        let check = format!("large{n}/integrity");
        crate::harness::wait_until("each is verified in its turn", || {
            waited |=
                (0..6).any(|n| daemon.check(&format!("large{n}/integrity")).summary.contains("waits for its turn"));
            let seen = daemon.check(&check);
            assert!(["pending", "pass"].contains(&seen.status.as_str()), "{seen:?}");
            if seen.status == "pass" { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
    assert!(waited, "some have waited");
    let signs = vitals.end();
    println!("{} MiB resident at most", signs.peak_bytes >> 20);
    signs.assert_memory_below(300);
}
