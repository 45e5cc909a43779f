//! Produces the samples of every family of [`crate::model::metric`] from a snapshot of the board.
//!
//! Every series exists from the first scrape: counters, statuses and reasons start at zero, and limits are always
//! present. Measured values are present while they are valid. Series of removed probes disappear with the snapshot.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
    ptr,
};

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::{
    measures::{check_headroom, check_limits, check_values, judged_verdict},
    sink::SampleSink,
};
use crate::{
    board::{CheckState, ProbeState, Snapshot, score_weight},
    daemon_metrics,
    model::{
        metric::{self, Family, Sample, Type},
        units::Unit,
        words::{Category, Reason, Severity, Status},
    },
};

/// Writes every family: `daemon` holds the daemon's own metrics as gathered from its registry, the board has the rest.
/// Of the daemon's families, only the gathered ones are written.
pub(super) fn write_families(snapshot: &Snapshot, daemon: &[MetricFamily], sink: &mut dyn SampleSink) {
    for family in metric::ALL {
        if is_daemon_family(family) {
            write_gathered(daemon, family, sink);
            continue;
        }
        let source = BOARD_FAMILIES.iter().find(|(other, _)| ptr::eq(*other, *family));
        // The info families may have more labels, and announce themselves.
        if let Some((_, FamilySource::Info(fill))) = source {
            fill(snapshot, &user_labels(snapshot, family), sink);
            continue;
        }
        sink.family(family, &[]);
        let checks = || snapshot.checks();
        match source.map(|(_, source)| source) {
            Some(FamilySource::Snapshot(fill)) => fill(snapshot, sink),
            Some(FamilySource::Probe(value)) => {
                snapshot.probes.iter().for_each(|probe| sink.sample(&[&probe.info.name], value(probe)));
            }
            Some(FamilySource::Probes(fill)) => snapshot.probes.iter().for_each(|probe| fill(probe, sink)),
            Some(FamilySource::Checks(fill)) => checks().for_each(|(probe, check)| fill(probe, check, sink)),
            Some(FamilySource::Values(unit)) => {
                checks().for_each(|(probe, check)| check_values(*unit, probe, check, sink))
            }
            Some(FamilySource::Limits(unit)) => {
                checks().for_each(|(probe, check)| check_limits(*unit, probe, check, sink))
            }
            Some(FamilySource::Info(_)) => {}
            None => write_samples(snapshot, family, sink),
        }
    }
}

/// Whether a family is filled by the daemon's registry rather than by the board.
pub(super) fn is_daemon_family(family: &Family) -> bool {
    daemon_metrics::FAMILIES.iter().any(|other| ptr::eq(*other, family))
}

/// Writes the samples of a family that a registry gathered, with the labels in the family's order.
pub(super) fn write_gathered(gathered: &[MetricFamily], family: &Family, sink: &mut dyn SampleSink) {
    let Some(found) = gathered.iter().find(|other| other.name() == family.name) else { return };
    sink.family(family, &[]);
    for metric in found.get_metric() {
        let value_of =
            |name: &&str| metric.get_label().iter().find(|pair| pair.name() == *name).map_or("", |p| p.value());
        let labels: Vec<&str> = family.labels.iter().map(value_of).collect();
        sink.sample(
            &labels,
            match family.kind {
                Type::Gauge => metric.get_gauge().get_value(),
                Type::Counter => metric.get_counter().get_value(),
            },
        );
    }
}

/// The source of a family's samples on the board. A family without an entry has the samples of facts and verdicts.
enum FamilySource {
    /// Samples from the whole snapshot.
    Snapshot(fn(&Snapshot, &mut dyn SampleSink)),
    /// One value for each probe.
    Probe(fn(&ProbeState) -> f64),
    /// Several samples for each probe.
    Probes(fn(&ProbeState, &mut dyn SampleSink)),
    /// Samples for each check.
    Checks(fn(&ProbeState, &CheckState, &mut dyn SampleSink)),
    /// Values of the measures in a unit.
    Values(Unit),
    /// Limits on the measures in a unit.
    Limits(Unit),
    /// Info family with the labels of the configuration.
    Info(fn(&Snapshot, &[&str], &mut dyn SampleSink)),
}

