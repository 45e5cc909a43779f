//! Backups that are stale, cut short or gone.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};

use super::{Bystanders, Fault};
use crate::harness::daemon::{Daemon, Home};

const DUMPS: &str = "
    - name: dumps
      backups: {files: \"${HOME_FOLDER}/dumps/orders-*.gz\", stable_for: 0s}
      checks:
        - health
        - freshness: {max_age: 1h}
          owner: orders
          runbook: https://runbooks.example.com/backup-stale
        - size: {min: 100B}
        - retention: {min_count: 2}
        - integrity
    ";

/// A home with three dumps, of now, two hours ago and yesterday.
fn with_dumps() -> Home {
    with_probe(DUMPS)
}

fn with_probe(probe: &str) -> Home {
    let home = Bystanders::new().beside(probe);
    for (name, hours) in [("c", 0), ("b", 2), ("a", 24)] {
        let mut dump = GzEncoder::new(Vec::new(), Compression::fast());
        for row in 0..500 {
            writeln!(dump, "INSERT INTO orders VALUES ({row}, {});", row * 7919 % 1000).unwrap();
        }
        let path = home.write(&format!("dumps/orders-{name}.gz"), dump.finish().unwrap());
        age(&path, hours);
    }
    home
}

fn age(path: &std::path::Path, hours: u64) {
    let modified = SystemTime::now() - Duration::from_secs(hours * 3_600);
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

pub(crate) fn stale() -> Fault {
    let home = with_dumps();
    let newest = home.path("dumps/orders-c.gz");
    Fault::of(home, &[("dumps/freshness", "fail limit")], newest, |newest| age(newest, 2), |newest| age(newest, 0))
}

#[test]
fn a_stale_backup_fails_freshness_and_nothing_else() {
    stale().endure();
}

pub(crate) fn deleted() -> Fault {
    // `retention` watches the number: that it fails, too, is a finding of its own.
    let home = with_probe(&DUMPS.replace("- retention: {min_count: 2}", ""));
    let turned =
        [("dumps/freshness", "fail empty"), ("dumps/size", "unknown empty"), ("dumps/integrity", "unknown empty")];
    // Renamed, so that the files are the same after the repair.
    let files = ["a", "b", "c"]
        .map(|name| (home.path(&format!("dumps/orders-{name}.gz")), home.path(&format!("dumps/deleted-{name}.gz"))));
    let deletes = |files: &mut [(PathBuf, PathBuf); 3]| {
        files.iter().for_each(|(there, away)| fs::rename(there, away).unwrap());
    };
    let restores = |files: &mut [(PathBuf, PathBuf); 3]| {
        files.iter().for_each(|(there, away)| fs::rename(away, there).unwrap());
    };
    Fault::of(home, &turned, files, deletes, restores)
        .says("dumps/freshness", "There is no complete backup. The last one was made at 20")
}

#[test]
fn deleted_backups_fail_freshness_and_nothing_else() {
    deleted().endure();
}

#[test]
fn deleted_backups_fail_freshness_and_no_value_of_them_remains_but_the_time_of_the_last_one() {
    let home = with_dumps();
    let daemon = home.serve();
    daemon.wait_for("dumps/freshness", "pass");
    let series = |family: &str| format!("{family}{{probe=\"dumps\",location=\"local\",type=\"full\"}}");
    let made = daemon.value(&series("readiness_backup_last_success_timestamp_seconds"));
    for name in ["a", "b", "c"] {
        fs::remove_file(home.path(&format!("dumps/orders-{name}.gz"))).unwrap();
    }
    let told = daemon.wait_for("dumps/freshness", "fail empty");
    assert!(told.summary.starts_with("There is no complete backup. The last one was made at 20"), "{told:?}");
    daemon.wait_for("dumps/retention", "fail empty");
    let assert_gone = |daemon: &Daemon, told: &str| {
        assert_eq!(daemon.value(&series("readiness_backups")), Some(0.0));
        // The kept time passes through the state, whose numbers may differ in the last digit.
        let kept = daemon.value(&series("readiness_backup_last_success_timestamp_seconds")).zip(made);
        assert!(kept.is_some_and(|(kept, made)| (kept - made).abs() < 1e-6), "{kept:?}");
        let page = daemon.get("/metrics").text();
        for family in ["backup_oldest_timestamp_seconds", "backup_size_bytes", "backup_age_seconds"] {
            assert!(!page.contains(&format!("readiness_{family}{{probe=\"dumps\"")), "{family}");
        }
        assert!(!page.contains("readiness_check_value_seconds{probe=\"dumps\""), "neither age nor span");
        let count = "readiness_check_value{probe=\"dumps\",check=\"retention\",measure=\"count\"}";
        assert_eq!(daemon.value(count), Some(0.0));
        // The page writes what the finding says, and no number beside it.
        let page = daemon.get("/?q=dumps/freshness").text();
        assert!(page.contains(told), "{page}");
    };
    assert_gone(&daemon, &told.summary);
    daemon.terminate();
    let restarted = home.serve();
    restarted.wait_for("dumps/retention", "fail empty");
    assert_gone(&restarted, &told.summary);
}

pub(crate) fn truncated() -> Fault {
    let home = with_dumps();
    let newest = home.path("dumps/orders-c.gz");
    let whole = fs::read(&newest).unwrap();
    let cut = |(newest, whole): &mut (PathBuf, Vec<u8>)| fs::write(newest, &whole[..whole.len() - 200]).unwrap();
    Fault::of(home, &[("dumps/integrity", "fail body")], (newest, whole), cut, |(newest, whole)| {
        fs::write(newest, whole).unwrap();
    })
}

#[test]
fn a_truncated_backup_fails_integrity_and_nothing_else() {
    truncated().endure();
}

pub(crate) fn folder_gone() -> Fault {
    let home = with_dumps();
    let folders = (home.path("dumps"), home.path("away"));
    let turned = [
        ("dumps/health", "fail not_found"),
        ("dumps/freshness", "unknown not_found"),
        ("dumps/size", "unknown not_found"),
        ("dumps/retention", "unknown not_found"),
        ("dumps/integrity", "unknown not_found"),
    ];
    let goes = |(there, away): &mut (PathBuf, PathBuf)| fs::rename(there, away).unwrap();
    Fault::of(home, &turned, folders, goes, |(there, away)| fs::rename(away, there).unwrap())
}

#[test]
fn a_folder_that_is_gone_is_a_failure_and_not_an_absence_of_backups() {
    folder_gone().endure();
}
