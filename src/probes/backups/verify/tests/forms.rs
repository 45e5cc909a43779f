//! Forms of content, as the real programs write them.

use std::process::{Command, Stdio};

use super::*;

/// What a program writes for this input, where `FILE` among its arguments is a file with the input.
fn output(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, input).unwrap();
    let arguments = arguments.iter().map(|word| if *word == "FILE" { path.to_str().unwrap() } else { word });
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path()).env("GNUPGHOME", folder.path());
    let output = command.stdin(fs::File::open(&path).unwrap()).stderr(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed ({error}): run tests/setup"));
    assert!(output.status.success(), "{program}: {output:?}");
    output.stdout
}

#[test]
fn a_compressed_nothing_is_empty() {
    for content in [&b""[..], b"\n", b" \r\n\n", &[0; 600]] {
        for program in ["gzip", "zstd", "pzstd"] {
            let packed = output(program, &["-q", "-c"], content);
            let finding = verify_named("orders.sql.gz", &packed, None, REQUEST);
            assert!(is_damaged(&finding, "empty"), "{program} of {content:?}: {finding:?}");
            assert!(Stream::is_blank(&packed), "{program} of {content:?}");
        }
        assert!(Stream::is_blank(content));
        let checksum: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            is_damaged(&verify(content, Some(&checksum), REQUEST), "empty"),
            "a checksum of nothing proves nothing"
        );
    }
    let packed = output("gzip", &["-c"], b"x");
    assert!(!Stream::is_blank(&packed) && !Stream::is_blank(b"x"));
    assert!(Stream::is_blank(&packed[..10]), "damaged before its first content");
}

#[test]
fn a_short_file_that_decompresses_to_much_is_not_decompressed_while_files_are_listed() {
    let bomb = zstd(&vec![0; 24 << 20]);
    assert!(bomb.len() as u64 <= MAX_BLANK_BYTES, "{} bytes", bomb.len());
    let start = Instant::now();
    for _ in 0..100 {
        assert!(!Stream::is_blank(&bomb));
    }
    println!("{:?} for each of 100 files", start.elapsed() / 100);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(is_damaged(&verify(&bomb, None, REQUEST), "empty"), "`integrity` reads all of it");
}

#[test]
fn a_name_is_held_to_the_form_that_it_promises() {
    let complaint = b"pg_dump: error: connection to server failed";
    for name in ["a.sql.gz", "a.sql", "a.dump.zst", "a.tar.gz", "a.tgz", "A.SQL.GZ"] {
        for content in [complaint.to_vec(), gzip(complaint), zstd(complaint)] {
            let finding = verify_named(name, &content, None, REQUEST);
            assert!(matches!(&finding, Finding::Unverifiable(why) if why.contains("promises")), "{name}: {finding:?}");
        }
    }
    assert_eq!(verify_named("a.json.gz", &gzip(complaint), None, REQUEST), sound(&[GZIP]));
    assert_eq!(verify_named("a.sql.gz", &gzip(SQL.as_bytes()), None, REQUEST), sound(&[GZIP, "closing line"]));
}

#[test]
fn forms_that_are_not_read_are_named() {
    let content = noise(5_000);
    let gpg = ["--batch", "--passphrase", "x", "--pinentry-mode", "loopback", "-c", "-o", "-", "FILE"];
    for (name, form, packed) in [
        ("a.sql.xz", "xz", output("xz", &["-c"], &content)),
        ("a.sql.lz4", "lz4", output("lz4", &["-c"], &content)),
        ("a.sql.bz2", "bzip2", output("bzip2", &["-c"], &content)),
        ("a.sql.gpg", "OpenPGP", output("gpg", &gpg, &content)),
        ("a.sql.age", "age", b"age-encryption.org/v1\n-> X25519 abc\n".to_vec()),
    ] {
        for packed in [packed.clone(), gzip(&packed)] {
            let finding = verify_named(name, &packed, None, REQUEST);
            assert!(matches!(&finding, Finding::Unverifiable(why) if why.starts_with(form)), "{name}: {finding:?}");
        }
        let sum: String = Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(verify_named(name, &packed, Some(&sum), REQUEST), sound(&["sha256"]), "{name} with a checksum file");
    }
}

#[test]
fn frames_of_pzstd_and_frames_to_be_skipped_are_read() {
    let content = noise(9 << 20);
    let packed = output("pzstd", &["-q", "-c", "-p", "2"], &content);
    assert_eq!(packed[1..4], [0x2a, 0x4d, 0x18], "pzstd begins with a frame to be skipped");
    let index = [&[0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"seek"].concat();
    for packed in [packed.clone(), [&*index, &*packed, &*index].concat()] {
        assert_eq!(verify(&packed, None, REQUEST), sound(&[ZSTD]));
        assert!(is_damaged(&verify(&packed[..packed.len() / 2], None, REQUEST), "zstd"));
    }
}

/// Archives of GNU tar in each of its formats, with long names, links, sparse files and large numbers.
#[test]
fn a_tar_archive_is_read_to_its_end_mark() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("data").join("d".repeat(90)).join("e".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f".repeat(90)), noise(70_000)).unwrap();
    fs::write(folder.path().join("data/base"), noise(512)).unwrap();
    fs::hard_link(folder.path().join("data/base"), folder.path().join("data/second")).unwrap();
    std::os::unix::fs::symlink("base", folder.path().join("data/link")).unwrap();
    let sparse = fs::File::create(folder.path().join("data/sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    for at in 0..40 {
        std::os::unix::fs::FileExt::write_at(&sparse, b"x", at << 20).unwrap();
    }
    let tar = |format: &str, more: &[&str]| {
        let mut tar = Command::new("tar");
        tar.arg(format!("--format={format}")).args(more).args(["-cf", "-", "data"]).current_dir(folder.path());
        let output = tar.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    for (format, more) in [("gnu", &["-S"][..]), ("gnu", &[]), ("pax", &["-S"]), ("pax", &[]), ("posix", &[])] {
        let archive = tar(format, more);
        let by = "tar headers";
        assert_eq!(verify_named("a.tar", &archive, None, REQUEST), sound(&[by]), "{format} {more:?}");
        assert_eq!(verify_named("a.tar.gz", &gzip(&archive), None, REQUEST), sound(&[GZIP, by]), "{format} {more:?}");
        let content = archive.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for share in [0.1, 0.5, 0.9, 1.0] {
            let cut = &archive[..(content as f64 * share) as usize];
            let finding = verify_named("a.tar.gz", &gzip(cut), None, REQUEST);
            assert!(is_damaged(&finding, "cut short"), "{format} {more:?} cut at {share}: {finding:?}");
        }
        let mut wrong = archive.clone();
        wrong[3] ^= 1;
        assert!(is_damaged(&verify_named("a.tar", &wrong, None, REQUEST), "checksum"), "{format}");
    }
}

#[test]
fn no_tar_archive_however_wrong_makes_the_parser_panic() {
    let head = |field: usize, bytes: &[u8]| {
        let mut block = [0; 512];
        block[257..262].copy_from_slice(b"ustar");
        block[field..field + bytes.len()].copy_from_slice(bytes);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ');
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    };
    for bytes in [&[0xff; 12][..], &[0x80; 12], b"77777777777\0", b"99999999999\0", b"\xc3\xa4          "] {
        for kind in 0..=255 {
            let mut block = head(124, bytes);
            block[156] = kind;
            let finding = verify_named("a.tar", &[block, [0; 512]].concat(), None, REQUEST);
            assert!(matches!(finding, Finding::Damaged(_)), "{finding:?}");
        }
    }
}