static BOARD_FAMILIES: &[(&Family, FamilySource)] = &[
    (&metric::READY, FamilySource::Snapshot(|all, sink| sink.sample(&[], bool_value(all.is_ready())))),
    (&metric::CHECKS, FamilySource::Snapshot(check_counts)),
    (&metric::SCORE, FamilySource::Snapshot(category_scores)),
    (&metric::JUDGED, FamilySource::Snapshot(judged_ratios)),
    (&metric::PROBE_INFO, FamilySource::Info(probe_info)),
    (
        &metric::PROBE_SUCCESS,
        FamilySource::Probe(|probe| {
            bool_value(probe.is_current && last_run(probe, |run| run.failure.is_none()).unwrap_or_default())
        }),
    ),
    (
        &metric::PROBE_DURATION,
        FamilySource::Probe(|probe| last_run(probe, |run| run.duration.as_secs_f64()).unwrap_or_default()),
    ),
    (&metric::PROBE_PHASE_DURATION, FamilySource::Probes(phase_durations)),
    (&metric::PROBE_RUNS, FamilySource::Probe(|probe| probe.runs as f64)),
    (&metric::PROBE_FAILURES, FamilySource::Probes(failure_counts)),
    (&metric::PROBE_OVERRUNS, FamilySource::Probe(|probe| probe.overruns as f64)),
    (&metric::PROBE_INTERVAL, FamilySource::Probe(|probe| probe.info.timing.interval.as_secs_f64())),
    (
        &metric::PROBE_LAST_RUN,
        FamilySource::Probe(|probe| last_run(probe, |run| epoch_seconds(run.at)).unwrap_or_default()),
    ),
    (&metric::PROBE_LATENESS, FamilySource::Probe(|probe| last_run(probe, |run| run.lateness).unwrap_or_default())),
    (&metric::CHECK_INFO, FamilySource::Info(check_info)),
    (&metric::CHECK_REASON, FamilySource::Checks(check_reason)),
    (&metric::CHECK_STATUS, FamilySource::Checks(check_statuses)),
    (&metric::CHECK_RESULTS, FamilySource::Checks(result_counts)),
    (
        &metric::CHECK_SINCE,
        FamilySource::Checks(|probe, check, sink| sink.sample(&check_labels(probe, check), epoch_seconds(check.since))),
    ),
    (
        &metric::CHECK_LAST_PASS,
        FamilySource::Checks(|probe, check, sink| {
            sink.sample(&check_labels(probe, check), check.last_pass.map(epoch_seconds).unwrap_or_default());
        }),
    ),
    (&metric::CHECK_HEADROOM, FamilySource::Checks(check_headroom)),
    (&metric::CHECK_VALUE_SECONDS, FamilySource::Values(Unit::Seconds)),
    (&metric::CHECK_LIMIT_SECONDS, FamilySource::Limits(Unit::Seconds)),
    (&metric::CHECK_VALUE_BYTES, FamilySource::Values(Unit::Bytes)),
    (&metric::CHECK_LIMIT_BYTES, FamilySource::Limits(Unit::Bytes)),
    (&metric::CHECK_VALUE_RATIO, FamilySource::Values(Unit::Ratio)),
    (&metric::CHECK_LIMIT_RATIO, FamilySource::Limits(Unit::Ratio)),
    (&metric::CHECK_VALUE_PER_SECOND, FamilySource::Values(Unit::PerSecond)),
    (&metric::CHECK_LIMIT_PER_SECOND, FamilySource::Limits(Unit::PerSecond)),
    (&metric::CHECK_VALUE_TIMESTAMP, FamilySource::Values(Unit::Timestamp)),
    (&metric::CHECK_LIMIT_TIMESTAMP, FamilySource::Limits(Unit::Timestamp)),
    (&metric::CHECK_VALUE_NUMBER, FamilySource::Values(Unit::Number)),
    (&metric::CHECK_LIMIT_NUMBER, FamilySource::Limits(Unit::Number)),
];

fn bool_value(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn epoch_seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn last_run<T>(probe: &ProbeState, of: impl FnOnce(&crate::board::LastRun) -> T) -> Option<T> {
    probe.last.as_ref().map(of)
}

fn check_labels<'a>(probe: &'a ProbeState, check: &'a CheckState) -> [&'a str; 2] {
    [&probe.info.name, &check.info.name]
}

