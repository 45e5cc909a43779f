//! The whole chain: the daemon, the shipped rules in a real Prometheus, the shipped example in a real Alertmanager, and
//! a webhook that remembers every notification. One fault is one page; where nothing is wrong nobody is told anything.
//!
//! Only addresses and waiting times are replaced: Prometheus scrapes and evaluates every two seconds, and what the
//! rules wait for and look back over passes ten times as fast. By hand, at the pace at which figures are published:
//!
//! ```sh
//! READINESS_PAGING_INTERVAL=5 cargo test --test it paging::one_fault -- --nocapture     # as shipped, every 5 s
//! READINESS_SILENCE_SECONDS=600 cargo test --test it paging::silence -- --nocapture
//! ```

mod certificate;
mod comparison;
mod dependencies;
mod inhibition;
mod notifications;
mod one_fault;
mod redundant;
mod restart;
mod routes;
mod shipped_times;
mod silence;
mod steps;
mod titles;
mod watcher;

use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use regex::Regex;
use tokio::runtime::Runtime;

use crate::{
    demo::get,
    harness::{
        alertmanager::Alertmanager,
        pager::{Notification, Pager},
        prometheus::Prometheus,
        wait_until,
    },
};

/// How fast time passes.
#[derive(Clone, Copy)]
struct Pace {
    /// Between two scrapes, and between two evaluations.
    interval: Duration,
    /// So many times as fast as the rules have it.
    hurry: u32,
}

impl Pace {
    /// Fast, unless somebody wants figures.
    fn wanted() -> Self {
        match number("READINESS_PAGING_INTERVAL") {
            Some(seconds) => Self { interval: Duration::from_secs(seconds), hurry: 1 },
            None => Self { interval: Duration::from_secs(2), hurry: 10 },
        }
    }

    /// Long enough for whatever the rules wait for.
    fn patience(self) -> Duration {
        Duration::from_secs(30) + Duration::from_secs(15 * 60) / self.hurry
    }

    /// Rules for which time passes faster: what they wait for, and how far they look back.
    fn hurried(self, rules: &str) -> String {
        let times = Regex::new(r"(?m)(?<before>^ +for: |\[)(?<count>\d+)(?<unit>[smh])(?<after>$|\])").unwrap();
        let hurried = times.replace_all(rules, |found: &regex::Captures<'_>| {
            let unit = match &found["unit"] {
                "s" => 1_000,
                "m" => 60_000,
                _ => 3_600_000,
            };
            let milliseconds = found["count"].parse::<u32>().unwrap() * unit / self.hurry;
            format!("{}{milliseconds}ms{}", &found["before"], &found["after"])
        });
        hurried.into_owned()
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text:?} is no number")))
}

/// Prometheus, Alertmanager and who is paged.
struct Chain {
    pace: Pace,
    pager: Pager,
    prometheus: Prometheus,
    runtime: Runtime,
    _alertmanager: Alertmanager,
    rules: tempfile::TempDir,
}

impl Chain {
    /// Watches these daemons.
    fn watching(pace: Pace, daemons: &[SocketAddr]) -> Self {
        Self::with(pace, daemons, "", "groups: []")
    }

    /// The same with more to scrape, and more rules.
    fn with(pace: Pace, daemons: &[SocketAddr], more: &str, rules: &str) -> Self {
        Self::relabelled(pace, daemons, more, rules, "[]")
    }

    /// The same with `alert_relabel_configs`.
    fn relabelled(pace: Pace, daemons: &[SocketAddr], more: &str, rules: &str, relabel: &str) -> Self {
        Self::notified_by(example, pace, daemons, (more, rules, relabel))
    }

    /// The chain with a configuration of Alertmanager.
    fn notified_by(
        configuration: fn(&Pager) -> String,
        pace: Pace,
        daemons: &[SocketAddr],
        (more, rules, relabel): (&str, &str, &str),
    ) -> Self {
        let pager = Pager::start();
        let alertmanager = Alertmanager::start(&configuration(&pager));
        let folder = tempfile::tempdir().unwrap();
        let seconds = pace.interval.as_secs();
        let mut text = format!(
            "global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s, evaluation_interval: {seconds}s}}\n\
             alerting: {{alert_relabel_configs: {relabel}, alertmanagers: [{{static_configs: [{{targets: [\"{}\"]}}]}}]}}\n\
             rule_files: [\"{}/*.yaml\"]\nscrape_configs:\n",
            alertmanager.address,
            folder.path().display(),
        );
        let targets: Vec<_> = daemons.iter().map(|daemon| format!("\"{daemon}\"")).collect();
        writeln!(text, "- {{job_name: readiness, static_configs: [{{targets: [{}]}}]}}\n{more}", targets.join(", "))
            .unwrap();
        let runtime = Runtime::new().unwrap();
        let prometheus = runtime.block_on(Prometheus::configured(&text));
        let chain = Self { pace, pager, prometheus, runtime, _alertmanager: alertmanager, rules: folder };
        wait_until("Prometheus sees every daemon", || {
            let up = chain.number("count(max_over_time(up{job=\"readiness\"}[1m]) == 1)");
            if up == Some(daemons.len() as f64) { Ok(()) } else { Err(format!("{up:?}: {}", chain.prometheus.log())) }
        });
        // The rules come when there is something to judge: finding its targets takes Prometheus seconds, in which some
        // that are made fast would think that there is nothing.
        chain.take_rules(rules);
        wait_until("the heartbeat is heard", || {
            chain.pager.about("alertname", "ReadinessHeartbeat").pop().ok_or(chain.prometheus.log())
        });
        chain
    }

