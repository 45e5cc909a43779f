//! Samples of the measures of checks: headroom, and values and limits in the generic families.

use super::sink::SampleSink;
use crate::{
    board::{CheckState, ProbeState},
    model::{
        measure::{Measure, MeasureInfo},
        units::Unit,
        verdict::Verdict,
        words::Outcome,
    },
};

pub(super) fn check_headroom(probe: &ProbeState, check: &CheckState, sink: &mut dyn SampleSink) {
    for measure in tightest_measures(check) {
        if let Some(headroom) = measure.headroom() {
            sink.sample(&[&probe.info.name, &check.info.name, measure.name], headroom);
        }
    }
}

/// The measures of the last judgement, one for each name: the one with the least headroom. A value with two bounds, or
/// a measure of several subjects, counts as one measure.
fn tightest_measures(check: &CheckState) -> Vec<&Measure> {
    let measures = judged_verdict(check).map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    let headroom = |measure: &Measure| measure.headroom().unwrap_or(f64::INFINITY);
    let mut tightest: Vec<&Measure> = Vec::new();
    for measure in measures {
        match tightest.iter_mut().find(|other| other.name == measure.name) {
            Some(other) if headroom(measure) < headroom(other) => *other = measure,
            Some(_) => {}
            None => tightest.push(measure),
        }
    }
    tightest
}

fn measure_info<'a>(check: &'a CheckState, measure: &Measure) -> Option<&'a MeasureInfo> {
    check.info.measures.iter().find(|info| info.name == measure.name)
}

pub(super) fn check_values(unit: Unit, probe: &ProbeState, check: &CheckState, sink: &mut dyn SampleSink) {
    for measure in tightest_measures(check).into_iter().filter(|measure| measure.unit.exposed_as() == unit) {
        if measure_info(check, measure).is_some_and(|info| info.value_family.is_none()) {
            sink.sample(&[&probe.info.name, &check.info.name, measure.name], measure.value);
        }
    }
}

/// The configured limits, and for measures with limits that depend on facts the limits of the tightest measure.
pub(super) fn check_limits(unit: Unit, probe: &ProbeState, check: &CheckState, sink: &mut dyn SampleSink) {
    let configured = &check.limits.measures;
    let tightest = tightest_measures(check);
    // A measure may have a lower and an upper limit. Both are limits of the tightest subject.
    let alike = |one: &Measure, other: &Measure| one.name == other.name && one.subject == other.subject;
    let judged = judged_verdict(check).map(|verdict| verdict.measures.as_slice()).unwrap_or_default();
    let opposite = judged
        .iter()
        .filter(|measure| tightest.iter().any(|other| alike(measure, other) && measure.bound != other.bound));
    let found = tightest
        .iter()
        .copied()
        .chain(opposite)
        .filter(|measure| configured.iter().all(|other| other.name != measure.name));
    for measure in configured.iter().chain(found).filter(|measure| measure.unit.exposed_as() == unit) {
        if measure_info(check, measure).is_some_and(|info| info.limit_family.is_none()) {
            for (level, at) in measure.levels() {
                let labels = [&*probe.info.name, &check.info.name, measure.name, measure.bound.as_str(), level];
                sink.sample(&labels, at);
            }
        }
    }
}

/// The verdict, if it was judged: an unknown verdict has no values.
pub(super) fn judged_verdict(check: &CheckState) -> Option<&Verdict> {
    check.verdict.as_ref().filter(|verdict| !matches!(verdict.outcome, Outcome::Unknown(_)))
}
