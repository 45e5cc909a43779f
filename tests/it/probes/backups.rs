//! `backups` on what real tools leave behind: pg_dump, gzip, zstd, sha256sum.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use readiness_exporter::model::words::{Outcome, Reason};

use crate::harness::{
    postgres::Postgres,
    probe_under_test::{ProbeUnderTest, RunResult},
    until,
};

fn watch(files: &Path, more: &str) -> ProbeUnderTest {
    let checks = "checks: [{freshness: {max_age: 26h}}, {size: {min: 1KiB}}, {schedule: {every: 24h, tolerance: 2h}}, \
                  {retention: {min_count: 1}}, integrity]";
    let files = files.display();
    ProbeUnderTest::new(&format!(
        "backups: {{files: \"{files}\", stable_for: 0s{more}}}\ninterval: 60s\ntimeout: 20s\n{checks}"
    ))
}

/// A database with tables, a large object and enough rows to fill several pieces, dumped in every form.
fn dumps(folder: &Path) -> Vec<(&'static str, PathBuf, &'static str)> {
    let postgres = Postgres::start(&[]);
    postgres.sql("CREATE TABLE a AS SELECT n, md5(n::text) AS text FROM generate_series(1, 60000) n");
    postgres.sql("CREATE TABLE b (n int); CREATE TABLE c AS SELECT 1 AS n");
    postgres.sql("SELECT lo_from_bytea(0, decode(repeat('ab', 40000), 'hex'))");
    let dump = |options: &[&str], name: &str| {
        let path = folder.join(name);
        let mut pg_dump = postgres.client("pg_dump");
        let status = pg_dump.args(options).arg("-f").arg(&path).arg("postgres").status().unwrap();
        assert!(status.success());
        path
    };
    let plain = dump(&["-Fp"], "plain.sql");
    let custom = dump(&["-Fc"], "custom.dump");
    let raw = dump(&["-Fc", "-Z0"], "raw.dump");
    // Through a pipe pg_dump can't go back to write down where the data is.
    let piped = folder.join("piped.dump");
    let mut pg_dump = postgres.client("pg_dump");
    let mut child = pg_dump.args(["-Fc", "postgres"]).stdout(Stdio::piped()).spawn().unwrap();
    std::io::copy(&mut child.stdout.take().unwrap(), &mut fs::File::create(&piped).unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    let packed = |program: &str, of: &Path, extension: &str| {
        assert!(Command::new(program).args(["-q", "-k"]).arg(of).status().unwrap().success());
        PathBuf::from(format!("{}{extension}", of.display()))
    };
    let contents = "table of contents";
    vec![
        ("gzip of SQL", packed("gzip", &plain, ".gz"), "gzip checksum, closing line"),
        ("zstd of SQL", packed("zstd", &plain, ".zst"), "zstd frames, closing line"),
        ("zstd of an archive", packed("zstd", &raw, ".zst"), "zstd frames, table of contents"),
        ("SQL", plain, "closing line"),
        ("archive", custom, contents),
        ("archive without packing", raw, contents),
        ("archive through a pipe", piped, contents),
    ]
}

#[tokio::test]
async fn what_real_tools_write_is_whole_and_every_cut_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    for (form, path, by) in dumps(folder.path()) {
        let seen = watch(&path, "").run().await.worked();
        let verdict = seen.verdict("integrity");
        let name = path.file_name().unwrap().to_string_lossy();
        assert_eq!(
            (verdict.outcome, &*verdict.summary),
            (Outcome::Pass, &*format!("{name} was read to its end; verified: {by}")),
            "{form}"
        );
        for check in ["health", "freshness", "size", "schedule", "retention"] {
            assert_eq!(seen.outcome(check), Outcome::Pass, "{form}: {:?}", seen.verdict(check));
        }
        let whole = fs::read(&path).unwrap();
        for share in [30, 60, 90] {
            fs::write(&path, &whole[..whole.len() * share / 100]).unwrap();
            let cut = watch(&path, "").run().await.worked();
            assert_eq!(cut.outcome("integrity"), Outcome::Fail(Reason::Body), "{form} cut at {share}%");
            assert_eq!(cut.outcome("health"), Outcome::Pass, "the probe itself works");
        }
        // Behind the closing line of an SQL dump stands no more than a hundred bytes.
        fs::write(&path, &whole[..whole.len() - 150]).unwrap();
        let cut = watch(&path, "").run().await.worked();
        assert_eq!(cut.outcome("integrity"), Outcome::Fail(Reason::Body), "{form} without its last 150 bytes");
    }
}

