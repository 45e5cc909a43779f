//! Backups in several files and in directories without permission, as real programs leave them.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use readiness_exporter::model::words::{Outcome, Reason};

use crate::harness::{
    daemon::{Daemon, Home},
    postgres::Postgres,
    probe_under_test::ProbeUnderTest,
};

fn watch(files: &str) -> ProbeUnderTest {
    let checks = "checks: [{freshness: {max_age: 26h}}, {size: {min: 1KiB}}, {retention: {min_count: 1, max_count: 1}}, \
                  integrity]";
    ProbeUnderTest::new(&format!(
        "backups: {{files: \"{files}\", stable_for: 0s}}\ninterval: 60s\ntimeout: 20s\n{checks}"
    ))
}

/// The verdict of `pg_restore` on a dump.
fn can_be_restored(dump: &Path) -> bool {
    let mut restore = Command::new("pg_restore");
    restore.args(["-f", "/dev/null"]).arg(dump).stdout(Stdio::null()).stderr(Stdio::null());
    restore.status().unwrap().success()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_directory_of_pg_dump_is_one_backup_and_no_cut_of_a_file_passes() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(&[]);
    postgres.sql("CREATE TABLE a AS SELECT n, md5(n::text) AS text FROM generate_series(1, 20000) n");
    postgres.sql("CREATE TABLE b (n int); CREATE TABLE c AS SELECT 1 AS n");
    postgres.sql("SELECT lo_from_bytea(0, decode(repeat('ab', 40000), 'hex')); SELECT lo_create(0)");
    let dump = |options: &[&str], name: &str| {
        let path = folder.path().join(name);
        let mut pg_dump = postgres.client("pg_dump");
        let status = pg_dump.args(["-Fd"]).args(options).arg("-f").arg(&path).arg("postgres").status().unwrap();
        assert!(status.success());
        path
    };
    let marks = "table of contents, end of rows";
    let (mut compared, mut agreed) = (0, 0);
    for (path, by) in [
        (dump(&["-j", "2"], "parallel"), format!("{marks}, gzip checksum")),
        (dump(&["-Z0", "--no-blobs"], "plain"), marks.to_owned()),
    ] {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The directory, its table of contents and its files are the same backup.
        for files in [path.clone(), path.join("toc.dat"), path.join("*")] {
            let seen = watch(files.to_str().unwrap()).run().await.worked();
            let verdict = seen.verdict("integrity");
            let expected = format!("{name} was read to its end; verified: {by}");
            assert_eq!((verdict.outcome, &*verdict.summary), (Outcome::Pass, &*expected));
            for check in ["health", "freshness", "size", "retention"] {
                assert_eq!(seen.outcome(check), Outcome::Pass, "{:?}", seen.verdict(check));
            }
        }
        assert!(can_be_restored(&path));
        for file in files_in(&path) {
            let whole = fs::read(&file).unwrap();
            for length in [0, whole.len() / 2, whole.len() - 1] {
                fs::write(&file, &whole[..length]).unwrap();
                let seen = watch(path.to_str().unwrap()).run().await.worked();
                let outcome = seen.outcome("integrity");
                assert_ne!(outcome, Outcome::Pass, "{} cut to {length} bytes", file.display());
                compared += 1;
                agreed += usize::from(!can_be_restored(&path));
            }
            fs::remove_file(&file).unwrap();
            let seen = watch(path.to_str().unwrap()).run().await.worked();
            assert_ne!(seen.outcome("integrity"), Outcome::Pass, "{} is missing", file.display());
            fs::write(&file, &whole).unwrap();
        }
        assert!(can_be_restored(&path));
    }
    println!("{compared} cuts: all are found here, {agreed} by pg_restore");
}

