//! Common part of the `pool` checks: judges the utilization of connection pools and the number of waiting callers.
//!
//! Each kind with facts about pools (`metrics`, `postgres`) has its own check, which converts the facts to [`Pool`]s.
//!
//! | situation | verdict |
//! |---|---|
//! | every pool within the limits | pass |
//! | a pool beyond a step of a limit, also with more connections in use than its size | warn or fail (`limit`) |
//! | no pool | unknown (`empty`) |
//! | more than 20 pools | unknown (`limit`): each pool becomes a label value, so the selector must be narrowed |
//! | size 0, negative or infinite: no upper limit (0/0 too) | unknown (`empty`), unless another pool fails |
//! | a number is NaN, or negative | unknown (`empty`), unless another pool fails |

use std::borrow::Cow;

use crate::model::{
    limit::Max,
    measure::Measure,
    metric::{POOL_CONNECTIONS, POOL_UTILIZATION, POOL_UTILIZATION_LIMIT, Sample},
    units::Ratio,
    verdict::Verdict,
    words::{Outcome, Reason},
};
use crate::model::{measure::MeasureInfo, units::Unit};

/// Maximum number of pools of one check.
pub const MAX_POOLS: usize = 20;

/// State of a connection pool at one time, in connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Value of the label `pool`.
    pub name: String,
    /// Connections in use.
    pub used: f64,
    /// Open connections that are not in use, if known.
    pub idle: Option<f64>,
    /// Callers that wait for a connection, if known.
    pub waiting: Option<f64>,
    /// Maximum number of connections.
    pub max: f64,
}

/// Limits on a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolLimits {
    /// Limit on the ratio of connections in use.
    pub utilization: Max<Ratio>,
    /// Limit on the number of waiting callers.
    pub waiting: Option<Max<u32>>,
}

/// Default limit on the utilization: warns at 80 %, fails at 95 %.
#[must_use]
pub fn standard_utilization() -> Max<Ratio> {
    let (warn, fail) = (Ratio::from_percent(80), Ratio::from_percent(95));
    Max::two_steps(warn, fail).unwrap_or(Max::single(fail))
}

/// Judges all pools. The verdict is that of the worst pool.
#[must_use]
pub fn judge(pools: &[Pool], limits: &PoolLimits) -> Verdict {
    if pools.is_empty() {
        return Verdict::new(Outcome::Unknown(Reason::Empty), "there is no pool to judge");
    }
    if pools.len() > MAX_POOLS {
        return too_many_pools(pools.len());
    }
    let alone = pools.len() == 1;
    let mut measures = Vec::new();
    let mut unclear = None;
    for pool in pools {
        match pool.measures(limits, alone) {
            Ok(of_pool) => measures.extend(of_pool),
            Err(why) => unclear = unclear.or(Some(why)),
        }
    }
    let mut verdict = Verdict::from_measures(measures);
    let unknown = Outcome::Unknown(Reason::Empty);
    match unclear {
        Some(why) if verdict.outcome.severity_order() <= unknown.severity_order() => {
            (verdict.outcome, verdict.summary) = (unknown, why);
        }
        _ if alone => {
            let of = |pool: &Pool| format!(" ({} of {} in use)", pool.used, pool.max);
            verdict.summary.extend(pools.iter().map(of));
        }
        _ => {}
    }
    verdict.with_samples(pools.iter().flat_map(|pool| pool.samples(limits)))
}

/// Measures of all `pool` checks.
pub const MEASURES: &[MeasureInfo] = &[
    MeasureInfo::new("utilization", Unit::Ratio, "Ratio of connections in use to the size of the pool.")
        .valued_by(&POOL_UTILIZATION)
        .limited_by(&POOL_UTILIZATION_LIMIT),
    MeasureInfo::new("waiting", Unit::Number, "Callers that wait for a connection of the pool."),
];

/// Verdict on more than [`MAX_POOLS`] pools.
#[must_use]
pub fn too_many_pools(count: usize) -> Verdict {
    let message = format!("there are {count} pools, more than {MAX_POOLS}: narrow the selection of this check");
    Verdict::new(Outcome::Unknown(Reason::Limit), message)
}

impl Pool {
    fn measures(&self, limits: &PoolLimits, alone: bool) -> Result<Vec<Measure>, String> {
        let of = |measure: Measure| if alone { measure } else { measure.with_subject(&*self.name) };
        if !(self.max > 0.0 && self.max.is_finite()) {
            let max = self.max;
            let message = format!("the size of pool {} is {max}: without an upper limit there is no", self.name);
            return Err(format!("{message} utilization to judge; give the pool one"));
        }
        let is_count = |number: f64| number >= 0.0 && number.is_finite();
        if !is_count(self.used) || !self.waiting.is_none_or(is_count) {
            let waiting = self.waiting.map(|waiting| format!(" and {waiting} waiting")).unwrap_or_default();
            return Err(format!("pool {} has {} connections in use{waiting}: that is no count", self.name, self.used));
        }
        let utilization = limits.utilization.measure("utilization", self.used / self.max);
        let waiting = limits.waiting.zip(self.waiting).map(|(limit, waiting)| limit.measure("waiting", waiting));
        Ok([Some(utilization), waiting].into_iter().flatten().map(of).collect())
    }

