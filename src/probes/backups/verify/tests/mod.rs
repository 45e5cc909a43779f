mod directories;
mod forms;
mod windows;

use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::*;
use crate::probes::backups::{
    cancel::{CancelOnDrop, halt},
    sources::candidate::StoredFile,
};

const GZIP: &str = "gzip checksum";
const ZSTD: &str = "zstd frames";
const REQUEST: VerificationRequest = VerificationRequest { newest: 1, require_checksum: false };

fn file(path: &Path) -> Candidate {
    Candidate::file(&StoredFile::new(path.to_owned(), &fs::metadata(path).unwrap()), String::new())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn verify(content: &[u8], checksum: Option<&str>, request: VerificationRequest) -> Finding {
    verify_named("a.bak", content, checksum, request)
}

fn verify_named(name: &str, content: &[u8], checksum: Option<&str>, request: VerificationRequest) -> Finding {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    if let Some(checksum) = checksum {
        fs::write(folder.path().join(format!("{name}.sha256")), checksum).unwrap();
    }
    let (_halt, halted) = halt();
    let verified = Verifier::default().verify(&[file(&path)], request, soon(), &halted).unwrap();
    verified[0].finding.clone()
}

fn sound(by: &[&'static str]) -> Finding {
    Finding::Sound(by.to_vec())
}

fn is_damaged(finding: &Finding, word: &str) -> bool {
    matches!(finding, Finding::Damaged(why) if why.contains(word))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(content).unwrap();
    zstd.finish().unwrap()
}

/// Content that does not pack well, so that a cut hits data.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

const SQL: &str =
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE a ();\n\n--\n-- PostgreSQL database dump complete\n--\n\n";

#[test]
fn a_checksum_file_is_believed_over_everything() {
    let hash = Sha256::digest(b"content").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(verify(b"content", Some(&format!("{hash}  a.bak\n")), REQUEST), sound(&["sha256"]));
    assert_eq!(verify(b"content", Some(&hash), REQUEST), sound(&["sha256"]));
    assert!(is_damaged(&verify(b"c0ntent", Some(&hash), REQUEST), "sha256"));
    assert!(is_damaged(&verify(b"content", Some("no hash"), REQUEST), "no checksum"));
    let strict = VerificationRequest { require_checksum: true, ..REQUEST };
    assert!(matches!(verify(&gzip(b"content"), None, strict), Finding::Unverifiable(_)));
    assert!(matches!(verify(b"content", None, REQUEST), Finding::Unverifiable(_)));
}

#[test]
fn packed_files_tell_by_their_own_checksums() {
    let content = noise(300_000);
    for (name, by, packed) in [("gzip", GZIP, gzip(&content)), ("zstd", ZSTD, zstd(&content))] {
        assert_eq!(verify(&packed, None, REQUEST), sound(&[by]));
        let twice = [&*packed, &*packed].concat();
        assert_eq!(verify(&twice, None, REQUEST), sound(&[by]), "several {name} members");
        for cut in [1, 8, 100_000, packed.len() - 10] {
            let finding = verify(&packed[..packed.len() - cut], None, REQUEST);
            assert!(is_damaged(&finding, name), "{name} cut by {cut}: {finding:?}");
        }
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 1;
        assert!(is_damaged(&verify(&flipped, None, REQUEST), name), "a flipped bit in {name}");
    }
}

#[test]
fn an_sql_dump_must_end_with_its_closing_line() {
    assert_eq!(verify(SQL.as_bytes(), None, REQUEST), sound(&["closing line"]));
    assert_eq!(verify(&gzip(SQL.as_bytes()), None, REQUEST), sound(&["gzip checksum", "closing line"]));
    let long = SQL.replace("CREATE", &"INSERT INTO a VALUES (1);\n".repeat(20_000));
    assert_eq!(verify(&zstd(long.as_bytes()), None, REQUEST), sound(&["zstd frames", "closing line"]));
    let half = &SQL.as_bytes()[..SQL.len() / 2];
    assert!(is_damaged(&verify(half, None, REQUEST), "cut short"));
    assert!(is_damaged(&verify(&gzip(half), None, REQUEST), "cut short"), "flawless gzip with half a dump in it");
    let mysql = "-- MySQL dump 10.13  Distrib 8.0.36\n--\nCREATE TABLE a (b int);\n";
    assert!(is_damaged(&verify(mysql.as_bytes(), None, REQUEST), "cut short"));
    let closed = format!("{mysql}-- Dump completed on 2026-11-21  2:00:00\n");
    assert_eq!(verify(closed.as_bytes(), None, REQUEST), sound(&["closing line"]));
}

/// An archive as pg_dump 16 (format 1.15) or 17 (1.16) would write it, with two tables and a large object.
fn archive(minor: u8, with_places: bool) -> Vec<u8> {
    let int = |n: i32| [&[u8::from(n < 0)][..], &n.unsigned_abs().to_le_bytes()].concat();
    let text = |t: &str| [int(t.len() as i32), t.as_bytes().to_vec()].concat();
    let mut blocks: Vec<(i32, Vec<u8>)> = Vec::new();
    for id in [7, 8] {
        blocks.push((id, [vec![1], int(id), int(5), b"abcde".to_vec(), int(2), b"fg".to_vec(), int(0)].concat()));
    }
    blocks.push((9, [vec![3], int(9), int(4711), int(3), b"xyz".to_vec(), int(0), int(0)].concat()));
    let head = |start: u64| {
        let mut head = [b"PGDMP".to_vec(), vec![1, minor, 0, 4, 8, 1, 1]].concat();
        head.extend((0..7).flat_map(|_| int(1)));
        head.extend(["orders", "17.2", "17.2"].into_iter().flat_map(text));
        head.extend(int(4));
        let mut place = start;
        for id in 6..=9 {
            head.extend([int(id), int(i32::from(id > 6))].concat());
            head.extend(["1259", "16385", "a", "TABLE DATA"].into_iter().flat_map(text));
            head.extend(int(3));
            head.extend(["", "", "COPY a FROM stdin;", "public", "", "heap"].into_iter().flat_map(text));
            if minor >= 16 {
                head.extend(int(114));
            }
            head.extend([text("owner"), text("false"), text("6"), int(-1)].concat());
            let block = blocks.iter().find(|(of, _)| *of == id);
            head.push(if block.is_none() { 3 } else { 1 + u8::from(with_places) });
            head.extend(place.to_le_bytes());
            place += block.map_or(0, |(_, block)| block.len() as u64);
        }
        head
    };
    let start = head(0).len() as u64;
    [head(start), blocks.into_iter().flat_map(|(_, block)| block).collect()].concat()
}

#[test]
fn every_cut_of_a_pg_dump_archive_is_seen() {
    for (minor, with_places) in [(15, true), (15, false), (16, true), (16, false)] {
        let whole = archive(minor, with_places);
        assert_eq!(verify(&whole, None, REQUEST), sound(&["table of contents"]), "1.{minor} {with_places}");
        for length in 5..whole.len() {
            let mut archive = pg_dump::Archive::default();
            archive.feed(&whole[..length]);
            let flaw = archive.finish().unwrap_err();
            assert!(is_damaged(&flaw.into(), "cut short"), "1.{minor} cut at {length}");
        }
    }
    let longer = [archive(15, true), vec![9]].concat();
    assert!(is_damaged(&verify(&longer, None, REQUEST), "no block begins"));
    let mut newer = archive(16, true);
    newer[6] = 17;
    assert!(matches!(verify(&newer, None, REQUEST), Finding::Unverifiable(why) if why.contains("1.17")));
}

#[test]
fn no_archive_however_wrong_makes_the_parser_panic() {
    let whole = archive(16, true);
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut wrong = whole.clone();
            wrong[at] = value;
            let mut content = pg_dump::Archive::default();
            for piece in wrong.chunks(3) {
                content.feed(piece);
            }
            let _ = content.finish();
        }
    }
}

