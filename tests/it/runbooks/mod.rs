//! Runbooks are held to the alerts, to each other and to the program: every name in them is one, every link leads
//! somewhere, every query and command was run.

mod browser;
mod real;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use readiness_exporter::{
    board::Board,
    catalogue,
    cli::Cli,
    model::{
        metric,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    settings::{self, CheckInfo},
};

use crate::harness::{
    board,
    http::TestServer,
    markdown::{headings, links, prose, table_rows},
};

/// A page as it is written.
struct Page {
    name: String,
    text: String,
}

fn alerts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("alerts")
}

/// Every file of the folder, the list of pages too.
fn files() -> Vec<Page> {
    let entries = fs::read_dir(alerts().join("runbooks")).unwrap().map(|entry| entry.unwrap().path());
    let page = |path: PathBuf| Page {
        name: path.file_name().unwrap().to_str().unwrap().strip_suffix(".md").unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
    };
    let mut all: Vec<_> = entries.map(page).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The pages of alerts.
fn pages() -> Vec<Page> {
    files().into_iter().filter(|page| page.name != "README").collect()
}

/// The rules of each alert, as they are written.
fn rules() -> BTreeMap<String, String> {
    let mut found = BTreeMap::<String, String>::new();
    for file in ["checks.yaml", "exporter.yaml"] {
        let text = fs::read_to_string(alerts().join("rules").join(file)).unwrap();
        for rule in text.split("- alert: ").skip(1) {
            let (name, rest) = rule.split_once('\n').unwrap();
            found.entry(name.trim().to_owned()).or_default().push_str(rest);
        }
    }
    assert!(found.len() > 10, "{:?}", found.keys());
    found
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let (rules, pages) = (rules(), pages());
    let named: BTreeSet<_> = pages.iter().map(|page| page.name.clone()).collect();
    assert_eq!(rules.keys().cloned().collect::<BTreeSet<_>>(), named);
    for (alert, rule) in &rules {
        assert!(rule.contains(&format!("/{alert}")), "the rules of {alert} link to it");
    }
    let list = files().into_iter().find(|page| page.name == "README").unwrap();
    for name in &named {
        assert_eq!(list.text.matches(&format!("| [{name}]({name}.md) | ")).count(), 1, "{name} in the list");
    }
}

#[test]
fn every_page_has_the_same_headings_with_text() {
    for page in pages() {
        let title = format!("# {}", page.name);
        let expected = [&*title, "## Mitigation", "## Diagnosis", "## Meaning", "## Impact", "## Silencing"];
        assert_eq!(headings(&page.text), expected, "{}", page.name);
        for part in page.text.split("\n## ").skip(1) {
            assert!(part.lines().skip(1).any(|line| line.len() > 40), "{}: {part}", page.name);
        }
        assert!(page.text.lines().count() < 120, "{} is too long for 3 a.m.", page.name);
    }
}

#[test]
fn every_page_says_how_long_its_alert_waits() {
    let words = [
        ("0s", "at once"),
        ("30s", "30 seconds"),
        ("1m", "a minute"),
        ("2m", "two minutes"),
        ("5m", "five minutes"),
        ("10m", "ten minutes"),
        ("20m", "20 minutes"),
    ];
    let (rules, pages) = (rules(), pages());
    for page in &pages {
        let text = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for wait in rules[&page.name].lines().filter_map(|line| line.strip_prefix("    for: ")) {
            let (_, told) = words.iter().find(|(written, _)| *written == wait).expect(wait);
            assert!(text.contains(told), "{} waits for {wait}", page.name);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let files = files();
    for page in &files {
        for target in links(&page.text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let other = files.iter().find(|other| format!("{}.md", other.name) == file);
            let other = other.unwrap_or_else(|| panic!("{} links to {target}", page.name));
            let anchors =
                headings(&other.text).into_iter().map(|heading| heading.trim_start_matches(['#', ' ']).to_lowercase());
            assert!(anchor.is_empty() || anchors.into_iter().any(|one| one == anchor), "{}: {target}", page.name);
        }
    }
}

#[test]
fn every_dashboard_in_a_page_is_one() {
    let folder = alerts().parent().unwrap().join("grafana/dashboards");
    let texts = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let read =
        |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap()["uid"].as_str().unwrap().to_owned();
    let uids: BTreeSet<String> = texts.map(read).collect();
    let pages = files();
    let named = pages.iter().flat_map(|page| page.text.split("`/d/").skip(1));
    let named: BTreeSet<String> = named.map(|rest| rest.split('`').next().unwrap().to_owned()).collect();
    assert_eq!(named, uids);
}

#[test]
fn no_paragraph_is_on_two_pages() {
    let mut seen = BTreeMap::new();
    for page in files() {
        for line in prose(&page.text).into_iter().filter(|line| line.len() > 60) {
            // The head of a page may well say the same of several alerts: how long they wait.
            if let Some(other) = seen.insert(line.to_owned(), page.name.clone()) {
                assert_eq!(other, page.name, "both say: {line}");
            }
        }
    }
}

/// Words of a form within a text, such as names of metrics.
fn words<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with(start) && word.len() > start.len()).collect()
}

#[test]
fn every_metric_flag_and_reason_in_a_page_exists() {
    let families: BTreeSet<_> = metric::ALL.iter().map(|family| family.name).collect();
    let cli = Cli::describe();
    let mut flags: BTreeSet<String> = ["help", "version"].map(String::from).into();
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        flags.extend(command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)));
    }
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for page in files() {
        for name in words(&page.text, "readiness_") {
            assert!(families.contains(name), "{}: {name}", page.name);
        }
        for flag in prose(&page.text).join("\n").split("`--").skip(1).map(|rest| rest.split(['`', ' ']).next().unwrap())
        {
            assert!(flags.contains(flag), "{}: --{flag}", page.name);
        }
        let rows = table_rows(&page.text, "| reason |");
        let told: BTreeSet<_> = rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2)).collect();
        assert!(told.is_subset(&reasons), "{}: {told:?}", page.name);
        // Whatever a probe can fail with, there is a line that says what to do.
        assert!(page.name != "ReadinessProbeDown" || told == reasons, "{:?}", reasons.difference(&told));
    }
}

