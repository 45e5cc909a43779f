//! Backups that are stale, cut short or gone.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};

use super::{Bystanders, Fault};
use crate::harness::daemon::Home;

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
    let home = Bystanders::new().beside(DUMPS);
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
