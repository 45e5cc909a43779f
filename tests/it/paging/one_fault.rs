//! Every fault that the tests can cause, all at one time: each is one page, and over when it is repaired.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Chain, Pace, comparison, opens};
use crate::{
    faults::{Calm, Fault, answers, backups, certificates, metrics_page, postgres, service},
    harness::{
        daemon::Daemon,
        pager::{Alert, Notification},
    },
};

/// What a fault is expected to page.
pub(super) struct Row {
    pub(super) name: &'static str,
    fault: fn() -> Fault,
    /// None where there is nothing to be told.
    page: Option<Page>,
}

#[derive(Clone, Copy)]
struct Page {
    alert: &'static str,
    check: &'static str,
    severity: &'static str,
    owner: &'static str,
    runbook: Option<&'static str>,
    /// What the description says, beside the name of the service and of the check.
    words: &'static [&'static str],
}

/// `ReadinessProbeDown`, with its reason.
const fn down(check: &'static str, words: &'static [&'static str]) -> Option<Page> {
    page("ReadinessProbeDown", check, "critical", words)
}

const fn page(
    alert: &'static str,
    check: &'static str,
    severity: &'static str,
    words: &'static [&'static str],
) -> Option<Page> {
    Some(Page { alert, check, severity, owner: "", runbook: None, words })
}

const fn of_owner(page: Option<Page>, owner: &'static str, runbook: Option<&'static str>) -> Option<Page> {
    match page {
        Some(page) => Some(Page { owner, runbook, ..page }),
        None => None,
    }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "service stopped", fault: service::stopped, page: down("shop/health", &[" refused the connection", "last passed"]) },
    Row { name: "service frozen", fault: service::frozen, page: down("shop/health", &["within the timeout"]) },
    Row { name: "service hanging", fault: service::hanging, page: down("shop/health", &["within the timeout"]) },
    Row { name: "accept queue full", fault: service::full_queue, page: down("shop/health", &["within the timeout"]) },
    Row { name: "name does not exist", fault: service::unknown_name, page: down("shop/health", &["the name has no address"]) },
    Row { name: "500s at 10 %", fault: service::errors,
          page: page("ReadinessErrorRateHigh", "shop/error_rate", "critical", &["error rate is", "limit 5%"]) },
    Row { name: "slow answers", fault: service::slow,
          page: page("ReadinessLatencyHigh", "shop/latency", "warning", &["p50 is", "limit 200ms", "limit 400ms"]) },
    Row { name: "wrong answer", fault: answers::something_else,
          page: page("ReadinessCheckFailing", "shop/response", "critical", &["response failed: ", " the response "]) },
    Row { name: "body too large", fault: answers::too_large, page: down("shop/health", &["exceeds a size limit"]) },
    Row { name: "gzip bomb", fault: answers::gzip_bomb, page: down("shop/health", &["exceeds a size limit"]) },
    Row { name: "redirect loop", fault: answers::redirect_loop, page: down("shop/health", &["answered 302, expected 200 to 299"]) },
    Row { name: "endless headers", fault: answers::endless_headers, page: down("shop/health", &["exceeds a size limit"]) },
    Row { name: "certificate expired", fault: certificates::expired, page: page("ReadinessCertificateExpiring", "shop/certificate", "critical", &["failed: the certificate of ", " has expired. It expired at 20"]) },
    Row { name: "certificate for another name", fault: certificates::for_another_name,
          page: page("ReadinessCertificateExpiring", "shop/certificate", "critical", &["failed: the certificate of ", " is for another name."]) },
    Row { name: "certificate self-signed", fault: certificates::self_made, page: page("ReadinessCertificateExpiring", "shop/certificate", "critical", &["failed: the certificate of ", " is self-signed or issued by an unknown authority."]) },
    Row { name: "certificate ends soon", fault: certificates::ends_soon,
          page: page("ReadinessCertificateExpiring", "shop/certificate", "warning", &["the leaf certificate of ", " expires at 20", " UTC, limit 30d before"]) },
    Row { name: "metrics page is HTML", fault: metrics_page::html, page: down("numbers/health", &["cannot be parsed"]) },
    Row { name: "counter reset", fault: metrics_page::counter_reset, page: None },
    Row { name: "pool exhausted", fault: metrics_page::pool_exhausted,
          page: of_owner(page("ReadinessPoolSaturated", "numbers/pool", "critical", &["100%", "limit 90%"]), "orders", None) },
    Row { name: "PostgreSQL stopped", fault: postgres::stopped, page: down("db/health", &[" refused the connection"]) },
    Row { name: "PostgreSQL hung", fault: postgres::frozen, page: down("db/health", &["within the timeout"]) },
    Row { name: "PostgreSQL full", fault: postgres::full,
          page: page("ReadinessPoolSaturated", "db/pool", "critical", &["100%", "limit 95%"]) },
    Row { name: "PostgreSQL full, connection lost", fault: postgres::nobody_new, page: down("db/health", &["last passed"]) },
    Row { name: "wrong password", fault: postgres::wrong_password, page: down("db/health", &["cannot be judged: ", " refuses the credentials of this exporter. This is a fault of the monitoring."]) },
    Row { name: "role without rights", fault: postgres::no_rights,
          page: page("ReadinessCheckUnknown", "db/pool", "warning", &["pool cannot be judged: the role of this exporter lacks a privilege"]) },
    Row { name: "backup stale", fault: backups::stale,
          page: of_owner(page("ReadinessBackupStale", "dumps/freshness", "critical", &["the newest complete backup was made at 20", "limit on its age 1h"]),
                         "orders", Some("https://runbooks.example.com/backup-stale")) },
    Row { name: "backups deleted", fault: backups::deleted,
          page: of_owner(page("ReadinessBackupStale", "dumps/freshness", "critical",
                              &["there is no complete backup. The last one was made at 20"]),
                         "orders", Some("https://runbooks.example.com/backup-stale")) },
    Row { name: "backup truncated", fault: backups::truncated,
          page: page("ReadinessCheckFailing", "dumps/integrity", "warning", &["integrity failed: a backup is damaged: "]) },
    Row { name: "backup folder gone", fault: backups::folder_gone, page: down("dumps/health", &["does not exist"]) },
];