    fn take_rules(&self, more: &str) {
        fs::write(self.rules.path().join("more.yaml"), more).unwrap();
        for file in shipped_rules() {
            let rules = self.pace.hurried(&fs::read_to_string(&file).unwrap());
            fs::write(self.rules.path().join(file.file_name().unwrap()), rules).unwrap();
        }
        self.prometheus.reload();
    }

    /// The one number that an expression gives, if it gives one.
    fn number(&self, expression: &str) -> Option<f64> {
        self.runtime.block_on(self.prometheus.number(expression))
    }

    /// The alerts that Prometheus knows beside the heartbeat, those too that wait yet.
    fn waiting(&self) -> Vec<String> {
        let alerts = self.runtime.block_on(self.prometheus.values("ALERTS{alertname!=\"ReadinessHeartbeat\"}"));
        alerts.into_keys().collect()
    }

    /// How long the last evaluation of all rules took.
    fn evaluation(&self) -> Duration {
        self.runtime.block_on(self.prometheus.evaluation())
    }

    /// Every notification about an instance.
    fn about(&self, daemon: SocketAddr) -> Vec<Notification> {
        self.pager.about("instance", &daemon.to_string())
    }

    /// Every notification but heartbeats.
    fn notifications(&self) -> Vec<Notification> {
        let is_news = |notification: &Notification| notification.receiver != "dead-mans-switch";
        self.pager.notifications().into_iter().filter(is_news).collect()
    }

    /// Waits for the next notification about an instance, after so many; none if it doesn't come.
    fn next(&self, daemon: SocketAddr, after: usize) -> Option<Notification> {
        let deadline = Instant::now() + self.pace.patience();
        while Instant::now() < deadline {
            if let Some(next) = self.about(daemon).into_iter().nth(after) {
                return Some(next);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Lets so many evaluations pass since a moment, and gives the notifications about an instance that there are then.
    /// At the fast pace fifteen are five minutes of what the rules wait for.
    fn after_evaluations(&self, count: u32, start: Instant, daemon: SocketAddr) -> Vec<Notification> {
        std::thread::sleep((self.pace.interval * count).saturating_sub(start.elapsed()));
        self.about(daemon)
    }
}

/// There is a page behind a link, and it is about this.
fn opens(link: &str, alert: &str) -> bool {
    let answer = get(link);
    answer.status == 200 && answer.text().contains(&format!("{alert}</h1>"))
}

/// The shipped example with the address of the pager and with its own waiting times.
fn shipped_example(pager: &Pager) -> String {
    let text = fs::read_to_string(alerts().join("alertmanager.example.yaml")).unwrap();
    assert!(text.contains("http://receiver.example/"), "{text}");
    text.replace("http://receiver.example/", &pager.url())
}

/// The shipped example with the address of the pager and with short waiting times.
fn example(pager: &Pager) -> String {
    let text = shipped_example(pager);
    let text = Regex::new(r"group_wait: \w+").unwrap().replace_all(&text, "group_wait: 0s");
    Regex::new(r"group_interval: \w+").unwrap().replace_all(&text, "group_interval: 1s").into_owned()
}

fn shipped_rules() -> Vec<PathBuf> {
    let files = fs::read_dir(alerts().join("rules")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

fn alerts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts")
}

#[test]
fn waiting_times_are_found_wherever_a_rule_has_them() {
    let pace = Pace { interval: Duration::from_secs(2), hurry: 10 };
    let hurried = pace.hurried("    for: 30s\n    for: 5m\n    for: 0s\n    expr: rate(x[15m])\n");
    assert_eq!(hurried, "    for: 3000ms\n    for: 30000ms\n    for: 0ms\n    expr: rate(x[90000ms])\n");
    for file in shipped_rules() {
        let rules = pace.hurried(&fs::read_to_string(&file).unwrap());
        let left: Vec<_> =
            rules.lines().filter(|line| line.trim_start().starts_with("for:") && !line.ends_with("ms")).collect();
        assert!(left.is_empty(), "{}: {left:?}", file.display());
    }
}
