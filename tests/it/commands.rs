//! The commands `check`, `validate` and `explain` with their exit codes.

use std::{
    collections::HashSet,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    daemon::{Home, output_text, program},
    service::{Service, http_response},
};

/// A check that passes, one that fails, and one that is therefore unknown. The response of the target is hostile to
/// every output format.
const MIXED: &str = "
    - name: good
      http: {url: \"${SHOP}\"}
    - name: bad
      http: {url: \"${SHOP}\"}
      checks:
        - response: {expect: [{name: \"a|b <i>&\", json: $.status, equals: \"<ok> & | `fine` \\\"\"}]}
          severity: warning
    - name: gone
      tcp: {address: \"127.0.0.1:1\"}
      checks: [latency: {p50: 100ms}]
    ";

fn mixed() -> (Service, Home) {
    let service = Service::start();
    let home = Home::new(&[MIXED]).with("SHOP", service.url());
    (service, home)
}

fn check(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let output = home.run(&[&["check"], arguments].concat());
    let (text, error) = output_text(&output);
    assert_eq!(error, "", "standard error is for what went wrong");
    (output.status.code(), text)
}

#[test]
fn the_exit_code_reports_the_worst_status() {
    let (_service, home) = mixed();
    for (arguments, code) in [
        (&[][..], 1),
        (&["--only", "good/*"], 0),
        (&["--only", "bad/health", "--only", "good/*"], 0),
        (&["--only", "bad/*"], 1),
        (&["--only", "gone/latency"], 3),
        (&["--only", "gone/*"], 1),
        (&["--severity", "warning"], 1),
        (&["--category", "performance"], 3),
    ] {
        let (status, text) = check(&home, arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {text}");
    }
    for arguments in [
        &["--only", "nothing/*"][..],
        &["--only", "["],
        &["--severity", "awful"],
        &["--format", "xml"],
        &["--wait", "soon"],
    ] {
        let output = home.run(&[&["check"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    let (_, error) = output_text(&home.run(&["check", "--only", "godo/*"]));
    assert!(error.contains("no check matches; there are: ") && error.contains("good/health"), "{error}");
    home.write("readiness.yaml", "probes: [{name: x, htp: {}}]");
    assert_eq!(home.run(&["check"]).status.code(), Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_does_not_make_the_gate_pass() {
    let (_service, home) = mixed();
    let mut child = home.command(&["check"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn what_is_switched_off_is_neither_asked_nor_waited_for() {
    let service = Service::start();
    let off = "- name: off\n  enabled: false\n  tcp: {address: \"127.0.0.1:1\"}\n  checks: [latency: {p50: 100ms}]";
    let dependent = "- name: shop\n  http: {url: \"${SHOP}\"}\n  depends_on: [off]";
    let home = Home::new(&[off, dependent]).with("SHOP", service.url());
    let (status, text) = check(&home, &[]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("off/latency") && text.contains("disabled"), "{text}");
    let daemon = home.serve();
    daemon.wait_for("shop/health", "pass");
    assert_eq!(daemon.get("/ready").status, 200);
    assert_eq!(daemon.check("off/health").status, "skipped");
    assert_eq!(daemon.runs("off"), 0.0);
}

#[test]
fn the_table_has_the_worst_first_and_counts() {
    let (_service, home) = mixed();
    let (_, text) = check(&home, &[]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("fail "), "{text}");
    assert!(lines[4].starts_with("pass "), "{text}");
    assert_eq!(lines[6], "5 checks: 2 pass, 2 fail, 1 unknown", "{text}");
    assert!(text.contains("gone/health") && text.contains("refused"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where no terminal is");
}

#[test]
fn json_is_for_programs() {
    let (_service, home) = mixed();
    let (_, text) = check(&home, &["--format", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["ready"], false);
    let seen: HashSet<_> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap_or("-").to_owned();
            (format!("{}/{}", text("probe"), text("check")), text("status"), text("reason"))
        })
        .collect();
    let expected = [
        ("good/health", "pass", "-"),
        ("bad/health", "pass", "-"),
        ("bad/response", "fail", "body"),
        ("gone/health", "fail", "refused"),
        ("gone/latency", "unknown", "refused"),
    ];
    let expected = expected.map(|(check, status, reason)| (check.to_owned(), status.to_owned(), reason.to_owned()));
    assert_eq!(seen, expected.into());
}

#[test]
fn junit_is_xml_that_says_the_same() {
    let (_service, home) = mixed();
    let (_, text) = check(&home, &["--format", "junit"]);
    let document = roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let suite = document.root_element();
    let number = |name| suite.attribute(name).unwrap().parse::<usize>().unwrap();
    assert_eq!(["tests", "failures", "errors", "skipped"].map(number), [5, 2, 1, 0]);
    let cases: Vec<_> = suite.children().filter(roxmltree::Node::is_element).collect();
    assert_eq!(cases.len(), 5);
    for (name, result) in [("failure", 2), ("error", 1)] {
        let found: Vec<_> = document.descendants().filter(|node| node.has_tag_name(name)).collect();
        assert_eq!(found.len(), result, "{text}");
        assert!(found.iter().all(|node| node.attribute("message").is_some_and(|text| !text.is_empty())), "{text}");
    }
    let bad = cases.iter().find(|case| case.attribute("name") == Some("response")).unwrap();
    let failure = bad.children().find(|node| node.has_tag_name("failure")).unwrap();
    let message = failure.attribute("message").unwrap();
    assert!(message.contains("a|b <i>&"), "{message}");
}

#[test]
fn markdown_is_a_table_that_foreign_text_does_not_leave() {
    let (_service, home) = mixed();
    let (_, text) = check(&home, &["--format", "markdown"]);
    let rows: Vec<_> = text.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 7, "{text}");
    for row in rows {
        let cells = row.replace("\\|", "").matches('|').count();
        assert_eq!(cells, 7, "{row}");
    }
    assert!(text.starts_with("| status | severity | check | name | owner | finding |\n"), "{text}");
    assert!(text.lines().any(|row| row.contains("fail | warning | ")), "{text}");
    assert!(!text.contains("<i>") && text.contains("`bad/response`"), "{text}");
}

#[test]
fn prometheus_is_a_page_that_promtool_takes() {
    let (_service, home) = mixed();
    let (_, text) = check(&home, &["--format", "prometheus", "--only", "good/*", "--only", "bad/response"]);
    assert!(!text.contains("probe=\"bad\",check=\"health\""), "not asked for\n{text}");
    assert!(text.contains("readiness_check_status{probe=\"bad\",check=\"response\",status=\"fail\"} 1\n"), "{text}");
    // A pushed metric of a failed reload would look like that of a daemon.
    assert!(!text.contains("readiness_config_") && !text.contains("readiness_state_"), "{text}");
    let mut promtool = Command::new(program("promtool", "prometheus"));
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let found: Output = promtool.wait_with_output().unwrap();
    assert!(found.status.success(), "{:?}", output_text(&found));
}

#[test]
fn check_waits_until_the_service_comes_up() {
    let service = Service::start();
    service.set_response(http_response("503 Service Unavailable", "", b"starting"));
    let home = Home::new(&["- name: shop\n  http: {url: \"${SHOP}\"}"]).with("SHOP", service.url());
    let mut waiting = home.command(&["check", "--wait", "1m"]).spawn().unwrap();
    // The command continues to wait after three failed runs.
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    service.set_behaviour(move |stream, _, _| {
        let before = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let status = if before < 2 { "503 Service Unavailable" } else { "200 OK" };
        stream.write_all(&http_response(status, "", b""))
    });
    let status = waiting.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) >= 3, "only the third answer is good");
}

#[test]
fn check_gives_up_in_time() {
    let home = Home::new(&["- name: shop\n  tcp: {address: \"127.0.0.1:1\"}"]);
    let start = Instant::now();
    let (status, text) = check(&home, &["--wait", "2s"]);
    assert_eq!(status, Some(1), "{text}");
    let took = start.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn validate_changes_nothing_and_lists_all_errors() {
    let (service, home) = mixed();
    service.set_behaviour(|_, _, _| panic!("nobody is to come"));
    let good = home.run(&["validate"]);
    assert_eq!(good.status.code(), Some(0));
    assert!(output_text(&good).0.contains("probes: 3, checks: 5"), "{good:?}");
    home.configure(&["- name: x\n  htp: {}\n- name: y\n  tcp: {address: nonsense}\n  interval: 1h 30"]);
    let bad = home.run(&["validate"]);
    let (text, error) = output_text(&bad);
    assert_eq!((bad.status.code(), &*text), (Some(2), ""));
    for part in ["did you mean `http`", "nonsense", "interval", "readiness.yaml:7:"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(home.run(&["serve", "--config.check"]).status.code(), Some(2));
    home.configure(&["- name: y\n  tcp: {address: \"127.0.0.1:1\"}"]);
    assert_eq!(home.run(&["serve", "--config.check"]).status.code(), Some(0));
    let flag = home.run(&["serve", "--config.check", "--web.listen-address", "nonsense"]);
    assert_eq!(flag.status.code(), Some(2), "flags are part of what is checked: {flag:?}");
    assert_eq!(home.run(&["validate", "nonsense"]).status.code(), Some(2));
    let other = home.write("other.yaml", "probes: [{name: z, tcp: {address: \"127.0.0.1:1\"}}]");
    let named = home.run(&["validate", other.to_str().unwrap()]);
    assert_eq!(named.status.code(), Some(0));
    assert!(output_text(&named).0.contains("other.yaml is valid; probes: 1"), "{named:?}");
}

/// `/proc/kmsg` has the type of a regular file, and a read of it waits for the next message of the kernel.
#[test]
fn validate_ends_on_files_that_do_not_end() {
    let home = Home::new(&["- name: x\n  tcp: {address: \"${file:/proc/kmsg}\"}"]);
    let start = Instant::now();
    for arguments in [&["validate"][..], &["validate", "/proc/kmsg"]] {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output_text(&output).1.contains("/proc/kmsg"), "{output:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn without_a_configuration_both_usual_places_are_named() {
    let usual = "/etc/readiness-exporter/readiness.yaml";
    assert!(!Path::new(usual).exists(), "{usual} is there: it would be run instead");
    let folder = tempfile::tempdir().unwrap();
    let says = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
        let output = command.args(arguments).env_clear().current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        output_text(&output).1
    };
    for arguments in [&[][..], &["serve", "--config.check"], &["validate"], &["check"]] {
        let expected = format!(
            "no configuration at config/readiness.yaml nor at {usual}: create one there, or specify it with --config.file\n"
        );
        assert_eq!(says(arguments), expected, "{arguments:?}");
    }
    // A file that exists but is unreadable is an error.
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::os::unix::fs::symlink("gone", folder.path().join("config/readiness.yaml")).unwrap();
    assert!(says(&["validate"]).starts_with("config/readiness.yaml can't be read: No such file"));
}

#[test]
fn explain_shows_phases_facts_and_how_each_check_judged() {
    let (_service, home) = mixed();
    let output = home.run(&["explain", "bad"]);
    let (text, error) = output_text(&output);
    assert_eq!((output.status.code(), &*error), (Some(1), ""));
    for part in
        ["bad (http) worked", "phases\n", "connect", "facts\n", "status: 200", "pass     health", "fail     response"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (text, _) = output_text(&home.run(&["explain", "gone"]));
    assert!(text.contains("failed: refused") && text.contains("unknown  latency"), "{text}");
    let unknown = home.run(&["explain", "nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(output_text(&unknown).1.contains("there are: good, bad, gone"), "{unknown:?}");
}
