//! Documents that mean harm, are damaged or are just large: an answer in time and within bounds, never a panic.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{folder, load};

#[test]
fn hostile_documents_end_in_a_clear_error_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    };
    let deep = |open: &str, close: &str| format!("a: {}{}", open.repeat(10_000), close.repeat(10_000));
    let bomb = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let before = level - 1;
        format!("{text}a{level}: &a{level} [*a{before}, *a{before}, *a{before}]\n")
    });
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let huge = folder.path().join("huge");
    fs::File::create(&huge).unwrap().set_len(100 << 20).unwrap();
    let big_text = format!("a: &a \"{}\"\nb: [{}]", "x".repeat(1 << 20), "*a,".repeat(500_000));
    for (path, message) in [
        (write("bomb", bomb.as_bytes()), "too large: more than a million values"),
        (write("text-bomb", big_text.as_bytes()), "too large: more than a million values"),
        (write("deep-flow", deep("[", "]").as_bytes()), "not valid YAML"),
        (write("deep-map", deep("{a: ", "}").as_bytes()), "more than 64 levels deep"),
        (
            write(
                "deep-block",
                (0..10_000).map(|n| format!("{}a:\n", " ".repeat(n))).take(2_000).collect::<String>().as_bytes(),
            ),
            "not valid YAML",
        ),
        (write("deep-list", "- ".repeat(10_000).as_bytes()), "not valid YAML"),
        (write("open", "[".repeat(1_000_000).as_bytes()), "not valid YAML"),
        (write("quote", format!("a: \"{}", "x".repeat(7 << 20)).as_bytes()), "not valid YAML"),
        (write("keys", format!("{{{}", "? ".repeat(1_000_000)).as_bytes()), "not valid YAML"),
        (write("anchors", "&a ".repeat(1_000_000).as_bytes()), "not valid YAML"),
        (huge, "is larger than 8MiB"),
        (write("latin1", b"a: 1\nb: \xe4\n"), "is not UTF-8 text: see line 2"),
        (write("nul", b"a: 1\nb: \0\n"), "a NUL byte"),
        (write("binary", &[0xff; 5_000]), "is not UTF-8 text"),
        (write("empty", b""), "the file is empty"),
        (write("blank", b"# nothing\n---\n"), "expected a map"),
        (write("two", b"a: 1\n---\nb: 2\n"), "a second document"),
        (write("self", b"a: &a [*a]\n"), "this alias refers to a node that contains it"),
        (write("key", b"{a: b}: c\n"), "a key must be a text"),
        (write("tag", b"a: !!binary aGk=\n"), "only the tag `!!str` is supported"),
        (write("directive", b"%TAG ! tag:x,2000:\n---\na: 1\n"), "not valid YAML"),
        (write("list", b"- a\n"), "expected a map"),
        (fifo, "is a FIFO, not a regular file"),
        ("/dev/zero".into(), "is a device, not a regular file"),
        (folder.path().join("none"), "can't be read: No such file"),
    ] {
        let start = Instant::now();
        let said = load(&path, &[]).err().unwrap_or_else(|| panic!("{} loads", path.display()));
        assert!(said.contains(message), "{}: {said}", path.display());
        assert!(said.len() < 20_000, "{}: {} bytes", path.display(), said.len());
        let limit = if cfg!(debug_assertions) { 15 } else { 1 };
        assert!(start.elapsed() < Duration::from_secs(limit), "{}: {:?}", path.display(), start.elapsed());
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(load(empty.path(), &[]).err().unwrap().contains("contains no *.yaml or *.yml file"));
}

#[test]
fn what_is_said_about_a_long_pattern_and_a_long_cycle_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    let pattern = format!(
        "service: a\nprobes:\n- name: a\n  http: {{url: \"http://a\"}}\n  checks:\n  - response: {{expect: [{{json: $.a, \
         matches: \"{}\"}}]}}\n",
        "(".repeat(100_000)
    );
    let probe = |n: u32| {
        let next = (n + 1) % 8_000;
        format!("- {{name: probe-{n}, tcp: {{address: \"a:1\"}}, depends_on: [probe-{next}], checks: [health]}}\n")
    };
    let cycle = format!("service: a\nprobes:\n{}", (0..8_000).map(probe).collect::<String>());
    for (text, expected) in [
        (pattern, &["regex parse error", "error: "][..]),
        (cycle, &["in a cycle: probe-0 -> probe-1 ->", "-> probe-7999 -> probe-0"]),
    ] {
        fs::write(&path, text).unwrap();
        let said = load(&path, &[]).err().unwrap();
        println!("{} bytes", said.len());
        assert!(said.len() < 5_000, "{} bytes", said.len());
        for words in expected {
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn thousands_of_probes_load_quickly() {
    let (count, limit) = if cfg!(debug_assertions) { (2_000, 20) } else { (10_000, 2) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    let probe = |n: u32| {
        format!(
            "- name: probe-{n}\n  tcp: {{address: \"${{HOST}}:{}\"}}\n  interval: 10s\n  retry_interval: 2s\n  timeout: 2s\n  \
             depends_on: [probe-{}]\n  labels: {{team: a, tier: b}}\n  checks:\n  - health\n  - health: {{severity: info}}\n    \
             name: again\n    runbook: https://runbooks.example.com/{n}\n",
            n + 1,
            u32::from(n == 0),
        )
    };
    let text: String = (0..count).map(probe).collect();
    fs::write(&path, format!("probes:\n{}", text.replace("depends_on: [probe-1]", ""))).unwrap();
    let start = Instant::now();
    let settings = load(&path, &[("HOST", "db")]).unwrap();
    let spent = start.elapsed();
    assert_eq!(settings.probes.len(), count as usize);
    println!("{count} probes in {spent:?}");
    assert!(spent < Duration::from_secs(limit), "{spent:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Cut, doubled and overwritten anywhere, a document loads or is refused with a message; nothing panics, and
    /// what is said stays bounded.
    #[test]
    fn a_damaged_document_never_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, "[a-z{}\\[\\]:,&*<\"'#\\-?|>!%@$ \\n\\t\\x00é]{0,6}"), 1..6)) {
        let mut text: Vec<char> = fs::read_to_string(folder().join("good/whole.yaml")).unwrap().chars().collect();
        for (at, what, insert) in edits {
            let at = at.index(text.len().max(1)).min(text.len());
            match what {
                0 => { text.truncate(at); }
                1 => { text.drain(at..(at + insert.len()).min(text.len())); }
                _ => { text.splice(at..at, insert.chars()); }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, text.into_iter().collect::<String>()).unwrap();
        if let Err(said) = load(&path, &[]) {
            prop_assert!(!said.is_empty() && said.len() < 100_000);
        }
    }
}