fn check_counts(snapshot: &Snapshot, sink: &mut dyn SampleSink) {
    let kinds: BTreeSet<(Category, Severity)> =
        snapshot.checks().map(|(_, check)| (check.info.category, check.info.severity)).collect();
    for (category, severity) in kinds {
        for status in Status::ALL {
            let alike = |check: &CheckState| {
                check.info.category == category && check.info.severity == severity && check.status == *status
            };
            let count = snapshot.checks().filter(|(_, check)| alike(check)).count();
            sink.sample(&[category.as_str(), severity.as_str(), status.as_str()], count as f64);
        }
    }
}

/// Weights of the checks of each category: passing, judged and all.
fn weights(snapshot: &Snapshot) -> BTreeMap<Category, [f64; 3]> {
    let mut categories = BTreeMap::<_, [f64; 3]>::new();
    for (_, check) in snapshot.checks() {
        let weight = score_weight(check.info.severity);
        let [passing, judged, all] = categories.entry(check.info.category).or_default();
        *passing += if check.status == Status::Pass { weight } else { 0.0 };
        *judged += if matches!(check.status, Status::Pass | Status::Warn | Status::Fail) { weight } else { 0.0 };
        *all += weight;
    }
    categories
}

/// The score is 0 if no check of a category was judged.
fn category_scores(snapshot: &Snapshot, sink: &mut dyn SampleSink) {
    for (category, [passing, judged, _]) in weights(snapshot) {
        sink.sample(&[category.as_str()], if judged > 0.0 { passing / judged } else { 0.0 });
    }
}

fn judged_ratios(snapshot: &Snapshot, sink: &mut dyn SampleSink) {
    for (category, [_, judged, all]) in weights(snapshot) {
        sink.sample(&[category.as_str()], judged / all);
    }
}

/// Names of the configured labels that are valid and not used by the family.
fn user_labels<'a>(snapshot: &'a Snapshot, family: &Family) -> Vec<&'a str> {
    let of_checks = |probe: &'a ProbeState| probe.checks.iter().flat_map(|check| check.info.labels.keys());
    let mut all: BTreeSet<&str> =
        snapshot.probes.iter().flat_map(|probe| probe.info.labels.keys()).map(|l| &**l).collect();
    if ptr::eq(family, &metric::CHECK_INFO) {
        all.extend(snapshot.probes.iter().flat_map(|probe| of_checks(probe)).map(String::as_str));
    }
    all.into_iter().filter(|name| metric::is_label_name(name) && !family.labels.contains(name)).collect()
}

/// Values of the configured labels. The labels of a check override the labels of its probe.
fn user_values<'a>(
    probe: &'a ProbeState,
    check: Option<&'a CheckState>,
    more: &[&str],
) -> impl Iterator<Item = &'a str> {
    let value = |name: &&str| {
        let of_check = check.and_then(|check| check.info.labels.get(*name));
        of_check.or_else(|| probe.info.labels.get(*name)).map_or("", String::as_str)
    };
    more.iter().map(value).collect::<Vec<_>>().into_iter()
}

fn probe_info(snapshot: &Snapshot, more: &[&str], sink: &mut dyn SampleSink) {
    sink.family(&metric::PROBE_INFO, more);
    for probe in &snapshot.probes {
        let mut labels = vec![&*probe.info.name, probe.info.kind, &probe.info.service, &probe.info.target];
        labels.extend(user_values(probe, None, more));
        sink.sample(&labels, 1.0);
    }
}

fn check_info(snapshot: &Snapshot, more: &[&str], sink: &mut dyn SampleSink) {
    sink.family(&metric::CHECK_INFO, more);
    for (probe, check) in snapshot.checks() {
        let info = &check.info;
        let title = info.title_of(&probe.info.name);
        let mut labels = vec![
            &*probe.info.name,
            &*info.name,
            info.kind,
            info.category.as_str(),
            info.severity.as_str(),
            if info.gate { "true" } else { "false" },
            &*probe.info.service,
            &*info.owner,
            info.runbook_url(),
            &*title,
            &*info.summary,
            info.alert.as_str(),
        ];
        labels.extend(user_values(probe, Some(check), more));
        sink.sample(&labels, 1.0);
    }
}