/// A board with one check of every kind that there is, none of them with a runbook of its own.
fn one_of_each() -> (Arc<Board>, BTreeSet<&'static str>) {
    let kinds: BTreeSet<_> = catalogue::all().iter().flat_map(|kind| (kind.checks)()).map(|offer| offer.name).collect();
    let bare = |kind: &&'static str| CheckInfo {
        runbook: String::new(),
        ..board::check(kind, kind, Category::Health, Severity::Warning)
    };
    let board = Arc::new(Board::default());
    let probe = board::probe("all", "http", &[], kinds.iter().map(bare).collect());
    board.replace_probes(vec![(probe, vec![])], |_| false, Timestamp::now());
    (board, kinds)
}

#[tokio::test]
async fn a_check_links_to_the_page_of_the_alert_that_its_kind_declares() {
    let (board, kinds) = one_of_each();
    let door = TestServer::open(board.clone()).await;
    let declared: BTreeMap<_, _> =
        catalogue::all().iter().flat_map(|kind| (kind.checks)()).map(|check| (check.name, check.alert)).collect();
    for kind in &kinds {
        let seen = door.get(&format!("/api/v1/checks/all/{kind}")).await.json();
        let alert = declared[kind];
        assert!(rules().contains_key(alert.as_str()), "there is an alert {alert}");
        let expected = format!("/runbooks/{alert}?probe=all&check={kind}");
        assert_eq!(seen["runbook"], *expected, "{kind}");
        assert_eq!(door.get(&expected).await.status, 200, "{expected}");
        assert!(door.get("/").await.text().contains(&format!("href=\"{}\"", &expected[1..].replace('&', "&amp;"))));
    }
    let unknown = |_| Verdict::new(Outcome::Unknown(Reason::Empty), "nothing to see");
    board.record("all", board::report(Timestamp::now(), kinds.iter().map(unknown).collect()), 0.0);
    let seen = door.get("/api/v1/checks/all/pool").await.json();
    assert_eq!(seen["runbook"], "/runbooks/ReadinessCheckUnknown?probe=all&check=pool");
}

