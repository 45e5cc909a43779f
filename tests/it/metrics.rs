//! The exposition: golden pages, and their interpretation by promtool and a real Prometheus.

use std::{
    collections::{HashMap, HashSet},
    io::Write,
    net::SocketAddr,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
};

use jiff::Timestamp;
use readiness_exporter::{
    exposition::render_snapshot,
    model::{measure::Bound, metric, units::Unit, verdict::Verdict},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{board, families, http::TestServer, prometheus::Prometheus, until};

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

/// The page without values that differ between builds or runs.
fn steady(page: &str) -> String {
    let varies =
        ["readiness_build_info{", "readiness_build{", "readiness_scrape_render_duration_seconds ", "readiness_tasks "];
    let line = |line: &str| match varies.iter().find(|start| line.starts_with(**start)) {
        Some(start) => format!("{start}...\n"),
        None => format!("{line}\n"),
    };
    page.lines().filter(|line| !line.contains("process_")).map(line).collect()
}

#[tokio::test]
async fn the_page_is_the_golden_one() {
    let door = TestServer::open(families::complete("2026-11-21T12:00:00Z".parse().unwrap())).await;
    for (headers, file) in [("", "page.txt"), (OPEN, "page.openmetrics")] {
        let page = steady(&door.ask("GET", "/metrics", headers).await.text());
        let path = format!("{}/tests/it/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let difference = golden.lines().zip(page.lines()).find(|(golden, page)| golden != page);
        assert!(
            golden == page,
            "{file} differs (UPDATE_GOLDEN=1 writes it anew) at {difference:?}; {} lines for {}",
            page.lines().count(),
            golden.lines().count()
        );
    }
}

#[test]
fn a_value_between_two_limits_shows_the_smaller_of_its_headrooms() {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let board = board::large(1, now);
    let bounds = [(Bound::Min, 4.0), (Bound::Max, 20.0)];
    let size = |(bound, limit)| board::measure("size", 16.0, Unit::Number, bound, None, limit);
    let verdicts = vec![board::healthy(), Verdict::from_measures(bounds.map(size).into()), board::healthy()];
    board.record("service-0000", board::report(now, verdicts), 0.0);
    let page = render_snapshot(board.snapshot()).unwrap();
    let series = "readiness_check_headroom_ratio{probe=\"service-0000\",check=\"latency\",measure=\"size\"} ";
    let found: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(series)).collect();
    assert_eq!(found.len(), 1, "a series is there once");
    assert!((found[0].parse::<f64>().unwrap() - 0.2).abs() < 1e-9, "a fifth of the upper limit is left: {found:?}");
}

#[tokio::test]
async fn promtool_finds_nothing_on_a_page_of_every_family_in_either_format() {
    let door = TestServer::open(families::complete(Timestamp::now())).await;
    let open = door.ask("GET", "/metrics", OPEN).await.text();
    for (format, page) in [("text", door.get("/metrics").await.text()), ("OpenMetrics", classic(&open))] {
        let types: HashSet<_> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let missing: Vec<_> = metric::ALL.iter().filter(|family| !types.contains(family.name)).collect();
        assert!(missing.is_empty(), "{format}: {missing:?}");
        let (status, said) = promtool(&page);
        assert!(said.is_empty() && status.success(), "{format}: {status} {said}");
    }
    let (_, said) = promtool("# TYPE readiness_x gauge\nreadiness_x{quantile=\"0.5\"} 1\n");
    assert!(said.contains("quantile") && said.contains("no help text"), "promtool finds what is wrong: {said}");
}

/// The output of `promtool check metrics` on a page, and its exit status.
fn promtool(page: &str) -> (ExitStatus, String) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is part of Debian's package prometheus: tests/setup installs it");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    (output.status, String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A page in OpenMetrics as promtool reads it, which knows the classic format only: counters and info families have
/// their suffix in the header too, and the end mark is a comment.
fn classic(open: &str) -> String {
    let kind = |line: &str| {
        line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ').map(|(n, k)| (n.to_owned(), k.to_owned())))
    };
    let kinds: HashMap<_, _> = open.lines().filter_map(kind).collect();
    let suffix = |name: &str| match kinds[name].as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let header = |line: &str| -> Option<String> {
        let (word, rest) = line.strip_prefix("# ")?.split_once(' ')?;
        let (name, rest) = rest.split_once(' ')?;
        let rest = if word == "TYPE" { rest.replace("info", "gauge") } else { rest.to_owned() };
        Some(format!("# {word} {name}{} {rest}\n", suffix(name)))
    };
    open.lines().map(|line| header(line).unwrap_or_else(|| format!("{line}\n"))).collect()
}

#[tokio::test]
async fn both_formats_packed_or_not_say_the_same() {
    let door = TestServer::open(families::complete(Timestamp::now())).await;
    let text = door.get("/metrics").await;
    let open = door.ask("GET", "/metrics", OPEN).await;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores")
    );
    let samples = |page: &str| -> HashSet<String> {
        let stable =
            |line: &&str| !line.starts_with('#') && !line.starts_with("process_") && !line.contains("_render_");
        page.lines().filter(stable).map(str::to_owned).collect()
    };
    let expected = samples(&text.text());
    assert_eq!(expected, samples(&open.text()));
    assert!(open.text().ends_with("\n# EOF\n") && !text.text().contains("EOF"));
    for headers in ["", OPEN] {
        let packed = door.ask("GET", "/metrics", &format!("Accept-Encoding: gzip\r\n{headers}")).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.header("vary"), Some("accept, accept-encoding"));
        assert_eq!(samples(&packed.gunzip()), expected);
    }
}

