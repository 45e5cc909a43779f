//! Nesting chosen by a peer or a file: every parser has a bound, or does not recurse.
//!
//! Each case runs on a thread with the default stack of a thread, a quarter of that of a program. An overflow ends the
//! whole test.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use readiness_exporter::{
    model::words::Reason,
    settings::{self, Sources},
};
use sha2::{Digest, Sha256};

use crate::harness::{
    daemon::{Home, output_text},
    probe_under_test::{ProbeUnderTest, RunResult},
};

const LEVELS: usize = 100_000;
/// Longest time for one case without optimization.
const MAX_TIME: Duration = Duration::from_secs(10);

fn nested(open: &str, middle: &str, close: &str) -> String {
    format!("{}{middle}{}", open.repeat(LEVELS), close.repeat(LEVELS))
}

/// Loads a configuration; the problems if there are any.
fn load(folder: &Path, text: &str) -> String {
    let path = folder.join("readiness.yaml");
    fs::write(&path, text).unwrap();
    settings::load(&Sources { path, ..Sources::default() })
        .err()
        .map(|problems| problems.to_string())
        .unwrap_or_default()
}

#[test]
fn nesting_in_a_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let probe = |settings: &str| format!("service: a\nprobes:\n  - name: a\n    {settings}\n");
    let http = |expectation: String| {
        let expect = serde_json::json!([expectation_of(&expectation)]);
        probe(&format!("http: {{url: \"http://localhost\"}}\n    checks: [{{response: {{expect: {expect}}}}}]"))
    };
    let path = |text: String| http(format!("json {text}"));
    let files = |text: String| probe(&format!("backups: {{files: {}}}", serde_json::json!(text)));
    let metrics = |text: String| {
        let selector = serde_json::json!(text);
        probe(&format!(
            "metrics: {{url: \"http://localhost\"}}\n    checks: [{{value: {{series: {selector}, max: 1}}}}]"
        ))
    };
    for (what, text) in [
        ("YAML lists", nested("[", "", "]")),
        ("YAML maps", nested("{a: ", "1", "}")),
        ("YAML blocks", format!("a: {}", "- ".repeat(LEVELS))),
        ("YAML keys", nested("? ", "a", "")),
        ("regular expression groups", http(format!("regex {}", nested("(", "a", ")")))),
        ("regular expression classes", http(format!("regex {}", nested("[", "a", "]")))),
        ("regular expression repetitions", http(format!("regex a{}", "{1}".repeat(LEVELS)))),
        ("JSON path parentheses", path(nested("$[?(", "@.a", ")]"))),
        ("JSON path groups", path(format!("$[?{}]", nested("(", "@.a", ")")))),
        ("JSON path negations", path(format!("$[?{}@.a]", "!(".repeat(LEVELS)))),
        ("JSON path filters", path(nested("$[?@", ".a", "]"))),
        ("JSON path filters without an end", path("@[?".repeat(LEVELS))),
        ("JSON path functions", path(format!("$[?{}]", nested("length(", "@.a", ")")))),
        ("glob alternatives", files(format!("/{}", nested("{a,", "b", "}")))),
        ("glob classes", files(format!("/{}", nested("[", "a", "]")))),
        ("globs of included files", format!("include: [\"{}/*.yaml\"]\n{}", nested("{a,", "b", "}"), probe("tcp: {}"))),
        ("selectors", metrics(nested("{", "a", "}"))),
        ("expressions in selectors", metrics(format!("a{{b=~\"{}\"}}", nested("(", "a", ")")))),
        ("references", probe(&format!("http: {{url: \"{}\"}}", nested("${A:-", "a", "}")))),
    ] {
        let start = Instant::now();
        let problems = load(folder.path(), &text);
        assert!(!problems.is_empty(), "{what}: it loads");
        assert!(problems.len() < 1 << 20, "{what}: {} bytes of problems", problems.len());
        println!("{what}: {:?}, {}", start.elapsed(), problems.chars().take(150).collect::<String>());
        assert!(start.elapsed() < MAX_TIME, "{what}: {:?}", start.elapsed());
    }
}

/// `json PATH` or `regex EXPRESSION` as an expectation.
fn expectation_of(text: &str) -> serde_json::Value {
    match text.split_once(' ').unwrap() {
        ("json", path) => serde_json::json!({"json": path, "exists": true}),
        (_, expression) => serde_json::json!({"regex": expression}),
    }
}