#[tokio::test]
async fn a_split_dump_is_one_backup_and_a_missing_piece_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let dump = "-- PostgreSQL database dump\n".to_owned()
        + &(0..9_000).map(|n| format!("INSERT INTO a VALUES ({n}, {});\n", n * 7_919 % 1_000)).collect::<String>()
        + "-- PostgreSQL database dump complete\n";
    for (options, prefix) in [(&["-d"][..], "a.sql.gz."), (&[], "a.sql.gz.part"), (&[], "a.sql.gz")] {
        fs::write(path("whole"), &dump).unwrap();
        let script = format!("gzip < whole | split -b 10k {} - {prefix} && rm whole", options.concat());
        let status = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).status().unwrap();
        assert!(status.success());
        let pieces = files_in(folder.path());
        assert!(pieces.len() > 2, "{pieces:?}");
        let files = path("a.sql.gz*");
        let seen = watch(files.to_str().unwrap()).run().await.worked();
        assert_eq!(
            seen.verdict("integrity").summary,
            "a.sql.gz was read to its end; verified: gzip checksum, closing line"
        );
        assert_eq!(seen.outcome("retention"), Outcome::Pass, "{:?}", seen.verdict("retention"));
        fs::remove_file(&pieces[1]).unwrap();
        let seen = watch(files.to_str().unwrap()).run().await.worked();
        let verdict = seen.verdict("freshness");
        assert_eq!(verdict.outcome, Outcome::Fail(Reason::Empty));
        assert!(
            verdict.summary.contains("1 with missing pieces was left out: a.sql.gz: 1 piece is missing"),
            "{verdict:?}"
        );
        pieces.iter().for_each(|piece| drop(fs::remove_file(piece)));
    }
}

/// User without rights. Root can read every directory.
const NOBODY: u32 = 65_534;

/// The daemon as a user that the modes of directories apply to.
fn serve(home: &Home) -> Daemon {
    let mut command = home.command(&["serve"]);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Daemon::start(command)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    id.trim_ascii() == b"0"
}

fn give_to_nobody(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    if path.is_dir() {
        files_in(path).iter().for_each(|path| give_to_nobody(path));
    }
}

#[test]
fn an_unreadable_folder_aside_is_a_note_and_one_that_held_backups_makes_checks_unknown() {
    let dump = "-- PostgreSQL database dump\n\n-- PostgreSQL database dump complete\n";
    let probe = |name: &str, files: &str| {
        format!(
            "- name: {name}\n  backups: {{files: \"${{HOME_FOLDER}}/{files}\", stable_for: 0s}}\n  interval: 1s\n  \
             timeout: 1s\n  checks: [{{freshness: {{max_age: 26h}}}}, {{retention: {{min_count: 1}}}}, integrity]\n"
        )
    };
    let probes = [
        probe("all", "vol/*/*.sql"),
        probe("named", "vol/{orders,users}/*.sql"),
        probe("closed", "vol/priv*/*.sql"),
        probe("new", "new/*/*.sql"),
    ];
    let home = Home::new(&probes.iter().map(String::as_str).collect::<Vec<_>>());
    for name in ["vol/orders/a.sql", "vol/users/a.sql", "vol/private/a.sql", "vol/lost+found/x", "new/lost+found/x"] {
        home.write(name, dump);
    }
    give_to_nobody(&home.path(""));
    let set_mode =
        |folder: &str, mode| fs::set_permissions(home.path(folder), fs::Permissions::from_mode(mode)).unwrap();
    for folder in ["vol/lost+found", "new/lost+found", "vol/private"] {
        set_mode(folder, 0o000);
    }
    let daemon = serve(&home);
    daemon.wait_for("all/health", "pass");
    let told = daemon.wait_for("all/freshness", "pass").summary;
    assert!(told.contains("private can't be listed: Permission denied") && !told.contains("lost+found"), "{told}");
    daemon.wait_for("all/integrity", "pass");
    daemon.wait_for("named/freshness", "pass");
    // Nothing else matches, so that nothing is known.
    daemon.wait_for("closed/health", "fail permission");
    // A new volume has no backups, which is a fact.
    daemon.wait_for("new/freshness", "fail empty");
    set_mode("vol/users", 0o000);
    for check in ["freshness", "retention", "integrity"] {
        let told = daemon.wait_for(&format!("all/{check}"), "unknown permission").summary;
        assert!(told.contains("users held backups and can't be listed any more"), "{told}");
    }
    daemon.wait_for("named/health", "fail permission");
    daemon.terminate();
    let daemon = serve(&home);
    daemon.wait_for("all/freshness", "unknown permission");
    set_mode("vol/users", 0o444);
    let told = daemon.wait_for("all/freshness", "unknown permission").summary;
    assert!(told.contains("users h"), "{told}");
    set_mode("vol/users", 0o755);
    daemon.wait_for("all/freshness", "pass");
    daemon.wait_for("named/health", "pass");
    // The temporary directory must be removable.
    ["vol/lost+found", "new/lost+found", "vol/private"].iter().for_each(|folder| set_mode(folder, 0o755));
}