#[tokio::test]
async fn pages_are_served_as_safely_as_the_status_page_and_list_all_runbooks() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let list = door.get("/runbooks/").await;
    for page in pages() {
        let path = format!("/runbooks/{}", page.name);
        let (seen, head) = (door.get(&path).await, door.ask("HEAD", &path, "").await);
        assert_eq!((seen.status, head.status), (200, 200), "{path}");
        assert_eq!(head.header("content-length").unwrap(), seen.body.len().to_string());
        let title = format!("<h1 id=\"{}\">{}</h1>", page.name.to_lowercase(), page.name);
        assert!(head.body.is_empty() && seen.text().contains(&title), "{path}");
        assert!(list.text().contains(&format!("<a href=\"{0}\">{0}</a>", page.name)));
        assert_eq!(seen.header("content-security-policy"), door.get("/").await.header("content-security-policy"));
        assert_eq!(seen.header("x-content-type-options"), Some("nosniff"));
        assert!(!seen.text().contains("<script") && !seen.text().contains("style="), "{path}");
    }
    assert_eq!(door.get("/runbooks/readinessprobedown").await.status, 200);
    let moved = door.get("/runbooks").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("runbooks/")));
    let missing = door.get("/runbooks/%3Cb%3E").await;
    assert_eq!(missing.status, 404);
    let text = missing.text();
    assert!(text.contains("There is no runbook") && !text.contains("<b>"), "{text}");
    assert!(pages().iter().all(|page| text.contains(&format!(">{}</a>", page.name))));
    assert_eq!(door.ask("POST", "/runbooks/", "").await.status, 405);
    assert_eq!(door.ask("GET", "/runbooks/", "Accept: image/png\r\n").await.status, 406);
}

#[tokio::test]
async fn a_name_that_is_itself_a_placeholder_stays_as_it_is() {
    let board = Arc::new(Board::default());
    let check = board::check("PROBE-INSTANCE", "health", Category::Health, Severity::Critical);
    board.replace_probes(vec![(board::probe("CHECK", "http", &[], vec![check]), vec![])], |_| false, Timestamp::now());
    let door = TestServer::open(board).await;
    let page = door.get("/runbooks/ReadinessProbeDown?probe=CHECK&check=PROBE-INSTANCE").await.text();
    assert!(page.contains("readiness-exporter explain CHECK\n"), "{page}");
    assert!(page.contains("/api/v1/checks/CHECK/PROBE-INSTANCE"), "{page}");
}

#[tokio::test]
async fn commands_have_the_names_of_the_check_that_one_comes_from_and_of_no_other() {
    let door = TestServer::open(board::busy(Timestamp::now())).await;
    let from = |probe: &str, check: &str| format!("/runbooks/ReadinessBackupStale?probe={probe}&check={check}");
    let filled = door.get(&from("nightly-dump", "freshness")).await.text();
    assert!(filled.contains("readiness-exporter explain nightly-dump"), "{filled}");
    assert!(filled.contains("age is 1d7h") && filled.contains("../checks/nightly-dump/freshness"), "{filled}");
    for (probe, check) in [("nightly-dump", "nothing"), ("$(reboot)", "freshness"), ("", "")] {
        let plain = door.get(&from(probe, check)).await.text();
        assert!(plain.contains("readiness-exporter explain PROBE") && !plain.contains("reboot"), "{plain}");
    }
    let address = format!("http://{}/api", door.address);
    let check = door.get("/runbooks/ReadinessProbeDown").await.text();
    assert!(check.contains(&address), "the address that the reader used, whatever its Host header says");
    for path in ["/runbooks/", "/runbooks/nothing"] {
        let list = door.get(path).await.text();
        assert!(list.contains(&format!("{address}/v1/checks/PROBE/CHECK")) && !list.contains("INSTANCE"), "{path}");
    }
}

#[tokio::test]
async fn commands_contain_the_external_url_and_never_a_host_from_the_client() {
    let settings = settings::Server {
        listen: Vec::new(),
        lifecycle: false,
        external_url: Some("https://ready.example.com/team".to_owned()),
        allowed_hosts: Vec::new(),
    };
    let door = TestServer::of(board::busy(Timestamp::now()), settings).await;
    for head in ["GET /runbooks/ReadinessProbeDown", "GET http://evil.example/runbooks/ReadinessProbeDown"] {
        let page =
            door.send(&format!("{head} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")).await.text();
        assert!(page.contains("curl -s https://ready.example.com/team/api/v1/checks/"), "{page}");
        assert!(!page.contains("evil.example") && !page.contains("INSTANCE"), "{page}");
    }
}
