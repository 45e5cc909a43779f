//! The `metrics` probe compared with a real Prometheus on the same pages: parsed series, rejected pages, increases of
//! counters, and quantiles.

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use readiness_exporter::{
    model::{
        check::Check,
        failure::Failure,
        observation::{Observation, Timing},
    },
    probes::metrics::{
        checks::{error_rate::ErrorRate, latency::Latency},
        exposition_format::{
            page::{Format, Page},
            parser::{Parser, ParserLimits, Wanted},
        },
    },
};
use serde_json::{from_value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{prometheus::Prometheus, until};

const TEXT: &str = "text/plain; version=0.0.4";
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

/// Serves the current page.
async fn serving(kind: &'static str, page: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let page = page.lock().unwrap().clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let length = page.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&page).await
            });
        }
    });
    address
}

fn read(kind: &str, page: &[u8]) -> Result<Page, Failure> {
    let wanted = Wanted::from(vec!["{__name__=~\".+\"}".parse().unwrap()]);
    let format = if kind == OPEN { Format::OpenMetrics } else { Format::Text };
    let mut parser = Parser::new(&wanted, ParserLimits::default(), format, None);
    parser.feed(page)?;
    parser.finish()
}

/// The parsed series in the format of the API of Prometheus.
fn ours(page: &Page) -> BTreeMap<String, f64> {
    let of = |series: &readiness_exporter::probes::metrics::exposition_format::series::Series| {
        let labels = series.labels.iter().map(|(label, value)| (label.to_string(), value.to_string()));
        let all: BTreeMap<_, _> = labels.chain([("__name__".to_owned(), series.name.to_string())]).collect();
        (serde_json::to_string(&all).unwrap(), series.value)
    };
    page.series.iter().map(of).collect()
}

