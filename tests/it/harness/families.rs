//! A board on which every metric family of the registry has a sample.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use readiness_exporter::{
    board::Board,
    model::{
        check::CheckLimits,
        measure::{Bound, Measure, MeasureInfo},
        metric::{self, Family, Sample},
        units::Unit,
        verdict::Verdict,
        words::{Category, Severity},
    },
    settings::CheckInfo,
};

use super::board;

/// The probe that has what the other probes of the board lack.
pub(crate) const PROBE: &str = "every-family";

/// One measure in each unit, for the generic families.
const MEASURES: &[MeasureInfo] = &[
    MeasureInfo::new("lag", Unit::Seconds, "A duration."),
    MeasureInfo::new("backlog", Unit::Bytes, "A size."),
    MeasureInfo::new("share", Unit::Ratio, "A ratio."),
    MeasureInfo::new("rate", Unit::PerSecond, "A rate."),
    MeasureInfo::new("valid_until", Unit::Timestamp, "A moment."),
    MeasureInfo::new("count", Unit::Number, "A number."),
];

/// The busy board, and one more probe whose checks bring every family that a check or its facts can bring.
pub(crate) fn complete(now: Timestamp) -> Arc<Board> {
    let board = board::busy(now);
    let health = board::check("health", "health", Category::Health, Severity::Critical);
    let named = board::check("named", "present", Category::Observability, Severity::Info);
    let measured = CheckInfo { name: "measured".to_owned(), measures: MEASURES, ..named.clone() };
    let probe = board::probe(PROBE, "metrics", &[], vec![health, measured, named]);
    let known = board::layout();
    let limits = vec![CheckLimits::default(), CheckLimits { measures: measures(f64::NAN), samples: Vec::new() }];
    board.replace_probes(known.into_iter().chain([(probe, limits)]).collect(), |name| name != PROBE, now);
    let samples = metric::ALL.iter().filter(|family| is_sampled(family)).map(|family| sample(family)).collect();
    let named = Verdict { samples, ..board::healthy() };
    board.record(PROBE, board::report(now, vec![board::healthy(), Verdict::from_measures(measures(7.0)), named]), 0.0);
    board
}

fn measures(value: f64) -> Vec<Measure> {
    let measure = |info: &MeasureInfo| board::measure(info.name, value, info.unit, Bound::Max, Some(8.0), 9.0);
    MEASURES.iter().map(measure).collect()
}

/// Whether checks and facts fill a family with samples: the daemon itself fills the others.
fn is_sampled(family: &Family) -> bool {
    let is_generic = family.name.starts_with("readiness_check_") && family.name != metric::CHECK_WINDOW.name;
    family.labels.first() == Some(&"probe") && !is_generic && !family.name.starts_with("readiness_probe_")
}

fn sample(family: &'static Family) -> Sample {
    let own = family.labels.iter().filter(|label| !["probe", "check"].contains(label));
    Sample { family, labels: own.map(|label| Cow::Borrowed(*label)).collect(), value: 7.0 }
}