/// Entries and dependencies are the only lists of the format. The parser reads them in loops, in pieces of any size.
#[test]
fn a_table_of_contents_of_a_hundred_thousand_parts_is_read_without_recursion() {
    let int = |n: i32| [&[u8::from(n < 0)][..], &n.unsigned_abs().to_le_bytes()].concat();
    let text = |t: &str| [int(t.len() as i32), t.as_bytes().to_vec()].concat();
    let head = [b"PGDMP".to_vec(), vec![1, 15, 0, 4, 8, 1, 1], int(1).repeat(7), text("x").repeat(3)].concat();
    let entry = |dependencies: usize| {
        let fixed = [int(1), int(0), text("x").repeat(4), int(3), text("x").repeat(6), text("x").repeat(2)].concat();
        [fixed, text("6").repeat(dependencies), int(-1), vec![3], vec![0; 8]].concat()
    };
    let deep = [&*head, &int(1), &entry(100_000)].concat();
    let wide = [&*head, &int(100_000), &entry(1).repeat(100_000)].concat();
    let endless = [&*head, &int(i32::MAX), &entry(1).repeat(100_000)].concat();
    for (content, is_whole) in [(deep, true), (wide, true), (endless, false)] {
        let stack = std::thread::Builder::new().stack_size(128 << 10);
        let read = move || {
            let mut archive = pg_dump::Archive::default();
            content.chunks(64 << 10).for_each(|piece| archive.feed(piece));
            archive.finish()
        };
        let outcome = stack.spawn(read).unwrap().join().unwrap();
        assert_eq!(outcome.is_ok(), is_whole, "{outcome:?}");
    }
}