/// Durations of the declared phases, and of other phases of the last run.
fn phase_durations(probe: &ProbeState, sink: &mut dyn SampleSink) {
    let entered = probe.last.as_ref().map(|run| run.phases.as_slice()).unwrap_or_default();
    for phase in probe.info.phases {
        let spent = entered.iter().find(|(entered, _)| entered == phase).map(|(_, spent)| spent.as_secs_f64());
        sink.sample(&[&probe.info.name, phase.as_str()], spent.unwrap_or_default());
    }
    for (phase, spent) in entered.iter().filter(|(phase, _)| !probe.info.phases.contains(phase)) {
        sink.sample(&[&probe.info.name, phase.as_str()], spent.as_secs_f64());
    }
}

fn failure_counts(probe: &ProbeState, sink: &mut dyn SampleSink) {
    for reason in Reason::ALL {
        sink.sample(&[&probe.info.name, reason.as_str()], probe.failures(*reason) as f64);
    }
}

/// The reason of the last verdict, which the thresholds may still hold back.
fn check_reason(probe: &ProbeState, check: &CheckState, sink: &mut dyn SampleSink) {
    if let Some((verdict, reason)) =
        check.verdict.as_ref().and_then(|verdict| Some((verdict, verdict.outcome.reason()?)))
    {
        let meaning = verdict.meaning.map_or_else(|| reason.clause().into(), Cow::Borrowed);
        let labels = [&probe.info.name, &*check.info.name, reason.as_str(), &*meaning, verdict.origin.as_str()];
        sink.sample(&labels, 1.0);
    }
}

fn check_statuses(probe: &ProbeState, check: &CheckState, sink: &mut dyn SampleSink) {
    for status in Status::ALL {
        sink.sample(&[&probe.info.name, &check.info.name, status.as_str()], bool_value(check.status == *status));
    }
}

fn result_counts(probe: &ProbeState, check: &CheckState, sink: &mut dyn SampleSink) {
    for status in Status::ALL {
        sink.sample(&[&probe.info.name, &check.info.name, status.as_str()], check.results(*status) as f64);
    }
}

/// Writes the samples of facts and checks for a family.
fn write_samples(snapshot: &Snapshot, family: &Family, sink: &mut dyn SampleSink) {
    let is_by_check = family.labels.get(1) == Some(&"check");
    let mut seen = HashSet::new();
    let mut labels: Vec<&str> = Vec::new();
    for probe in &snapshot.probes {
        let facts = fact_samples(probe, family.retained).map(|sample| (None, sample));
        let checks =
            probe.checks.iter().flat_map(|check| check_samples(check, family.retained).map(move |s| (Some(check), s)));
        seen.clear();
        for (check, sample) in facts.chain(checks).filter(|(_, sample)| ptr::eq(sample.family, family)) {
            let check = check.map(|check| &*check.info.name).filter(|_| is_by_check);
            // Two checks of a probe may report the same series, such as the size of the newest backup. Only the first
            // is written, because Prometheus rejects a page with duplicate series.
            if !seen.insert((check, &sample.labels)) {
                continue;
            }
            labels.clear();
            labels.push(&probe.info.name);
            labels.extend(check);
            labels.extend(sample.labels.iter().map(Cow::as_ref));
            let fits = labels.len() == family.labels.len();
            debug_assert!(fits, "{} wants the labels {:?}, not {labels:?}", family.name, family.labels);
            if fits {
                sink.sample(&labels, sample.value);
            }
        }
    }
}

/// Samples of the facts: the retained ones, or those of the last run while it is current.
fn fact_samples(probe: &ProbeState, retained: bool) -> impl Iterator<Item = &Sample> {
    let last = probe.last.iter().filter(move |_| probe.is_current && !retained).flat_map(|run| &run.samples);
    last.chain(probe.retained.iter().filter(move |_| retained))
}

/// Samples of a check: its limits, its values, or its retained samples.
fn check_samples(check: &CheckState, retained: bool) -> impl Iterator<Item = &Sample> {
    let measured = judged_verdict(check).filter(|_| !retained).into_iter().flat_map(|verdict| &verdict.samples);
    check.limits.samples.iter().chain(measured).chain(check.retained.iter().filter(move |_| retained))
}