#[tokio::test]
async fn a_page_is_rendered_once_for_each_change_however_long_it_is() {
    for probes in [1, 200] {
        let (board, now) = (board::large(probes, Timestamp::now()), Timestamp::now());
        let door = TestServer::open(Arc::clone(&board)).await;
        let board_of = |page: &str| -> Vec<String> {
            let varies = |line: &&str| line.contains("process_") || line.contains("readiness_tasks");
            page.lines().filter(|line| !varies(line)).map(str::to_owned).collect()
        };
        let first = board_of(&door.get("/metrics").await.text());
        // A second rendering would contain the duration of the first one.
        assert!(first.contains(&"readiness_scrape_render_duration_seconds 0".to_owned()), "{probes}");
        assert_eq!(board_of(&door.get("/metrics").await.text()), first, "{probes} probes");
        board.skip("service-0000", "another", now);
        let packed = board_of(&door.ask("GET", "/metrics", "Accept-Encoding: gzip\r\n").await.gunzip());
        assert_ne!(packed, first, "{probes} probes");
        if probes > 1 {
            assert_eq!(board_of(&door.get("/metrics").await.text()), packed, "a long page is kept once, packed");
        }
    }
}

#[tokio::test]
async fn no_series_is_there_twice_and_each_family_stands_once() {
    let door = TestServer::open(families::complete(Timestamp::now())).await;
    let page = door.get("/metrics").await.text();
    let mut seen = HashSet::new();
    for line in page.lines() {
        let key = if line.starts_with('#') { line } else { line.rsplit_once(' ').unwrap().0 };
        assert!(seen.insert(key), "twice: {key}");
    }
}

#[tokio::test]
async fn what_is_on_the_page_is_in_the_registry_and_the_daemons_own_is_always_there() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let page = door.get("/metrics").await.text();
    let exposed: HashSet<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let known: HashSet<_> = metric::ALL.iter().map(|family| family.name).collect();
    for name in &exposed {
        assert!(known.contains(name) || name.starts_with("process_"), "{name} is exposed but not in the list");
    }
    for family in
        metric::ALL.iter().filter(|family| !family.labels.contains(&"probe") || family.name.contains("_probe_"))
    {
        assert!(exposed.contains(family.name), "{} is the daemon's own and missing", family.name);
    }
}

/// The header `Accept` of Prometheus 3 with one of its escaping schemes.
fn prometheus_3(scheme: &str) -> String {
    format!(
        "Accept: application/openmetrics-text;version=1.0.0;escaping={scheme};q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping={scheme};q=0.3,\
         text/plain;version=0.0.4;q=0.2,*/*;q=0.1\r\n"
    )
}

#[tokio::test]
async fn open_metrics_names_the_escaping_that_was_asked_for_and_no_name_needs_one() {
    let door = TestServer::open(families::complete(Timestamp::now())).await;
    let names = |page: &str| -> Vec<String> {
        let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
        page.lines().filter(|line| !line.starts_with('#')).map(name).collect()
    };
    let plain = names(&door.get("/metrics").await.text());
    let is_classic = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    assert!(plain.iter().all(is_classic), "a name that needs no escaping");
    for (asked, answered) in [
        ("underscores", "underscores"),
        ("values", "values"),
        ("allow-utf-8", "allow-utf-8"),
        ("dots", "underscores"),
        ("nonsense", "underscores"),
    ] {
        let open = door.ask("GET", "/metrics", &prometheus_3(asked)).await;
        let expected = format!("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={answered}");
        assert_eq!(open.header("content-type"), Some(&*expected), "{asked}");
        assert_eq!(names(&open.text()), plain, "{asked}");
    }
}

