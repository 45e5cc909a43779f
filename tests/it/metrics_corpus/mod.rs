//! A corpus of metrics pages, read by a `metrics` probe and by real Prometheus servers.
//!
//! One server serves all pages, and one Prometheus scrapes them. Prometheus 2.42 (Debian bookworm) runs in the test. The
//! results of Prometheus 3.5.3 (Debian forky) are in `prometheus-3.txt`; a test compares with the file. To record it
//! again: `RECORD_PROMETHEUS=/path/to/prometheus cargo nextest run --test it metrics_corpus::`.

mod pages;

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, path::Path, sync::Arc};

use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use self::pages::CorpusPage;
use crate::harness::{probe_under_test::ProbeUnderTest, prometheus::Prometheus, until};

/// Series of a page with their values, or `None` for a refused page.
type PageResult = Option<BTreeMap<String, String>>;

/// Serves the pages as `/0`, `/1` and so on.
async fn serve(pages: Arc<Vec<CorpusPage>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let pages = Arc::clone(&pages);
            tokio::spawn(answer(stream, pages));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, pages: Arc<Vec<CorpusPage>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let number: usize = text.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
    let page = &pages[number];
    let mut head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n", page.body.len());
    if let Some(content_type) = &page.content_type {
        write!(head, "Content-Type: {content_type}\r\n").unwrap();
    }
    if let Some(encoding) = page.content_encoding {
        write!(head, "Content-Encoding: {encoding}\r\n").unwrap();
    }
    stream.write_all((head + "\r\n").as_bytes()).await?;
    stream.write_all(&page.body).await
}

/// Reads all pages with a Prometheus: one job, and a file with one target for each page.
async fn read_by_prometheus(program: &str, address: SocketAddr, count: usize) -> (Vec<PageResult>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let targets = folder.path().join("targets.json");
    let of_page = |n: usize| serde_json::json!({"targets": [address.to_string()], "labels": {"__metrics_path__": format!("/{n}"), "corpus_page": n.to_string()}});
    std::fs::write(&targets, serde_json::Value::from((0..count).map(of_page).collect::<Vec<_>>()).to_string()).unwrap();
    let configuration = format!(
        "global: {{scrape_interval: 3s, scrape_timeout: 3s}}\nscrape_configs:\n\
         - {{job_name: corpus, file_sd_configs: [{{files: [{}]}}]}}\n",
        targets.display()
    );
    let prometheus = Prometheus::started(program, &configuration).await;
    // Prometheus distributes the scrapes over the interval, and finds the targets after five seconds.
    until("the first scrapes", async || prometheus.number("count(up{job=\"corpus\"})").await.map(drop).ok_or(())).await;
    until("a scrape of every page", async || match prometheus.number("count(up{job=\"corpus\"})").await {
        Some(scraped) if scraped as usize == count => Ok(()),
        other => Err((other, count)),
    })
    .await;
    let mut results = vec![None; count];
    let number = |labels: &BTreeMap<String, String>| labels["corpus_page"].parse::<usize>().unwrap();
    let mut errors = vec![String::new(); count];
    for (n, error) in prometheus.scrape_errors("corpus_page").await {
        // The state of the target, because a page may contain a series `up` itself.
        results[n] = error.is_empty().then(BTreeMap::new);
        errors[n] = error;
    }
    for (labels, value) in prometheus.instant("{job=\"corpus\",__name__!~\"up|scrape_.*\"}").await {
        results[number(&labels)].get_or_insert_default().insert(series_id(labels), value_text(&value));
    }
    (results, errors)
}