    fn samples(&self, limits: &PoolLimits) -> Vec<Sample> {
        let pool = || Cow::from(self.name.clone());
        let states =
            [("used", Some(self.used)), ("idle", self.idle), ("waiting", self.waiting), ("max", Some(self.max))];
        let states = states.into_iter().filter_map(|(state, count)| {
            let count = count.filter(|count| count.is_finite())?;
            Some(Sample::new(&POOL_CONNECTIONS, [pool(), state.into()], count))
        });
        let utilization = Some(self.used / self.max).filter(|share| share.is_finite());
        let utilization = utilization.map(|share| Sample::new(&POOL_UTILIZATION, [pool()], share));
        let limit = |family, level: &'static str, at| Sample::new(family, [pool(), level.into()], at);
        let on_utilization = limits.utilization.levels().map(|(level, at)| limit(&POOL_UTILIZATION_LIMIT, level, at));
        states.chain(utilization).chain(on_utilization).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, used: f64, max: f64) -> Pool {
        Pool { name: name.to_owned(), used, idle: None, waiting: None, max }
    }

    fn limits() -> PoolLimits {
        PoolLimits { utilization: standard_utilization(), waiting: Some(Max::single(2)) }
    }

    #[test]
    fn the_table_of_the_module() {
        let unknown = Outcome::Unknown(Reason::Empty);
        let fail = Outcome::Fail(Reason::Limit);
        let waiting = |waiting| Pool { waiting: Some(waiting), ..pool("a", 1.0, 10.0) };
        let cases = [
            ("at the first step", vec![pool("a", 8.0, 10.0)], Outcome::Pass),
            ("beyond the first step", vec![pool("a", 9.0, 10.0)], Outcome::Warn),
            ("beyond the second step", vec![pool("a", 10.0, 10.0)], fail),
            ("more than there are", vec![pool("a", 12.0, 10.0)], fail),
            ("the worst counts", vec![pool("a", 1.0, 10.0), pool("b", 10.0, 10.0), pool("c", 9.0, 10.0)], fail),
            ("some wait", vec![waiting(3.0)], fail),
            ("few wait", vec![waiting(2.0)], Outcome::Pass),
            ("none", vec![], unknown),
            ("too many", (0..21).map(|_| pool("a", 1.0, 10.0)).collect(), Outcome::Unknown(Reason::Limit)),
            ("no upper limit", vec![pool("a", 3.0, 0.0)], unknown),
            ("0/0", vec![pool("a", 0.0, 0.0)], unknown),
            ("a negative size", vec![pool("a", 3.0, -1.0)], unknown),
            ("an infinite size", vec![pool("a", 3.0, f64::INFINITY)], unknown),
            ("a size that is no number", vec![pool("a", 3.0, f64::NAN)], unknown),
            ("use that is no number", vec![pool("a", f64::NAN, 10.0)], unknown),
            ("negative use", vec![pool("a", -1.0, 10.0)], unknown),
            ("waiting that is no number", vec![waiting(f64::NAN)], unknown),
            ("one unclear, one good", vec![pool("a", 1.0, 0.0), pool("b", 1.0, 10.0)], unknown),
            ("one unclear, one bad", vec![pool("a", 1.0, 0.0), pool("b", 10.0, 10.0)], fail),
        ];
        for (case, pools, outcome) in cases {
            assert_eq!(judge(&pools, &limits()).outcome, outcome, "{case}");
        }
    }

    #[test]
    fn sentences_name_the_pool_where_there_are_several() {
        let one = judge(&[pool("a", 10.0, 10.0)], &limits());
        assert_eq!(one.summary, "utilization is 100%, above the limit of 95% (10 of 10 in use)");
        let two = judge(&[pool("a", 1.0, 10.0), pool("b", 9.0, 10.0)], &limits());
        assert_eq!(two.summary, "utilization of b is 90%, above the limit of 80%");
        let measures: Vec<_> = two.measures.iter().map(|measure| measure.display_name()).collect();
        assert_eq!(measures, ["utilization of a", "utilization of b"]);
    }

    #[test]
    fn connections_and_limits_are_exposed_for_each_pool() {
        let verdict = judge(&[Pool { idle: Some(2.0), waiting: Some(0.0), ..pool("a", 6.0, 8.0) }], &limits());
        let lines: Vec<_> = verdict
            .samples
            .iter()
            .map(|s| format!("{} {} {}", &s.family.name[10..], s.labels.join(" "), s.value))
            .collect();
        assert_eq!(
            lines,
            [
                "pool_connections a used 6",
                "pool_connections a idle 2",
                "pool_connections a waiting 0",
                "pool_connections a max 8",
                "pool_utilization_ratio a 0.75",
                "pool_utilization_limit_ratio a warn 0.8",
                "pool_utilization_limit_ratio a fail 0.95",
            ]
        );
        assert!(judge(&[pool("a", f64::NAN, 0.0)], &limits()).samples.iter().all(|sample| sample.value.is_finite()));
    }
}