#[test]
fn a_large_file_is_read_over_several_runs_and_then_never_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("old.gz"), gzip(b"old")).unwrap();
    fs::write(path("new.gz"), gzip(&noise(3_000_000))).unwrap();
    let (_halt, halted): (CancelOnDrop, CancelFlag) = halt();
    let mut verifier = Verifier::default();
    let old = verifier.verify(&[file(&path("old.gz"))], REQUEST, soon(), &halted).unwrap();
    let files = [file(&path("new.gz")), file(&path("old.gz"))];
    let mut before = 0;
    let mut runs = 0;
    loop {
        runs += 1;
        let seen = verifier.verify(&files, REQUEST, Instant::now() + Duration::from_millis(1), &halted).unwrap();
        let Finding::Reading(done) = seen[0].finding else { break };
        assert!(done >= before);
        assert_eq!(seen[1], old[0], "the one before still says something");
        assert!(done == before || verifier.read_each_run().is_some(), "how much a run reads is measured");
        before = done;
        assert!(runs < 100_000, "it never ends");
    }
    assert!(runs > 2, "one run was enough: the test shows nothing");
    // No time at all is needed for what is known, until it changes.
    let past = Instant::now();
    assert_eq!(verifier.verify(&files, REQUEST, past, &halted).unwrap()[0].finding, sound(&[GZIP]));
    fs::write(path("new.gz.sha256"), "0".repeat(64)).unwrap();
    assert_eq!(verifier.verify(&files, REQUEST, past, &halted).unwrap()[0].finding, Finding::Reading(0));
    assert!(is_damaged(&verifier.verify(&files, REQUEST, soon(), &halted).unwrap()[0].finding, "sha256"));
}

#[test]
fn reading_stops_when_the_run_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gz");
    fs::write(&path, gzip(b"a")).unwrap();
    let (halt, halted) = halt();
    drop(halt);
    let failure = Verifier::default().verify(&[file(&path)], REQUEST, soon(), &halted).unwrap_err();
    assert_eq!(failure.reason, Reason::Canceled);
}

#[test]
fn a_checksum_file_that_is_no_file_is_named_and_says_nothing_of_the_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gz");
    let beside = folder.path().join("a.gz.sha256");
    fs::write(&path, gzip(b"a")).unwrap();
    let (_halt, halted) = halt();
    let finding = || Verifier::default().verify(&[file(&path)], REQUEST, soon(), &halted).unwrap()[0].finding.clone();
    assert!(std::process::Command::new("mkfifo").arg(&beside).status().unwrap().success());
    let named = |kind: &str| {
        let shown = beside.display();
        Finding::Unverifiable(format!("its checksum file {shown} {kind}"))
    };
    assert_eq!(finding(), named("is a FIFO, not a regular file"));
    fs::remove_file(&beside).unwrap();
    fs::create_dir(&beside).unwrap();
    assert_eq!(finding(), named("is a folder, not a regular file"));
    fs::remove_dir(&beside).unwrap();
    fs::File::create(&beside).unwrap().set_len(1 << 20).unwrap();
    assert_eq!(finding(), named("is larger than 256KiB"));
    // As PowerShell writes it, with a name in another encoding.
    let sum: String = Sha256::digest(fs::read(&path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&beside, [b"\xef\xbb\xbf", sum.as_bytes(), b"  a.gz\r\n", b"0  \xe4.gz\r\n"].concat()).unwrap();
    assert_eq!(finding(), sound(&["sha256", "gzip checksum"]));
}