#[tokio::test]
async fn checksums_are_those_of_sha256sum_and_sha512sum() {
    let folder = tempfile::tempdir().unwrap();
    for (program, extension) in [("sha256sum", "sha256"), ("sha512sum", "sha512")] {
        let path = folder.path().join(extension).with_extension("tar");
        fs::write(&path, vec![7; 300_000]).unwrap();
        let output = Command::new(program).arg(path.file_name().unwrap()).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success());
        fs::write(format!("{}.{extension}", path.display()), output.stdout).unwrap();
        let seen = watch(&path, "").run().await.worked();
        assert!(seen.verdict("integrity").summary.ends_with(extension), "{:?}", seen.verdict("integrity"));
        assert_eq!(seen.outcome("integrity"), Outcome::Pass);
        fs::write(&path, vec![8; 300_000]).unwrap();
        let changed = watch(&path, "").run().await.worked();
        assert_eq!(changed.outcome("integrity"), Outcome::Fail(Reason::Body));
    }
}

fn age(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3_600);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[tokio::test]
async fn a_folder_of_backups_goes_stale_vanishes_and_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("backups");
    fs::create_dir(&folder).unwrap();
    let watch = watch(&folder.join("*.dump"), "");
    let empty = watch.run().await.worked();
    let outcomes = |seen: &RunResult| {
        ["health", "freshness", "size", "schedule", "retention", "integrity"].map(|check| seen.outcome(check))
    };
    let (nothing, unknown) = (Outcome::Fail(Reason::Empty), Outcome::Unknown(Reason::Empty));
    assert_eq!(
        outcomes(&empty),
        [Outcome::Pass, nothing, unknown, unknown, nothing, unknown],
        "never succeeded must fire"
    );

    let dump =
        "-- PostgreSQL database dump\n".to_owned() + &"-- x\n".repeat(500) + "-- PostgreSQL database dump complete\n";
    fs::write(folder.join("new.dump"), &dump).unwrap();
    assert_eq!(outcomes(&watch.run().await.worked()), [Outcome::Pass; 6]);

    age(&folder.join("new.dump"), 50);
    let fail = Outcome::Fail(Reason::Limit);
    let stale = watch.run().await.worked();
    assert_eq!(outcomes(&stale), [Outcome::Pass, fail, Outcome::Pass, fail, Outcome::Pass, Outcome::Pass]);

    fs::rename(&folder, root.path().join("unmounted")).unwrap();
    let gone = watch.run().await;
    assert_eq!(outcomes(&gone)[0], Outcome::Fail(Reason::NotFound), "{:?}", gone.report.failure);
    assert!(outcomes(&gone)[1..].iter().all(|outcome| *outcome == Outcome::Unknown(Reason::NotFound)));

    fs::rename(root.path().join("unmounted"), &folder).unwrap();
    fs::write(folder.join("newer.dump"), &dump).unwrap();
    let back = watch.run().await.worked();
    assert_eq!(outcomes(&back)[..3], [Outcome::Pass; 3]);
}

#[tokio::test]
async fn no_thread_reads_on_after_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.gz");
    // Sparse and not gzip behind its head: only the sum over its 4 GiB takes time.
    fs::write(&path, b"content").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(4 << 30).unwrap();
    fs::write(folder.path().join("large.gz.sha256"), "0".repeat(64)).unwrap();
    let files = path.display();
    let watch = ProbeUnderTest::new(&format!(
        "backups: {{files: \"{files}\", stable_for: 0s}}\ninterval: 60s\ntimeout: 400ms\nchecks: [integrity]"
    ));
    let start = Instant::now();
    let seen = watch.run().await.worked();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(seen.outcome("integrity"), Outcome::Pending, "{:?}", seen.verdict("integrity"));
    let first = seen.verdict("integrity").summary.clone();
    assert!(first.contains("of 4GiB"), "{first}");
    // Nothing is read between two runs: the process reads no byte more.
    let read = || {
        let io = fs::read_to_string("/proc/self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse::<u64>().unwrap()
    };
    until("quiet", async || {
        let before = read();
        tokio::time::sleep(Duration::from_millis(100)).await;
        if read() - before < 100_000 { Ok(()) } else { Err(read() - before) }
    })
    .await;
    let again = watch.run().await.worked();
    assert_ne!(again.verdict("integrity").summary, first, "it reads on where it stopped");
}
