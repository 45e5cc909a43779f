//! Names that a target chooses: of any length, with control characters, and with guesses of secrets in them.

use std::{collections::BTreeSet, fmt::Write};

use crate::harness::{
    daemon::{Home, output_text},
    service::{Service, http_response},
};

const POOLS: &str = "
    - name: pools
      metrics: {url: \"${TARGET}\"}
      interval: 10s
      timeout: 10s
      checks:
        - pool: {used: used, size: size}
        - value: {series: used, max: 1}
    ";

/// Escape sequences, line ends and a character that turns the direction of the text.
const STEERING: &str = "a\\n\u{1b}[2J\u{1b}[31mFORGED pass everything\u{1b}[0m\u{202e}<b>x</b>";

#[test]
fn names_from_a_target_are_bounded_and_steer_no_terminal() {
    const COUNT: usize = 18;
    let service = Service::start();
    let page = (0..COUNT).fold(String::new(), |mut page, n| {
        let name = format!("{STEERING}{}{n}", "x".repeat(60_000));
        let _ = writeln!(page, "used{{pool=\"{name}\"}} 10\nsize{{pool=\"{name}\"}} 10");
        page
    });
    service.set_response(http_response("200 OK", "Content-Type: text/plain; version=0.0.4\r\n", page.as_bytes()));
    let home = Home::new(&[POOLS]).with("TARGET", service.url());
    let daemon = home.serve();
    daemon.wait_for("pools/pool", "fail limit");
    daemon.wait_for("pools/value", "fail limit");
    let metrics = daemon.get("/metrics").text();
    let names: BTreeSet<_> =
        metrics.lines().filter(|line| line.starts_with("readiness_pool_utilization_ratio{")).collect();
    assert_eq!(names.len(), COUNT, "different names stay different");
    println!("/metrics has {} bytes", metrics.len());
    assert!(metrics.len() < 100_000, "{}", metrics.len());
    let mut texts: Vec<_> = ["/", "/metrics", "/api/v1/status", "/api/v1/checks", "/api/v1/checks/pools/pool"]
        .map(|path| (path, daemon.get(path).text()))
        .into();
    texts.push(("the log", daemon.log()));
    for command in [&["check"][..], &["explain", "pools"]] {
        let (out, error) = output_text(&home.run(command));
        assert!(out.contains("FORGED"), "the name is quoted: {out}");
        texts.push((command[0], out + &error));
    }
    for (place, text) in texts {
        let control = text.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || *c == '\u{202e}');
        assert_eq!(control, None, "{place}");
        let longest = text.lines().map(str::len).max().unwrap_or_default();
        // The page and the API are single lines.
        assert!(longest < if place.starts_with('/') { 60_000 } else { 3_000 }, "{place} has a line of {longest} bytes");
    }
    daemon.terminate();
}

#[test]
fn a_target_that_guesses_the_token_of_another_probe_learns_nothing() {
    const TOKEN: &str = "hvs.CAESIJ7xq93Lk0pQ-vault";
    const LENGTHS: std::ops::Range<usize> = 4..TOKEN.len();
    // The same beginning, and one with another last character.
    let guesses = |length: usize| {
        let (right, wrong) = (&TOKEN[..length], format!("{}?", &TOKEN[..length - 1]));
        [
            (format!("right{length}"), format!("{right}... {right}\u{2026}")),
            (format!("wrong{length}"), format!("{wrong}...")),
        ]
    };
    let mut answer = serde_json::Map::from_iter([("whole".to_owned(), TOKEN.into())]);
    answer.extend(LENGTHS.flat_map(guesses).map(|(name, text)| (name, text.into())));
    let (guessing, victim) = (Service::start(), Service::start());
    let body = serde_json::Value::Object(answer).to_string();
    guessing.set_response(http_response("200 OK", "Content-Type: application/json\r\n", body.as_bytes()));
    let names = LENGTHS.flat_map(guesses).map(|(name, _)| name).chain(["whole".to_owned()]);
    let checks = names.fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "        - {{name: {name}, response: {{expect: [{{json: $.{name}, equals: ok}}]}}}}");
        text
    });
    let probes = format!(
        "
    - name: victim
      http: {{url: \"${{VICTIM}}\", bearer_token: {TOKEN}}}
      checks: [health]
    - name: guessing
      http: {{url: \"${{GUESSING}}\"}}
      checks:
{checks}
    "
    );
    let home = Home::new(&[&probes]).with("VICTIM", victim.url()).with("GUESSING", guessing.url());
    let daemon = home.serve();
    daemon.wait_for("victim/health", "pass");
    for (name, text) in LENGTHS.flat_map(guesses) {
        let summary = daemon.wait_for(&format!("guessing/{name}"), "fail body").summary;
        assert!(summary.contains(&text), "{name}: {summary}");
    }
    let summary = daemon.check("guessing/whole").summary;
    assert!(summary.contains("<hidden>") && !summary.contains(TOKEN), "{summary}");
    daemon.terminate();
}
