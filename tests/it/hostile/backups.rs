//! Backups that mean harm: bombs and endless checksum files.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use super::vitals::Vitals;
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
    let vitals = Vitals::watch(&daemon);
    let since = daemon.wait_for("good/health", "pass").since;
    // A checksum file without end says nothing of the backup: the check is unknown, and its text names the bound.
    daemon.wait_for("sums/integrity", "unknown not_found");
    assert!(daemon.check("sums/integrity").summary.contains("is larger than 256KiB"));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let took = daemon.value("readiness_probe_duration_seconds{probe=\"bombs\"}").unwrap_or_default();
        assert!(took <= 0.65, "the run took {took} s");
        assert_ne!(daemon.check("bombs/health").status, "fail timeout");
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{:?}\n{:?}", daemon.check("bombs/integrity"), daemon.check("sums/integrity"));
    let good = daemon.check("good/health");
    assert_eq!((good.status.as_str(), good.since), ("pass", since));
    let signs = vitals.end();
    signs.assert_alive("a backup of 8 GiB in a few hundred KiB");
    signs.assert_memory_below(100);
}
