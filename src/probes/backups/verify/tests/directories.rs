//! Directories of `pg_dump -Fd` and split files.

use super::*;
use crate::probes::backups::{
    facts::BackupForm,
    sources::{
        globs::Globs,
        walk::{self, WalkSettings},
    },
};

/// The only candidate of a pattern.
fn candidate(pattern: &Path) -> Candidate {
    let globs: Globs = serde_json::from_value(serde_json::json!(pattern)).unwrap();
    let settings = WalkSettings { max_files: 1_000, any_directory: false, links_into: None, is_dated: &|_| true };
    let (_halt, halted) = halt();
    let mut found = walk::list(&globs, &settings, &halted).unwrap().candidates;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn verify_all(pattern: &Path) -> Finding {
    let (_halt, halted) = halt();
    let mut verifier = Verifier::default();
    verifier.verify(&[candidate(pattern)], REQUEST, soon(), &halted).unwrap()[0].finding.clone()
}

fn int(n: i32) -> Vec<u8> {
    [&[u8::from(n < 0)][..], &n.unsigned_abs().to_le_bytes()].concat()
}

fn text(t: &str) -> Vec<u8> {
    [int(t.len() as i32), t.as_bytes().to_vec()].concat()
}

/// A table of contents of format 1.15 with these data files, and whether each has a `COPY` statement.
fn contents(files: &[(&str, bool)]) -> Vec<u8> {
    let mut toc = [b"PGDMP".to_vec(), vec![1, 15, 0, 4, 8, 3, 1], int(1).repeat(7), text("x").repeat(3)].concat();
    toc.extend(int(files.len() as i32 + 1));
    for (id, (file, has_rows)) in [("", false)].iter().chain(files).enumerate() {
        let copy = if *has_rows { "COPY a FROM stdin;" } else { "" };
        toc.extend([int(id as i32), int(1), text("x").repeat(4), int(3), text("x"), text("x"), text(copy)].concat());
        toc.extend([text("x").repeat(3), text("x").repeat(2), text("6"), int(-1), text(file)].concat());
    }
    toc
}

const ROWS: &[u8] = b"1\tone\n2\ttwo\n\\.\n\n\n";

#[test]
fn a_directory_dump_is_verified_by_its_table_of_contents_and_every_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    fs::create_dir(&dump).unwrap();
    let write = |name: &str, content: &[u8]| fs::write(dump.join(name), content).unwrap();
    write("toc.dat", &contents(&[("1.dat", true), ("2.dat", true), ("blobs.toc", false)]));
    write("1.dat.gz", &gzip(ROWS));
    write("2.dat", ROWS);
    write("blobs.toc", b"16400 blob_16400.dat\n");
    write("blob_16400.dat.gz", &gzip(&noise(300_000)));
    let whole = sound(&["table of contents", "end of rows", GZIP]);
    let pattern = folder.path().join("*");
    assert_eq!(candidate(&pattern).form, BackupForm::Directory);
    assert_eq!(verify_all(&pattern), whole);
    // Every way to name the directory is the same backup.
    for part in ["dump/*", "dump/toc.dat", "dump", "**", "*/*.dat.gz"] {
        assert_eq!(candidate(&folder.path().join(part)).path, dump, "{part}");
    }
    for (name, content, word) in [
        ("1.dat.gz", gzip(ROWS)[..20].to_vec(), "1.dat.gz: gzip: cut short"),
        ("1.dat.gz", gzip(&ROWS[..12]), "1.dat.gz: cut short: the end of the rows"),
        ("2.dat", ROWS[..12].to_vec(), "2.dat: cut short"),
        ("2.dat", Vec::new(), "2.dat: cut short"),
        ("blob_16400.dat.gz", gzip(&noise(300_000))[..9_000].to_vec(), "blob_16400.dat.gz: gzip"),
        ("blobs.toc", b"16400 blob_16400.d".to_vec(), "blobs.toc: cut short"),
        ("blobs.toc", Vec::new(), "in no index of large objects"),
        ("blobs.toc", b"16400 ../../etc/passwd\n".to_vec(), "does not write"),
        ("toc.dat", contents(&[("1.dat", true)])[..90].to_vec(), "toc.dat: pg_dump archive: cut short"),
        ("toc.dat", contents(&[("3.dat", true)]), "names 3.dat, which is missing"),
        ("toc.dat", contents(&[("/etc/passwd", true)]), "does not write"),
    ] {
        let before = fs::read(dump.join(name)).unwrap();
        write(name, &content);
        let finding = verify_all(&pattern);
        assert!(is_damaged(&finding, word), "{name}: {finding:?}");
        write(name, &before);
    }
    assert_eq!(verify_all(&pattern), whole);
    // Nothing proves that an uncompressed large object is complete, except a checksum file.
    fs::remove_file(dump.join("blob_16400.dat.gz")).unwrap();
    write("blob_16400.dat", &noise(1_000));
    let finding = verify_all(&pattern);
    assert!(
        matches!(&finding, Finding::Unverifiable(why) if why.contains("blob_16400.dat has neither")),
        "{finding:?}"
    );
    let sums = |skip: &str| {
        let names = ["toc.dat", "1.dat.gz", "2.dat", "blobs.toc", "blob_16400.dat"].into_iter();
        let line = |name: &str| {
            let hash = Sha256::digest(fs::read(dump.join(name)).unwrap());
            format!("{}  dump/{name}\n", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        let lines: String = names.filter(|name| *name != skip).map(line).collect();
        fs::write(folder.path().join("dump.sha256"), lines).unwrap();
    };
    sums("");
    assert_eq!(verify_all(&pattern), sound(&["sha256", "table of contents", "end of rows", GZIP]));
    write("blob_16400.dat", &noise(1_001));
    assert!(is_damaged(&verify_all(&pattern), "blob_16400.dat: its sha256"));
    sums("blob_16400.dat");
    assert!(is_damaged(&verify_all(&pattern), "no checksum of blob_16400.dat"));
    // Other compressions, and a link to a file of another directory.
    fs::remove_file(folder.path().join("dump.sha256")).unwrap();
    write("toc.dat", &contents(&[("1.dat", true), ("2.dat", true)]));
    fs::remove_file(dump.join("blob_16400.dat")).unwrap();
    fs::remove_file(dump.join("blobs.toc")).unwrap();
    fs::rename(dump.join("2.dat"), folder.path().join("aside.part")).unwrap();
    write("2.dat.zst", &zstd(ROWS));
    let finding = verify_all(&folder.path().join("dump"));
    assert_eq!(finding, sound(&["table of contents", "end of rows", GZIP, ZSTD]));
    write("2.dat.lz4", b"\x04\x22\x4d\x18");
    fs::remove_file(dump.join("2.dat.zst")).unwrap();
    let finding = verify_all(&folder.path().join("dump"));
    assert!(matches!(&finding, Finding::Unverifiable(why) if why.contains("lz4")), "{finding:?}");
    fs::remove_file(dump.join("2.dat.lz4")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("aside.part"), dump.join("2.dat")).unwrap();
    assert!(is_damaged(&verify_all(&folder.path().join("dump")), "names 2.dat, which is missing"));
}

#[test]
fn no_table_of_contents_however_wrong_makes_the_parser_panic() {
    let whole = contents(&[("1.dat", true), ("blobs.toc", false)]);
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut wrong = whole.clone();
            wrong[at] = value;
            let mut table = pg_dump::DirectoryContents::default();
            wrong.chunks(7).for_each(|piece| table.feed(piece));
            let _ = table.finish();
        }
    }
}