/// What the tool itself says of a file.
fn tool(name: &str, packed: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(if name == "gzip" { "a.gz" } else { "a.zst" });
    fs::write(&path, packed).unwrap();
    let mut command = std::process::Command::new(name);
    command.args(["-q", "-t"]).arg(&path).stderr(std::process::Stdio::null());
    command.status().unwrap_or_else(|error| panic!("{name} is needed ({error}): run tests/setup")).success()
}

/// The size that hits the end of a buffer is one in 64 among tar files, whose sizes are multiples of 10 KiB.
#[test]
fn a_backup_of_any_size_gets_the_verdict_of_the_tool_itself() {
    for buffer in [32 << 10, stream::MAX_OUTPUT, 2 * stream::MAX_OUTPUT, 5 * stream::MAX_OUTPUT] {
        for size in [buffer - 1, buffer, buffer + 1] {
            for content in [vec![b'a'; size], noise(size)] {
                for (name, by, packed) in [("gzip", GZIP, gzip(&content)), ("zstd", ZSTD, zstd(&content))] {
                    let cut = packed[..packed.len() - 1].to_vec();
                    let followed = [&*packed, b"x"].concat();
                    let padded = [&*packed, &[0]].concat();
                    let twice = [&*packed, &*packed].concat();
                    let rounds =
                        [("whole", packed), ("cut", cut), ("followed", followed), ("padded", padded), ("twice", twice)];
                    for (what, packed) in rounds {
                        let finding = verify(&packed, None, REQUEST);
                        let sound = finding == sound(&[by]);
                        assert!(sound || matches!(finding, Finding::Damaged(_)), "{finding:?}");
                        assert_eq!(sound, tool(name, &packed), "{size} bytes, {name}, {what}: {finding:?}");
                    }
                }
            }
        }
    }
}

/// The compressed form can also end with the piece in which a file is read.
#[test]
fn a_compressed_file_that_ends_with_a_piece_is_whole() {
    for (name, by, pack) in [("gzip", GZIP, gzip as fn(&[u8]) -> Vec<u8>), ("zstd", ZSTD, zstd)] {
        let overhead = pack(&noise(CHUNK_BYTES)).len() - CHUNK_BYTES;
        for size in CHUNK_BYTES - overhead - 3..CHUNK_BYTES - overhead + 4 {
            let packed = pack(&noise(size));
            assert!(packed.len().abs_diff(CHUNK_BYTES) < 8, "{} is not near a piece", packed.len());
            assert_eq!(verify(&packed, None, REQUEST), sound(&[by]), "{name} of {} bytes", packed.len());
        }
    }
}

#[test]
fn a_bomb_is_halted_between_two_steps_and_set_aside_when_time_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zst");
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let block = vec![b'a'; 1 << 20];
    (0..2_048).for_each(|_| encoder.write_all(&block).unwrap());
    fs::write(&path, encoder.finish().unwrap()).unwrap();
    let size = fs::metadata(&path).unwrap().len();
    assert!(size < 256 << 10, "{size} bytes that decompress to 2GiB: a few pieces");
    let (_halt, halted) = halt();
    let (start, allowed) = (Instant::now(), Duration::from_millis(50));
    let seen = Verifier::default().verify(&[file(&path)], REQUEST, start + allowed, &halted).unwrap();
    assert!(matches!(seen[0].finding, Finding::Reading(_)), "{seen:?}");
    let late = start.elapsed().saturating_sub(allowed);
    assert!(late < Duration::from_millis(50), "the run went on for {late:?} after its time was up");
}