/// The identity of a series in the notation of the probe's facts.
fn series_id(mut labels: BTreeMap<String, String>) -> String {
    let mut id = labels.remove("__name__").unwrap_or_default();
    for added in ["job", "instance", "corpus_page"] {
        labels.remove(added);
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    if !labels.is_empty() {
        write!(id, "{{{}}}", labels.join(",")).unwrap();
    }
    id
}

/// A value as text; the notation of equal values is the same.
fn value_text(value: &str) -> String {
    let value: f64 = value.parse().unwrap();
    if value.is_nan() { "NaN".to_owned() } else { format!("{value:?}") }
}

/// Reads a page with a `metrics` probe. Returns the finding about a refused page, too.
async fn read_by_probe(address: SocketAddr, number: usize) -> (PageResult, String) {
    let probe = ProbeUnderTest::new(&format!(
        "metrics: {{url: \"http://{address}/{number}\"}}\nchecks: [{{present: {{series: ['{{__name__=~\".+\"}}']}}}}]"
    ));
    let run = probe.run().await;
    let finding = run.verdict("health").summary.clone();
    // Prometheus accepts a page without samples. The probe refuses it with a reason of its own.
    if run.reason() == Some(readiness_exporter::model::words::Reason::Empty) {
        return (Some(BTreeMap::new()), finding);
    }
    if run.reason().is_some() {
        return (None, finding);
    }
    let series = run.fact("/series").as_object().unwrap().iter();
    let is_own = |(id, _): &(&String, &serde_json::Value)| !(id.starts_with("up") || id.starts_with("scrape_"));
    let text = |value: &serde_json::Value| value_text(value.as_str().unwrap_or(&value.to_string()));
    (Some(series.filter(is_own).map(|(id, value)| (id.clone(), text(value))).collect()), finding)
}

/// A result as one line.
fn line(result: &PageResult) -> String {
    match result {
        None => "refused".to_owned(),
        Some(series) => {
            // Facts show invisible characters and long names in another form.
            let is_shown = |id: &str| id.len() <= 128 && !id.contains('…') && !id.chars().any(char::is_control);
            let shown = |id| if is_shown(id) { id } else { "(not shown)" };
            let text: Vec<_> = series.iter().map(|(id, value)| format!("{} {value}", shown(id))).collect();
            format!("{:?}", text.join(" | "))
        }
    }
}

/// Parts of the names of pages that Prometheus 3 reads and Prometheus 2.42 refuses: names in quotes, and a comma before
/// the closing brace in OpenMetrics.
const AS_PROMETHEUS_3: &[&str] = &[
    "sample: label name quoted",
    "sample: name in braces",
    "sample: exemplar quoted label",
    "open: sample: labels trailing comma",
    "open: sample: exemplar trailing comma",
    "help name quoted",
    "type quoted name",
];

/// Parts of the names of pages that Prometheus 2.42 and 3 read differently, and the probe as Prometheus 2.42: blanks
/// before a name, which become part of the name in Prometheus 3; a page in OpenMetrics without its end; and content
/// types, which the probe names if the page can't be parsed.
const AS_PROMETHEUS_2: &[&str] = &[
    "text: sample: blank before name",
    "text: sample: blanks before name",
    "text: sample: tab before name",
    "open: page: empty",
    "content type: none",
    "content type: empty",
    "content type: text broken parameter",
    "content type: html",
    "content type: json",
    "content type: octets",
    "content type: two",
    "content type: no slash",
    "content type: words",
];

/// Pages that the probe reads as neither version does, with the reason.
const OWN_READING: &[(&str, &str)] = &[
    ("text: sample: nul alone", "Prometheus ends the page at a NUL, and would ignore the rest of a damaged page"),
    ("text: page: nul at end", "as above"),
    ("open: page: nul at end", "as above"),
    ("text: page: UTF-16 without mark", "as above: Prometheus reads an empty page"),
    ("text: time: @SOON@", "Prometheus shows the sample when its time comes; the probe judges the newest sample"),
    ("open: time: @SOON@", "as above"),
    ("text: sample: label twice one empty", "Prometheus drops the value of the label, too"),
    ("open: sample: label twice one empty", "as above"),
    ("encoding: gzip and zeros", "padding after gzip is harmless; `gzip -d` ignores it, too"),
];

const RECORDED: &str = "tests/it/metrics_corpus/prometheus-3.txt";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_accepted_and_read_as_prometheus_does() {
    let pages = Arc::new(pages::all(Timestamp::now().as_millisecond()));
    let count = pages.len();
    assert!(count > 300, "{count} pages");
    let address = serve(Arc::clone(&pages)).await;
    if let Ok(program) = std::env::var("RECORD_PROMETHEUS") {
        let (results, errors) = read_by_prometheus(&program, address, count).await;
        let lines = pages
            .iter()
            .zip(&results)
            .map(|(page, result)| format!("{}\t{}\n", page.name.escape_debug(), line(result)));
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDED), lines.collect::<String>()).unwrap();
        for (page, error) in pages.iter().zip(errors).filter(|(_, error)| !error.is_empty()) {
            eprintln!("{}: {error}", page.name.escape_debug());
        }
    }
    let recorded = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDED)).unwrap_or_default();
    let recorded: BTreeMap<&str, &str> = recorded.lines().filter_map(|line| line.split_once('\t')).collect();
    let (theirs, errors) = read_by_prometheus("prometheus", address, count).await;
    let (mut differences, mut own) = (Vec::new(), 0);
    for (n, page) in pages.iter().enumerate() {
        let (ours, finding): (PageResult, String) = read_by_probe(address, n).await;
        let (name, ours, old) = (page.name.escape_debug().to_string(), line(&ours), line(&theirs[n]));
        let new = recorded.get(name.as_str()).copied().unwrap_or("not recorded");
        let is_listed = |list: &[&str]| list.iter().any(|part| name.contains(part));
        let is_expected = match () {
            () if OWN_READING.iter().any(|(listed, _)| *listed == name) => {
                own += 1;
                ours != old && ours != new
            }
            () if is_listed(AS_PROMETHEUS_3) => ours == new,
            () if is_listed(AS_PROMETHEUS_2) => ours == old,
            () => ours == old && ours == new,
        };
        if !is_expected {
            differences
                .push(format!("{name}\n  probe {ours} ({finding})\n  2.42  {old} ({})\n  3     {new}", errors[n]));
        }
    }
    println!("{count} pages, {} accepted by Prometheus 2.42", theirs.iter().flatten().count());
    assert_eq!(own, OWN_READING.len(), "each listed page is in the corpus");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