#[test]
fn a_json_path_as_deep_as_is_allowed_is_read_in_time() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        format!("{}{}", "$[?@".repeat(8), "]".repeat(8)),
        format!("$[?{}@.a{}]", "(".repeat(7), ")".repeat(7)),
        format!("$[?{}@.a{} > 1]", "length(".repeat(7), ")".repeat(7)),
        format!("$[?{}@.a{}]", "!(".repeat(7), ")".repeat(7)),
        format!("$[?{}@{} == 1]", "value(@[?".repeat(3), "])".repeat(3)),
    ] {
        let expect = serde_json::json!([{"json": path, "exists": true}]);
        let start = Instant::now();
        load(
            folder.path(),
            &format!(
                "service: a\nprobes:\n  - name: a\n    http: {{url: \"http://localhost\"}}\n    checks: [{{response: {{expect: {expect}}}}}]\n"
            ),
        );
        println!("{path}: {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(2), "{path}: {:?}", start.elapsed());
    }
}

/// Answers every request with the same bytes; returns the port.
fn serve(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
        }
    });
    port
}

fn page(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn nesting_in_an_answer_is_a_finding() {
    let json = |answer: Vec<u8>, path: &str| {
        let port = serve(answer);
        format!(
            "http: {{url: \"http://127.0.0.1:{port}/\", body_limit: 8MiB}}\ninterval: 20s\ntimeout: 10s\n\
             checks: [{{response: {{expect: [{{json: \"{path}\", exists: true}}]}}}}]"
        )
    };
    let metrics =
        |body: String| format!("metrics: {{url: \"http://127.0.0.1:{}/\"}}\ninterval: 20s", serve(page(&body)));
    let deep = format!("{}1{}", "[".repeat(126), "]".repeat(126));
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", "a: b,\r\n c\r\n".repeat(LEVELS));
    for (what, probe, reason) in [
        ("JSON lists", json(page(&nested("[", "", "]")), "$..a"), Some(Reason::Parse)),
        ("JSON maps", json(page(&nested("{\"a\":", "1", "}")), "$..a"), Some(Reason::Parse)),
        ("JSON maps without an end", json(page(&"{\"a\":".repeat(LEVELS)), "$..a"), Some(Reason::Parse)),
        // As deep as is read: the path goes down to every value.
        ("deep JSON", json(page(&deep), "$..[0]"), None),
        ("labels", metrics(nested("a{", "b", "}")), Some(Reason::Parse)),
        ("quotes", metrics(nested("a{b=\"", "", "\"}")), Some(Reason::Parse)),
        // Folded lines are read, so that the size of the head is the limit.
        ("header lines", json(headers.into_bytes(), "$.a"), Some(Reason::TooLarge)),
    ] {
        let start = Instant::now();
        let watch = ProbeUnderTest::new(&probe);
        let seen: RunResult = watch.run().await;
        let found = seen.reason().or_else(|| seen.report.verdicts.iter().find_map(|verdict| verdict.outcome.reason()));
        println!("{what}: {:?}, {:?}", start.elapsed(), seen.report.failure);
        assert_eq!(found, reason, "{what}: {:?}", seen.report);
        assert!(start.elapsed() < MAX_TIME, "{what}: {:?}", start.elapsed());
    }
}

#[test]
fn nesting_on_the_command_line_is_refused() {
    let home = Home::new(&["- name: a\n  tcp: {address: \"127.0.0.1:1\"}\n"]);
    // The system takes arguments of up to 128 KiB.
    for only in ["{a,".repeat(40_000), format!("{}a{}", "{a,".repeat(300), "}".repeat(300))] {
        let (_, error) = output_text(&home.run(&["check", "--only", &only]));
        assert!(error.contains("--only: the pattern"), "{error}");
    }
}

#[test]
fn nesting_in_a_state_file_is_damage() {
    let home = Home::new(&["- name: a\n  tcp: {address: \"127.0.0.1:1\"}\n"]);
    let first = home.serve();
    first.wait_for("a/health", "fail refused");
    first.terminate();
    let file = home.path("state").join("state.json");
    let written = fs::read_to_string(&file).unwrap();
    let magic = written.lines().next().unwrap().rsplit_once(':').unwrap().0;
    for body in [nested("[", "", "]"), nested("{\"saved_at\":", "1", "}"), "[".repeat(LEVELS)] {
        let sum: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(&file, format!("{magic}:{sum}\n{body}")).unwrap();
        let daemon = home.serve();
        daemon.wait_for_log(&["starting without", "its content can"]);
        daemon.terminate();
    }
}