#[tokio::test]
async fn a_reload_removes_and_changes_series_at_once() {
    let now = Timestamp::now();
    let board = board::busy(now);
    let door = TestServer::open(board.clone()).await;
    assert!(door.get("/metrics").await.text().contains("payments"));
    board.replace_probes(vec![(board::probe("new", "tcp", &[], vec![]), vec![])], |_| false, now);
    let page = door.get("/metrics").await.text();
    assert!(!page.contains("payments") && page.contains("readiness_probe_runs_total{probe=\"new\"} 0"), "{page}");
    board.record("new", board::report(now, vec![]), 0.0);
    assert!(door.get("/metrics").await.text().contains("readiness_probe_runs_total{probe=\"new\"} 1"));
}

#[tokio::test]
async fn outdated_values_disappear_and_retained_values_stay() {
    let now = Timestamp::now();
    let board = board::busy(now);
    let door = TestServer::open(board.clone()).await;
    let down = board::failed(now, readiness_exporter::model::words::Reason::Refused, "gone", 3);
    board.record("api", down, 0.0);
    let page = door.get("/metrics").await.text();
    for gone in ["readiness_latency_seconds{", "readiness_error_ratio{probe=\"api\"", "measure=\"p95\""] {
        assert!(!page.contains(gone), "{gone}");
    }
    for stays in [
        "readiness_latency_limit_seconds{probe=\"api\",check=\"latency\",percentile=\"p95\",level=\"warn\"} 0.3",
        "readiness_certificate_not_after_timestamp_seconds{probe=\"api\",position=\"leaf\",verified=\"true\"} 1900000000",
        "readiness_probe_failures_total{probe=\"api\",reason=\"refused\"} 1",
        "readiness_probe_phase_duration_seconds{probe=\"api\",phase=\"connect\"} 0",
    ] {
        assert!(page.contains(stays), "{stays}");
    }
}

/// Forwards requests without OpenMetrics in `Accept`, like an old scraper.
async fn old_scraper(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = client.read(&mut request).await;
                let mut server = TcpStream::connect(to).await.unwrap();
                let head = "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\
                            Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n\r\n";
                server.write_all(head.as_bytes()).await.unwrap();
                let _ = tokio::io::copy(&mut server, &mut client).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_real_prometheus_takes_in_both_formats_without_a_word() {
    let now = Timestamp::now();
    let board = families::complete(now);
    let door = TestServer::open(board.clone()).await;
    let jobs = [("open", door.address), ("text", old_scraper(door.address).await)];
    let prometheus = Prometheus::scraping(&jobs).await;
    let page = door.get("/metrics").await.text();
    let samples = page.lines().filter(|line| !line.starts_with('#')).count() as f64;
    for (job, _) in jobs {
        for (expression, expected) in [
            (format!("up{{job=\"{job}\"}}"), 1.0),
            (format!("scrape_samples_scraped{{job=\"{job}\"}}"), samples),
            (format!("count({{job=\"{job}\",__name__=~\"readiness_.*|process_.*\"}})"), samples),
            (format!("readiness_latency_limit_seconds{{job=\"{job}\",percentile=\"p99\"}}"), 2.0),
        ] {
            let look = async || match prometheus.number(&expression).await {
                Some(number) if number == expected => Ok(()),
                other => Err(format!("{other:?}, not {expected}: {}", prometheus.log())),
            };
            until(&expression, look).await;
        }
    }
    let (open, text) = (prometheus.series("open").await, prometheus.series("text").await);
    assert_eq!(open, text);
    let hostile = serde_json::to_string(board::HOSTILE).unwrap();
    assert!(open.iter().any(|series| series.contains("probe_success") && series.contains(&hostile)), "{hostile}");
    let said = prometheus.log();
    let complaints: Vec<_> =
        said.lines().filter(|line| line.contains("level=warn") || line.contains("level=error")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    // Removed series are stale directly after the reload.
    board.replace_probes(vec![], |_| false, now);
    let look = async || match prometheus.number("count(readiness_probe_info)").await {
        None => Ok(()),
        other => Err(other),
    };
    until("no probe left", look).await;
}
