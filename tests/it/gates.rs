//! The gate gives the same verdict in `check`, `/ready`, `readiness_ready` and on the status page.

use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{
    daemon::{Daemon, Home, output_text},
    service::Service,
    wait_until,
};

const DOWN: &str = "tcp: {address: \"127.0.0.1:1\"}";

/// Configurations of probes beside a service that works, the exit code of `check`, and the verdict of `/ready`.
fn cases() -> Vec<(&'static str, String, i32, &'static str)> {
    let probe = |keys: &str, checks: &str| format!("- {{name: two, {keys}, checks: [{checks}]}}");
    let up = "http: {url: \"${SHOP}\"}";
    vec![
        ("a gated check fails", probe(DOWN, "health"), 1, "fail"),
        ("an ungated check fails", probe(DOWN, "health: {gate: false}"), 0, "pass"),
        ("a check of severity info fails", probe(DOWN, "health: {severity: info}"), 0, "pass"),
        ("a check is unknown", probe(DOWN, "health: {gate: false}, latency: {p50: 400ms}"), 3, "inconclusive"),
        ("too few samples", probe(up, "error_rate: {max: 5%, window: 1h, min_samples: 1000, gate: true}"), 0, "pass"),
        (
            "too few samples, which the configuration lets block",
            probe(up, "error_rate: {max: 5%, window: 1h, min_samples: 1000, gate: true, pending: blocks}"),
            3,
            "inconclusive",
        ),
        ("a disabled check", probe(up, "latency: {p50: 400ms, enabled: \"not before the move\"}"), 0, "pass"),
        ("a disabled probe", probe(&format!("{DOWN}, enabled: \"no database yet\""), "health"), 0, "pass"),
    ]
}

fn home(service: &Service, probe: &str) -> Home {
    // A status page without any check that passes would prove little.
    Home::new(&["- {name: one, http: {url: \"${SHOP}\"}}", probe]).with("SHOP", service.url())
}

/// Waits until every probe that runs has run.
fn serve(home: &Home) -> Daemon {
    let daemon = home.serve();
    wait_until("every probe has run", || match daemon.get("/-/ready").status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    daemon
}

#[test]
fn check_ready_metric_and_page_agree() {
    let service = Service::start();
    for (case, probe, code, verdict) in cases() {
        let home = home(&service, &probe);
        let output = home.run(&["check", "--format", "json"]);
        let report: Value = serde_json::from_str(&output_text(&output).0).unwrap();
        assert_eq!((output.status.code(), &report["verdict"]), (Some(code), &json!(verdict)), "{case}: {report:#}");
        let daemon = serve(&home);
        let answer = daemon.get("/ready");
        let ready = verdict == "pass";
        assert_eq!(
            (answer.status, &answer.json()["verdict"]),
            (if ready { 200 } else { 503 }, &json!(verdict)),
            "{case}"
        );
        assert_eq!(daemon.value("readiness_ready"), Some(f64::from(u8::from(ready))), "{case}");
        let page = daemon.get("/").text();
        // Before any check is judged, the page says that the daemon is starting.
        assert_eq!(page.contains("<h1>Ready</h1>"), ready, "{case}: {page}");
    }
}

#[test]
fn the_page_names_failing_checks_that_do_not_count_and_shows_why_a_check_is_disabled() {
    let service = Service::start();
    let probe = format!(
        "- {{name: two, {DOWN}, checks: [{{health: {{gate: false}}}}, {{latency: {{p50: 400ms}}, enabled: \"not before the move\"}}]}}"
    );
    let daemon = serve(&home(&service, &probe));
    daemon.wait_for("two/health", "fail refused");
    let page = daemon.get("/").text();
    assert!(page.contains("1 check fails without blocking readiness: "), "{page}");
    assert!(page.contains("disabled: not before the move"), "{page}");
    assert_eq!(daemon.get("/ready").json()["ungated_failures"], json!(["two/health"]));
    assert_eq!(daemon.check("two/latency").summary, "disabled: not before the move");
    assert!(daemon.get("/config").text().contains("enabled: not before the move"));
}

/// The result elements of a JUnit report by the name of their test, and the counts of the suite.
fn junit(output: &Output) -> (Vec<(String, String)>, [usize; 3]) {
    let text = output_text(output).0;
    let document = roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let results = cases.flat_map(|case| {
        let found = case.children().filter(|node| ["failure", "error", "skipped"].contains(&node.tag_name().name()));
        found.map(move |node| (case.attribute("name").unwrap().to_owned(), node.tag_name().name().to_owned()))
    });
    let count = |name: &str| document.root_element().attribute(name).unwrap().parse().unwrap();
    (results.collect(), ["failures", "errors", "skipped"].map(count))
}

#[test]
fn a_junit_report_fails_only_for_checks_that_block_and_names_severity_and_gate() {
    let service = Service::start();
    for (case, probe, code, _) in cases() {
        let home = home(&service, &probe);
        let output = home.run(&["check", "--format", "junit"]);
        let (results, [failures, errors, skipped]) = junit(&output);
        assert_eq!(output.status.code(), Some(code), "{case}");
        assert_eq!((failures > 0, failures == 0 && errors > 0), (code == 1, code == 3), "{case}: {results:?}");
        assert_eq!(results.len(), failures + errors + skipped, "{case}: {results:?}");
    }
    let text = output_text(&home(&service, &cases()[1].1).run(&["check", "--format", "junit"])).0;
    for part in ["name=\"severity\" value=\"critical\"", "name=\"gate\" value=\"false\"", "fail: not gated: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn strict_counts_every_check_and_a_selection_without_gated_checks_counts_them_all() {
    let service = Service::start();
    let ungated = home(&service, &cases()[1].1);
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["check", "--strict"], 1),
        (&["check", "--only", "two/*"], 1),
        (&["check", "--only", "two/*", "--only", "one/*"], 0),
        (&["explain", "one"], 0),
        (&["explain", "two"], 1),
    ] {
        assert_eq!(ungated.run(arguments).status.code(), Some(code), "{arguments:?}");
    }
    let text = output_text(&ungated.run(&["check"])).0;
    assert!(text.contains("gate: pass; not counted: 1 failing, unknown or pending"), "{text}");
    let pending = home(&service, &cases()[4].1);
    assert_eq!(pending.run(&["check", "--strict"]).status.code(), Some(3));
    assert_eq!(pending.run(&["explain", "two"]).status.code(), Some(0));
    let unknown = home(&service, &cases()[3].1);
    assert_eq!(unknown.run(&["explain", "two"]).status.code(), Some(3));
}

/// Five checks fail, and one of them does not count: the banner and the filter must not contradict each other.
#[test]
fn the_counts_of_banner_and_filter_agree() {
    let service = Service::start();
    let failing = |n: usize, gate| format!("- {{name: down-{n}, {DOWN}, checks: [{{health: {{gate: {gate}}}}}]}}");
    let probes: Vec<String> = (0..5).map(|n| failing(n, n > 0)).collect();
    let probes: Vec<&str> = probes.iter().map(String::as_str).collect();
    let home =
        Home::new(&[&["- {name: one, http: {url: \"${SHOP}\"}}"], &*probes].concat()).with("SHOP", service.url());
    let daemon = serve(&home);
    let page = daemon.get("/").text();
    assert!(page.contains("4 failing (1 more doesn\u{2019}t block)"), "{page}");
    assert!(page.contains("Fail <b>5</b>"), "{page}");
    assert_eq!(daemon.get("/ready").json()["blocking"], 4);
}
