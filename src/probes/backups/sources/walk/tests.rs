//! Listings of real directories.

use std::os::unix::fs::symlink;

use super::*;
use crate::probes::backups::cancel::halt;

const SETTINGS: WalkSettings<'_> =
    WalkSettings { max_files: 1_000, any_directory: false, links_into: None, is_dated: &|_| true };

fn listed(patterns: &[String], settings: &WalkSettings<'_>) -> Result<WalkResult, Failure> {
    let globs: Globs = serde_json::from_value(serde_json::json!(patterns)).unwrap();
    let (_halt, halted) = halt();
    list(&globs, settings, &halted)
}

fn below(root: &Path, patterns: &[&str], settings: &WalkSettings<'_>) -> WalkResult {
    let patterns: Vec<_> = patterns.iter().map(|pattern| format!("{}/{pattern}", root.display())).collect();
    listed(&patterns, settings).unwrap()
}

/// Names of the candidates, each with the state that the listing determines.
fn states(root: &Path, result: &WalkResult) -> Vec<String> {
    let name = |candidate: &Candidate| {
        let path = candidate.path.strip_prefix(root).unwrap().display().to_string();
        candidate.state.as_ref().map_or(path.clone(), |(state, _)| format!("{path} {state:?}"))
    };
    result.candidates.iter().map(name).collect()
}

fn names(root: &Path, patterns: &[&str]) -> Vec<String> {
    states(root, &below(root, patterns, &SETTINGS))
}

#[test]
fn patterns_stay_within_a_folder_unless_told_otherwise() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    fs::create_dir_all(root.join("2026/11")).unwrap();
    for name in ["a.dump", "b.dump", "b.dump.sha256", "c.sql", "2026/d.dump", "2026/11/e.dump"] {
        fs::write(root.join(name), "x").unwrap();
    }
    symlink(root.join("b.dump"), root.join("latest.dump")).unwrap();
    symlink(root, root.join("loop")).unwrap();
    let link = "latest.dump SymbolicLink";
    assert_eq!(names(root, &["*.dump"]), ["a.dump", "b.dump", link]);
    assert_eq!(names(root, &["*"]), ["2026 Directory", "a.dump", "b.dump", "c.sql", link, "loop SymbolicLink"]);
    assert_eq!(names(root, &["*/*.dump"]), ["2026/d.dump", "loop SymbolicLink"]);
    assert_eq!(
        names(root, &["**/*.dump"]),
        ["2026/11/e.dump", "2026/d.dump", "a.dump", "b.dump", link, "loop SymbolicLink"]
    );
    assert_eq!(names(root, &["{a,c}.*", "a*"]), ["a.dump", "c.sql"]);
    assert_eq!(names(root, &["latest.dump"]), ["latest.dump"], "a named link is followed");
    assert_eq!(names(root, &["2026"]), ["2026 Directory"]);
    assert_eq!(names(root, &["gone.dump"]), Vec::<String>::new());
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"z\xff.odd");
    fs::write(root.join::<&std::ffi::OsStr>(odd), "x").unwrap();
    assert_eq!(names(root, &["*.odd"]), ["z\u{fffd}.odd"]);
}

#[test]
fn links_are_followed_only_into_the_configured_folder() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for folder in ["daily", "pool", "other"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("pool/1"), "one").unwrap();
    fs::write(root.join("other/2"), "two").unwrap();
    symlink("../pool/1", root.join("daily/a.dump")).unwrap();
    symlink("../pool/1", root.join("daily/b.dump")).unwrap();
    symlink("../other/2", root.join("daily/c.dump")).unwrap();
    symlink("../pool", root.join("daily/d.dump")).unwrap();
    symlink("gone", root.join("daily/e.dump")).unwrap();
    let pool = root.join("pool");
    let settings = WalkSettings { links_into: Some(&pool), ..SETTINGS };
    let found = below(root, &["daily/*"], &settings);
    assert_eq!(
        states(root, &found),
        [
            "daily/a.dump",
            "daily/b.dump",
            "daily/c.dump SymbolicLink",
            "daily/d.dump SymbolicLink",
            "daily/e.dump SymbolicLink"
        ]
    );
    assert_eq!((found.candidates[0].size, found.candidates[0].file_paths()), (3, vec![root.join("pool/1")]));
    assert_eq!(found.candidates[0].shared_inode, found.candidates[1].shared_inode);
    let both = below(root, &["daily/a*", "pool/*"], &settings);
    assert_eq!(both.candidates[0].shared_inode, both.candidates[1].shared_inode, "the link and its target");
    let gone = root.join("gone");
    let pattern = format!("{}/daily/*", root.display());
    let failure = listed(&[pattern], &WalkSettings { links_into: Some(&gone), ..SETTINGS }).unwrap_err();
    assert_eq!(failure.reason, Reason::NotFound);
}

