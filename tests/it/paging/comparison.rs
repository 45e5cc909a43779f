//! The same faults as blackbox_exporter sees them, in the same Prometheus, with the rule that everybody writes.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use super::one_fault::Outcome;
use crate::harness::{blackbox::Blackbox, pager::Notification};

/// That rule.
pub(super) const RULE: &str = "
groups:
- name: blackbox
  rules:
  - alert: BlackboxProbeFailed
    expr: probe_success == 0
    labels: {severity: critical}
";

/// A blackbox_exporter, and what it watches.
pub(super) struct Blackboxes {
    exporter: Blackbox,
    targets: BTreeMap<&'static str, String>,
}

impl Blackboxes {
    /// Watches targets, each by the name of its fault.
    pub(super) fn of<'a>(watched: impl Iterator<Item = (&'static str, &'a (String, String))>) -> Self {
        let watched: BTreeMap<_, _> = watched.collect();
        let exporter = Blackbox::start(watched.iter().map(|(name, (module, _))| (*name, &**module)));
        Self { exporter, targets: watched.into_iter().map(|(name, (_, target))| (name, target.clone())).collect() }
    }

    /// Jobs of Prometheus, one for each module.
    pub(super) fn scrape(&self) -> String {
        let mut text = String::new();
        for (name, target) in &self.targets {
            let labels = format!("labels: {{service: {:?}}}", service(name));
            writeln!(
                text,
                "- job_name: {:?}\n  metrics_path: /probe\n  params: {{module: [{name:?}], target: [{target:?}]}}\n  \
                 static_configs: [{{targets: [\"{}\"], {labels}}}]",
                service(name),
                self.exporter.address
            )
            .unwrap();
        }
        text
    }
}

fn service(name: &str) -> String {
    format!("blackbox {name}")
}

/// What came of each fault, and what blackbox_exporter made of it.
pub(super) fn table(outcomes: &[Outcome], notifications: &[Notification]) -> String {
    let mut text = "| fault | alert | seconds to page | seconds to resolve | extra pages | blackbox_exporter: seconds \
                    to page | to resolve | pages |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let service = service(outcome.name);
        let about = |notification: &&Notification| notification.alerts.iter().any(|a| a.label("service") == service);
        let since = |fires: bool, start| {
            let mut found = notifications.iter().filter(about).filter(|notification| notification.is_firing() == fires);
            found.find_map(|notification| notification.at.checked_duration_since(start))
        };
        let pages = notifications.iter().filter(about).filter(|notification| notification.is_firing()).count();
        let (page, resolved) = (since(true, outcome.broke), since(false, outcome.repaired));
        if let (Some(our), Some(their)) = (outcome.page, page)
            && outcome.alert == "ReadinessProbeDown"
        {
            ours.push(our);
            theirs.push(their);
        }
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {pages} |",
            outcome.name,
            outcome.alert,
            seconds(outcome.page),
            seconds(outcome.resolved),
            outcome.extra,
            seconds(page),
            seconds(resolved.filter(|_| page.is_some())),
        )
        .unwrap();
    }
    let (count, ours, theirs) = (ours.len(), median(ours), median(theirs));
    write!(
        text,
        "\nmedian over the {count} faults that both page as down: {}, blackbox_exporter {}",
        seconds(ours),
        seconds(theirs)
    )
    .unwrap();
    text
}

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort();
    all.get(all.len() / 2).copied()
}

fn seconds(duration: Option<Duration>) -> String {
    duration.map_or("-".to_owned(), |duration| format!("{:.1}", duration.as_secs_f64()))
}