/// Pages that the two parsers might interpret differently, without the two known differences (see
/// `probes/metrics/exposition_format/sample_line.rs`).
const PAGES: &[(&str, &[u8])] = &[
    (TEXT, b"# HELP a A.\n# TYPE a counter\na{x=\"1\",y=\"2\"} 5\na{y=\"3\"} +Inf\nb NaN\nc -Inf\nd 1.5e-7\ne .5\nf 5.\n"),
    (TEXT, b"a{x=\"C:\\\\DIR\",y=\"\\\"\\n\"} 1\n"),
    (TEXT, b"a{x=\"\\x\"} 1\n"),
    (TEXT, b"a{x=\"\",y=\"\xc3\xa9 {},=#\"} 1\n"),
    (TEXT, b"a 1\n\n# a comment\n\nb 2\n"),
    (TEXT, b"a 1\n#another\nb 2\n"),
    (TEXT, b"a 1\n  \t \nb 2\n"),
    (TEXT, b"a:b_1 \t 2\n"),
    (TEXT, b"a 2 \t\n"),
    (TEXT, b"a{x=\"1\",} 1\nb{} 2\nc { x = \"1\" , y=\"2\" } 3\nd{x=\"1\"}4\n"),
    (TEXT, b"a 1\na 2\nb{x=\"1\",y=\"2\"} 3\nb{y=\"2\",x=\"1\"} 4\n"),
    (TEXT, b"a 1"),
    (TEXT, b"# HELP a A.\n# TYPE a histogram\na_bucket{le=\"0.1\"} 3\na_bucket{le=\"+Inf\"} 4\na_sum 1\na_count 4\nnan nan\ninf infinity\n"),
    (TEXT, b"<!DOCTYPE html>\n<html></html>\n"),
    (TEXT, b"{\"status\": \"up\"}\n"),
    (TEXT, b"a 1\nb{x=\"1"),
    (TEXT, b"a 1\r\nb 2\r\n"),
    (TEXT, b"a{x=\"\xff\"} 1\n"),
    (TEXT, b"a 1_000\n"),
    (TEXT, b"a 0x10\n"),
    (TEXT, b"a 1e999\n"),
    (TEXT, b"a 1 5.5\n"),
    (TEXT, b"a 1 # {x=\"1\"} 1\n"),
    (TEXT, b"a-b 1\n"),
    (TEXT, b"a{x:y=\"1\"} 1\n"),
    (TEXT, b"a{x=\"1\",x=\"2\"} 1\n"),
    (TEXT, b"a\n"),
    (OPEN, b"# HELP a A.\n# TYPE a counter\n# UNIT b_seconds seconds\na_total{x=\"1\"} 5 # {t=\"1\"} 1 2.5\na_created 5.5\nb_seconds{} NaN\n# EOF\n"),
    (OPEN, b"# TYPE a histogram\na_bucket{le=\"1.0\"} 3 # {} 0.5\na_bucket{le=\"+Inf\"} 4\na_sum 1\na_count 4\n# EOF"),
    (OPEN, b"a 1\n"),
    (OPEN, b"a 1\n# EOF\nb 1\n"),
    (OPEN, b"a 1\n\n# EOF\n"),
    (OPEN, b"a  1\n# EOF\n"),
    (OPEN, b" a 1\n# EOF\n"),
    (OPEN, b"# a comment\na 1\n# EOF\n"),
    (OPEN, b"a 1 # {t=\"1\"}\n# EOF\n"),
    (OPEN, b"<html></html>\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_read_and_refused_as_prometheus_does() {
    let names: Vec<_> = (0..PAGES.len()).map(|n| format!("page-{n}")).collect();
    let mut jobs = Vec::new();
    for (name, (kind, page)) in names.iter().zip(PAGES) {
        jobs.push((name.as_str(), serving(kind, Arc::new(Mutex::new(page.to_vec()))).await));
    }
    let prometheus = Prometheus::scraping(&jobs).await;
    let mut differences = Vec::new();
    for (name, (kind, page)) in names.iter().zip(PAGES) {
        let shown = String::from_utf8_lossy(page);
        let up = format!("up{{job=\"{name}\"}}");
        until("a scrape", async || prometheus.number(&up).await.map(drop).ok_or(name)).await;
        let (up, mine) = (prometheus.number(&up).await == Some(1.0), read(kind, page));
        let theirs = prometheus.values(&format!("{{job=\"{name}\",__name__!~\"up|scrape_.*\"}}")).await;
        // The values are compared as text, because NaN is not equal to itself.
        let ours = mine.as_ref().map(ours).unwrap_or_default();
        if up != mine.is_ok() || format!("{theirs:?}") != format!("{ours:?}") {
            differences.push(format!("{shown:?}: Prometheus reads {theirs:?} ({up}), we read {mine:?}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Pages of a service at the times 0 to 8. The service was restarted before time 5.
fn growing(moment: u32) -> String {
    // The counts are far above the increases, so that Prometheus extrapolates all of them in the same way.
    let (start, n) = if moment < 5 { (100_000, moment) } else { (0, moment - 4) };
    let mut page = format!("moment {moment}\n");
    let (good, bad) = (start + 90 * n + n * n, start + 7 * n);
    writeln!(page, "x_total{{code=\"200\"}} {good}\nx_total{{code=\"500\"}} {bad}").unwrap();
    for path in [1, 2] {
        let mut sum = start;
        for (le, share) in [("0.05", 3), ("0.1", 11), ("0.5", 17), ("1", 5), ("2.5", 1), ("+Inf", 0)] {
            sum += share * n * path;
            writeln!(page, "x_seconds_bucket{{path=\"/{path}\",le=\"{le}\"}} {sum}").unwrap();
        }
    }
    page
}

fn seen(moment: u32, page: &str) -> Observation<Page> {
    let second = Duration::from_secs;
    Observation {
        at: Timestamp::from_second(1_000_000 + i64::from(moment) * 10).unwrap(),
        duration: Duration::from_millis(5),
        timing: Timing { interval: second(10), retry_interval: second(10), timeout: second(5) },
        phases: Vec::new(),
        facts: Some(read(TEXT, page.as_bytes()).unwrap()),
        failure: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_rates_and_quantiles_over_a_reset_are_those_of_prometheus() {
    let page = Arc::new(Mutex::new(growing(0).into_bytes()));
    let prometheus = Prometheus::scraping(&[("x", serving(TEXT, Arc::clone(&page)).await)]).await;
    let limits = json!({"histogram": "x_seconds", "p50": "9s", "p90": "9s", "p95": "9s", "p99": "9s", "p999": "9s", "window": "10m"});
    let rate = json!({"errors": "x_total{code=~\"5..\"}", "total": "x_total", "max": "99%", "window": "10m"});
    let (mut latency, mut rate): (Latency, ErrorRate) = (from_value(limits).unwrap(), from_value(rate).unwrap());
    let mut last = None;
    for moment in 0..=8 {
        let text = growing(moment);
        *page.lock().unwrap() = text.clone().into_bytes();
        let look = async || match prometheus.number("moment").await {
            Some(number) if number == f64::from(moment) => Ok(()),
            other => Err(format!("{other:?}: {}", prometheus.log())),
        };
        until("the next moment", look).await;
        let seen = seen(moment, &text);
        last = Some((latency.judge(&seen), rate.judge(&seen)));
    }
    let (latency, rate) = last.unwrap();
    assert_eq!(latency.samples.len(), 5, "{latency:?}");
    for sample in &latency.samples {
        // `p99.9` is the quantile 0.999.
        let share = sample.labels[0].trim_start_matches('p').parse::<f64>().unwrap() / 100.0;
        let expression = format!("histogram_quantile({share}, sum by (le) (increase(x_seconds_bucket[10m])))");
        let theirs = prometheus.number(&expression).await.unwrap();
        assert!((sample.value - theirs).abs() < 1e-9, "{share}: {} here, {theirs} for Prometheus", sample.value);
    }
    let expression = "sum(increase(x_total{code=~\"5..\"}[10m])) / sum(increase(x_total[10m]))";
    let theirs = prometheus.number(expression).await.unwrap();
    let ours = rate.samples[0].value;
    assert!((ours - theirs).abs() < 1e-9, "{ours} here, {theirs} for Prometheus");
}