#[test]
fn the_pieces_of_a_split_file_are_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let packed = gzip(SQL.repeat(400).as_bytes());
    let third = packed.len() / 3;
    let pieces = [&packed[..third], &packed[third..2 * third], &packed[2 * third..]];
    for (number, piece) in ["aa", "ab", "ac"].iter().zip(pieces) {
        fs::write(path(&format!("a.sql.gz.{number}")), piece).unwrap();
    }
    let pattern = path("a.sql.gz.*");
    assert_eq!(candidate(&pattern).size, packed.len() as u64);
    assert_eq!(verify_all(&pattern), sound(&[GZIP, "closing line"]));
    let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // One checksum of the whole file, a list of the pieces, or a file beside each piece.
    fs::write(path("a.sql.gz.sha256"), format!("{}  a.sql.gz\n", hash(&packed))).unwrap();
    assert_eq!(verify_all(&pattern), sound(&["sha256", GZIP, "closing line"]));
    let lines: String = ["aa", "ab", "ac"]
        .iter()
        .zip(pieces)
        .map(|(number, piece)| format!("{}  a.sql.gz.{number}\n", hash(piece)))
        .collect();
    fs::write(path("a.sql.gz.sha256"), &lines).unwrap();
    assert_eq!(verify_all(&pattern), sound(&["sha256", GZIP, "closing line"]));
    fs::write(path("a.sql.gz.sha256"), lines.replace("a.sql.gz.ab", "other")).unwrap();
    assert!(is_damaged(&verify_all(&pattern), "no checksum of a.sql.gz.ab"));
    fs::remove_file(path("a.sql.gz.sha256")).unwrap();
    // The last piece is missing: only the content shows it.
    fs::remove_file(path("a.sql.gz.ac")).unwrap();
    assert!(is_damaged(&verify_all(&pattern), "gzip: cut short"));
}
