//! Windows of zstd above 8 MiB.

use super::*;

/// Packed as the real tool does with these options, from its standard input: it can't fit the window to the size.
fn packed_by_zstd(options: &[&str], content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, content).unwrap();
    let mut zstd = std::process::Command::new("zstd");
    let output = zstd.args(options).args(["-q", "-c"]).stdin(fs::File::open(&path).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// What a run with this much time brings.
fn run(verifier: &mut Verifier, files: &[Candidate], newest: usize, time: Duration) -> Vec<Finding> {
    let (_halt, halted) = halt();
    let verified =
        verifier.verify(files, VerificationRequest { newest, ..REQUEST }, Instant::now() + time, &halted).unwrap();
    verified.into_iter().map(|verified| verified.finding).collect()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn windows_above_8_mib_are_read_one_file_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let large = packed_by_zstd(&["--long=27", "--ultra", "-22"], &noise(300_000));
    let write = |name: &str, content: &[u8]| {
        fs::write(folder.path().join(name), content).unwrap();
        file(&folder.path().join(name))
    };
    let usual = write("usual.zst", &packed_by_zstd(&["-1", "--zstd=wlog=23"], &noise(9 << 20)));
    let second = write("second.zst", &[&*zstd(&noise(300_000)), &*large].concat());
    let cut = write("cut.zst", &large[..large.len() - 10]);
    let beyond = write("beyond.zst", &packed_by_zstd(&["--long=28", "-1"], &noise(1_000)));
    let turns = Turns::default();
    let verifier = || Verifier::new(turns.clone());
    let mut holder = turns.join_queue();
    assert!(holder.has_come());
    let (mut a, mut b, mut c) = (verifier(), verifier(), verifier());
    assert_eq!(run(&mut verifier(), &[usual], 1, LONG), [sound(&[ZSTD])], "the window of level 19 needs no turn");
    for _ in 0..3 {
        assert_eq!(run(&mut a, std::slice::from_ref(&second), 1, LONG), [Finding::Waiting]);
        assert_eq!(run(&mut b, std::slice::from_ref(&cut), 1, LONG), [Finding::Waiting]);
        assert_eq!(run(&mut c, std::slice::from_ref(&beyond), 1, LONG), [Finding::Waiting]);
    }
    drop(holder);
    assert_eq!(
        run(&mut b, std::slice::from_ref(&cut), 1, LONG),
        [Finding::Waiting],
        "the first in the queue is another"
    );
    assert_eq!(run(&mut a, &[second], 1, LONG), [sound(&[ZSTD])], "a small window, then a large one");
    assert!(is_damaged(&run(&mut b, &[cut], 1, LONG)[0], "cut short"));
    assert!(matches!(&run(&mut c, &[beyond], 1, LONG)[0], Finding::Unverifiable(why) if why.contains("128MiB")));
    assert!(turns.join_queue().has_come(), "every turn was given back");
}

#[test]
fn a_turn_is_kept_from_run_to_run_until_it_is_over_and_ends_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.zst");
    fs::write(&path, packed_by_zstd(&["--long=27", "-1"], &vec![b'a'; 64 << 20])).unwrap();
    let bomb = [file(&path)];
    for (length, keeps) in [(LONG, true), (Duration::ZERO, false)] {
        let turns = Turns::with_first_turn(length);
        let mut verifier = Verifier::new(turns.clone());
        let brief = Duration::from_millis(5);
        assert!(matches!(run(&mut verifier, &bomb, 1, brief)[..], [Finding::Reading(_)]));
        let mut other = turns.join_queue();
        assert!(!other.has_come(), "nobody waited, so that the reading goes on with its turn");
        let expected = if keeps { Finding::Reading(0) } else { Finding::Waiting };
        let seen = run(&mut verifier, &bomb, 1, brief).remove(0);
        assert_eq!((std::mem::discriminant(&seen), other.has_come()), (std::mem::discriminant(&expected), !keeps));
        let gone = run(&mut verifier, &[], 1, brief);
        assert!(gone.is_empty() && other.has_come(), "a file that is gone gives its turn back");
        drop(other);
        assert_eq!(run(&mut verifier, &bomb, 1, LONG), [sound(&[ZSTD])]);
    }
}

#[test]
fn the_newest_of_the_files_with_large_windows_has_the_turn() {
    let folder = tempfile::tempdir().unwrap();
    let large = packed_by_zstd(&["--long=27", "-1"], &noise(300_000));
    let files = ["new", "old"].map(|name| {
        let path = folder.path().join(name);
        fs::write(&path, &large).unwrap();
        file(&path)
    });
    let turns = Turns::default();
    let mut holder = turns.join_queue();
    assert!(holder.has_come());
    let mut verifier = Verifier::new(turns.clone());
    assert_eq!(run(&mut verifier, &files[1..], 2, LONG), [Finding::Waiting]);
    for _ in 0..2 {
        assert_eq!(run(&mut verifier, &files, 2, LONG), [Finding::Waiting, Finding::Waiting]);
    }
    drop(holder);
    assert_eq!(run(&mut verifier, &files, 2, LONG), [sound(&[ZSTD]), sound(&[ZSTD])]);
}