/// What came of a row.
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) alert: &'static str,
    pub(super) page: Option<Duration>,
    pub(super) resolved: Option<Duration>,
    /// Notifications of which the fault would have been without.
    pub(super) extra: usize,
    pub(super) broke: Instant,
    pub(super) repaired: Instant,
    /// How long it took to evaluate the rules while it was broken.
    evaluation: Duration,
    complaints: Vec<String>,
}

#[test]
fn one_fault_is_one_page() {
    let faults: Vec<_> = ROWS.iter().map(|row| (row, (row.fault)().of_service(row.name))).collect();
    let mut faults: Vec<_> = faults.into_iter().map(|(row, fault)| (row, fault.serve(), fault)).collect();
    for (_, daemon, _) in &faults {
        drop(Calm::of(daemon));
    }
    let daemons: Vec<_> = faults.iter().map(|(_, daemon, _)| daemon.address).collect();
    let pace = Pace::wanted();
    // Only for figures: what it takes to unpack a bomb each time would slow everybody down.
    let compared = faults.iter().filter(|_| pace.hurry == 1);
    let compared = compared.filter_map(|(row, _, fault)| Some((row.name, fault.blackbox.as_ref()?)));
    let blackbox = comparison::Blackboxes::of(compared);
    let chain = Chain::with(pace, &daemons, &blackbox.scrape(), comparison::RULE);
    // Who is done goes on being watched, so that nobody's end is anybody's fault.
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let chain = &chain;
        // Spread over the time between two evaluations, for how long a page takes depends on the moment.
        let running: Vec<_> = (0..)
            .zip(faults.iter_mut())
            .map(|(n, (row, daemon, fault))| {
                let wait = pace.interval * n / ROWS.len() as u32;
                scope.spawn(move || row.run(chain, daemon, fault, wait))
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    println!("{}", comparison::table(&outcomes, &chain.notifications()));
    let evaluation = outcomes.iter().map(|outcome| outcome.evaluation).max().unwrap_or_default();
    println!("evaluating the rules while everything is broken took up to {evaluation:?}");
    let complaints: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.complaints).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

impl Row {
    /// Breaks it after a while, repairs it, and takes down who was told what.
    fn run(&self, chain: &Chain, daemon: &Daemon, fault: &mut Fault, wait: Duration) -> Outcome {
        let (at, service) = (daemon.address, self.name);
        let mut complaints = Vec::new();
        let mut expect = |good: bool, what: &str, seen: &[Notification]| {
            if !good {
                complaints.push(format!("{service}: {what}: {seen:#?}"));
            }
        };
        let before = chain.about(at);
        expect(before.is_empty(), "nothing is notified before it breaks", &before);

        std::thread::sleep(wait);
        let broke = Instant::now();
        fault.breaks(daemon);
        let paged = self.page.and_then(|_| chain.next(at, 0));
        chain.after_evaluations(35, broke, at);
        let during = chain.after_evaluations(10, paged.as_ref().map_or(broke, |paged| paged.at), at);
        expect(during.len() == usize::from(self.page.is_some()), "one page while it is broken", &during);
        let evaluation = chain.evaluation();
        let wrong = during.iter().flat_map(|notification| &notification.alerts).flat_map(|alert| {
            let wrong = self.page.map(|page| page.differences(alert, service, at)).unwrap_or_default();
            (!wrong.is_empty()).then(|| wrong.join(", "))
        });
        let wrong: Vec<_> = wrong.collect();
        expect(wrong.is_empty(), &format!("the page is right but for {wrong:?}"), &during);

        let repaired = Instant::now();
        fault.repair(daemon);
        let over = self.page.and_then(|_| chain.next(at, during.len()));
        let all = chain.after_evaluations(15, Instant::now(), at);
        let after = all.get(during.len()..).unwrap_or_default();
        let alerts = || after.iter().flat_map(|notification| &notification.alerts);
        expect(!alerts().any(Alert::is_firing), "nothing new is notified after the repair", after);
        expect(after.len() == usize::from(self.page.is_some()), "it is resolved, once", after);
        let named: BTreeSet<_> = alerts().map(Alert::name).collect();
        expect(named.iter().eq(self.page.iter().map(|page| &page.alert)), "what is resolved is what was paged", after);
        Outcome {
            name: service,
            alert: self.page.map_or("", |page| page.alert),
            page: paged.map(|paged| paged.at.duration_since(broke)),
            resolved: over.map(|over| over.at.duration_since(repaired)),
            extra: all.iter().filter(|notification| notification.is_firing()).count()
                - usize::from(self.page.is_some()),
            broke,
            repaired,
            evaluation,
            complaints,
        }
    }
}

impl Page {
    /// What an alert lacks.
    fn differences(&self, alert: &Alert, service: &str, instance: SocketAddr) -> Vec<String> {
        let mut wrong = Vec::new();
        let labels = [
            ("alertname", self.alert),
            ("check", self.check.split_once('/').unwrap().1),
            ("probe", self.check.split_once('/').unwrap().0),
            ("severity", self.severity),
            ("owner", self.owner),
            ("service", service),
        ];
        for (label, expected) in labels {
            if alert.label(label) != expected {
                wrong.push(format!("label {label} is not {expected:?}"));
            }
        }
        if !alert.annotation("summary").ends_with('.') {
            wrong.push("the summary is no sentence".to_owned());
        }
        let description = alert.annotation("description");
        for words in self.words.iter().chain([&self.check, &service]) {
            if !description.contains(words) {
                wrong.push(format!("the description does not say {words:?}"));
            }
        }
        let link = alert.annotation("runbook_url");
        let (probe, check) = self.check.split_once('/').unwrap();
        let served = format!("http://{instance}/runbooks/{}?probe={probe}&check={check}", self.alert);
        if link != self.runbook.map_or(served, str::to_owned) {
            wrong.push("it is not the runbook of the alert".to_owned());
        } else if self.runbook.is_none() && !opens(link, self.alert) {
            wrong.push("the runbook does not open".to_owned());
        }
        wrong
    }
}