#[test]
fn directories_are_one_backup_if_they_are_dumps_or_the_configuration_says_so() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (name, content) in [
        ("orders-1/toc.dat", "contents"),
        ("orders-1/3338.dat.gz", "data"),
        ("orders-2/3338.dat.gz", "data"),
        ("orders-3/toc.dat", ""),
        ("orders-4/base/1/2", "four"),
        ("orders-4/backup_label", "label"),
        ("toc.dat", "stray"),
        ("4711.dat", "stray"),
        ("whole.dump", "x"),
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let dumps = ["orders-1", "orders-2 Unfinished", "orders-3 Unfinished"];
    assert_eq!(names(root, &["orders-*"]), [dumps[0], dumps[1], dumps[2], "orders-4 Directory"]);
    assert_eq!(
        names(root, &["orders-*/*"]),
        [dumps[0], dumps[1], dumps[2], "orders-4/backup_label", "orders-4/base Directory"]
    );
    assert_eq!(names(root, &["orders-*/toc.dat"]), [dumps[0], dumps[2]]);
    assert_eq!(names(root, &["orders-*/*.dat.gz"]), [dumps[0], dumps[1]]);
    assert_eq!(names(root, &["orders-1", "orders-1/*", "**/toc.dat"]), ["", dumps[0], dumps[2]]);
    assert_eq!(names(root, &["*.dump", "4711.dat"]), ["", "whole.dump"], "the stray files beside a dump are a dump");
    let found = below(root, &["orders-1"], &SETTINGS);
    assert_eq!((found.candidates[0].size, found.candidates[0].form), (12, BackupForm::Directory));
    let any = below(root, &["orders-*"], &WalkSettings { any_directory: true, ..SETTINGS });
    assert_eq!(states(root, &any), [dumps[0], dumps[1], dumps[2], "orders-4"]);
    assert_eq!((any.candidates[3].size, any.candidates[3].files.len()), (9, 2));
}

#[test]
fn a_folder_that_is_gone_or_has_too_much_in_it_is_a_failure() {
    let root = tempfile::tempdir().unwrap();
    let failure = |pattern: &str, max_files| {
        let pattern = format!("{}/{pattern}", root.path().display());
        listed(&[pattern], &WalkSettings { max_files, ..SETTINGS }).unwrap_err().reason
    };
    assert_eq!(failure("gone/*.dump", 10), Reason::NotFound);
    assert_eq!(failure("gone/a.dump", 10), Reason::NotFound);
    for n in 0..11 {
        fs::write(root.path().join(format!("{n}")), "").unwrap();
    }
    assert_eq!(failure("*.dump", 10), Reason::TooLarge);
    // The files of a directory dump count, too.
    fs::create_dir(root.path().join("dump")).unwrap();
    (0..11).for_each(|n| fs::write(root.path().join(format!("dump/{n}.dat")), "").unwrap());
    fs::write(root.path().join("dump/toc.dat"), "").unwrap();
    assert_eq!(failure("dump", 10), Reason::TooLarge);
}

#[test]
fn listing_stops_when_the_run_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "").unwrap();
    let (halt, halted) = halt();
    drop(halt);
    let globs: Globs = serde_json::from_value(serde_json::json!(root.path().join("*"))).unwrap();
    assert_eq!(list(&globs, &SETTINGS, &halted).unwrap_err().reason, Reason::Canceled);
}
