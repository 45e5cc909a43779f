#![doc = include_str!("pool.md")]

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::no_data;
use crate::{
    checks::{
        no_data::WhenNoData,
        pool as judging,
        pool::{PoolLimits, standard_utilization},
    },
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        limit::Max,
        measure::MeasureInfo,
        observation::{Observation, Timing},
        text,
        units::Ratio,
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
    probes::metrics::exposition_format::{page::Page, selector::Selector, series::Series},
};

/// Gauges of connection pools and their limits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Gauge of the connections in use.
    used: Selector,
    /// Gauge of the maximum number of connections. Each series is one pool.
    size: Selector,
    /// Gauge of the open connections that are not in use. The value is exported and not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<Selector>,
    /// Gauge of the callers that wait for a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<Selector>,
    /// Maximum ratio of connections in use to the size of the pool. Default: warn at 80%, fail at 95%.
    #[serde(default = "standard_utilization")]
    max_utilization: Max<Ratio>,
    /// Maximum number of callers that wait for a connection. Requires `waiting`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_waiting: Option<Max<u32>>,
    /// Verdict on an idle pool: its size and the connections in use are 0, or one of them is NaN. Without this setting,
    /// the check is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when_idle: Option<WhenNoData>,
}

impl CheckKind<Page> for Pool {
    const NAME: &'static str = "pool";
    const CATEGORY: Category = Category::Capacity;
    const SEVERITY: Severity = Severity::Critical;
    const MEASURES: &'static [MeasureInfo] = crate::checks::pool::MEASURES;
    const ALERT: Alert = Alert::PoolSaturated;
    const DOC: &'static str = include_str!("pool.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.max_waiting.is_some() && self.waiting.is_none() {
            return Err(Invalid::at("max_waiting", "this limit requires the gauge of waiting callers: add `waiting`"));
        }
        Ok(())
    }
}

impl Check<Page> for Pool {
    fn judge(&mut self, seen: &Observation<Page>) -> Verdict {
        let page = match seen.facts_or_verdict() {
            Ok(page) => page,
            Err(verdict) => return verdict,
        };
        for selector in [&self.used, &self.size] {
            if selector.matching_series(&page.series).next().is_none() {
                return no_data::no_matching_series(page, selector);
            }
        }
        let (pools, unmatched) = self.pools(page);
        let mut pools = match pools {
            Ok(pools) => pools,
            Err(count) => return unknown_unless_failing(judging::too_many_pools(count), unmatched),
        };
        let idle = pools
            .iter()
            .find(|pool| is_idle(pool))
            .map(|pool| format!("pool {} is idle: its size is {}", pool.name, pool.max));
        let idle = self.when_idle.zip(idle).map(|(when_idle, text)| when_idle.verdict(text));
        if idle.is_some() {
            pools.retain(|pool| !is_idle(pool));
        }
        let limits = PoolLimits { utilization: self.max_utilization, waiting: self.max_waiting };
        let verdict = match idle {
            Some(idle) if pools.is_empty() => idle,
            Some(idle) => {
                let verdict = judging::judge(&pools, &limits);
                let is_worse = idle.outcome.severity_order() > verdict.outcome.severity_order();
                if is_worse { Verdict { outcome: idle.outcome, summary: idle.summary, ..verdict } } else { verdict }
            }
            None => {
                let mut verdict = judging::judge(&pools, &limits);
                if matches!(verdict.outcome, Outcome::Unknown(_)) && pools.iter().any(is_idle) {
                    verdict.summary.push_str("; `when_idle` sets the verdict on a pool that is not in use");
                }
                verdict
            }
        };
        unknown_unless_failing(verdict, unmatched)
    }

    fn requested_facts(&self) -> Vec<Selector> {
        let Self { used, size, idle, waiting, .. } = self;
        [Some(used), Some(size), idle.as_ref(), waiting.as_ref()].into_iter().flatten().cloned().collect()
    }
}

impl Pool {
    /// Pools of a page or their number if there are too many, and a description of series without a counterpart.
    fn pools(&self, facts: &Page) -> (Result<Vec<judging::Pool>, usize>, Option<String>) {
        let page = &facts.series;
        let (used, sizes) = (self.used.matching_series(page), self.size.matching_series(page));
        let used: Vec<_> = used.map(|series| (distinguishing_labels(series, &self.used), series)).collect();
        let sizes: Vec<_> = sizes.map(|series| (distinguishing_labels(series, &self.size), series)).collect();
        let (of_used, of_size) = (by_labels(&used), by_labels(&sizes));
        let is_odd = |(labels, _): &&(Labels<'_>, _)| {
            [&of_used, &of_size].iter().any(|side| side.get(labels.as_slice()).is_none_or(|(_, count)| *count != 1))
        };
        let odd = used.iter().chain(&sizes).find(is_odd).map(|(_, series)| {
            format!(
                "`{}` has no single counterpart with the same labels: a pool needs one of `used` and one of `size`",
                text::bounded_name(&*series.id)
            )
        });
        let count = sizes.iter().filter(|(labels, _)| of_used.contains_key(labels.as_slice())).count();
        if count > judging::MAX_POOLS {
            return (Err(count), odd);
        }
        let mut pools = Vec::new();
        let named = pool_names(&sizes);
        for ((labels, size), name) in sizes.iter().zip(named) {
            let Some((used, _)) = of_used.get(labels.as_slice()) else { continue };
            let other = |selector: &Option<Selector>| {
                let selector = selector.as_ref()?;
                selector
                    .matching_series(page)
                    .find(|series| labels_of(series, selector).eq(labels.iter().copied()))
                    .map(|s| s.value)
            };
            let (idle, waiting) = (other(&self.idle), other(&self.waiting));
            pools.push(judging::Pool {
                name: text::bounded_name(name),
                used: used.value,
                idle,
                waiting,
                max: size.value,
            });
        }
        // A limit on waiting callers is not met because their number is unknown.
        let waiting = self.waiting.as_ref().filter(|_| self.max_waiting.is_some());
        let without = pools.iter().find(|pool| pool.waiting.is_none()).zip(waiting).map(|(pool, waiting)| {
            let absence = no_data::absence(facts, waiting);
            format!(
                "the number of waiting callers of pool {} is unknown: {absence} with the labels of `size`",
                pool.name
            )
        });
        (Ok(pools), odd.or(without))
    }
}

/// Whether a pool is not in use: it has no connections at all, or its gauges are NaN.
fn is_idle(pool: &judging::Pool) -> bool {
    (pool.max == 0.0 && pool.used == 0.0) || pool.max.is_nan() || pool.used.is_nan()
}

/// Changes a verdict to unknown if a part of the pools could not be judged, unless another pool fails.
fn unknown_unless_failing(verdict: Verdict, reason: Option<String>) -> Verdict {
    match reason {
        Some(summary) if !matches!(verdict.outcome, Outcome::Fail(_)) => {
            Verdict { outcome: Outcome::Unknown(Reason::Empty), summary, ..verdict }
        }
        _ => verdict,
    }
}

/// First series and number of series for each set of labels.
type ByLabels<'a, 'b> = HashMap<&'b [(&'a str, &'a str)], (&'a Series, usize)>;

fn by_labels<'a, 'b>(all: &'b [(Labels<'a>, &'a Series)]) -> ByLabels<'a, 'b> {
    let mut found = HashMap::with_capacity(all.len());
    for (labels, series) in all {
        found.entry(labels.as_slice()).or_insert((*series, 0)).1 += 1;
    }
    found
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Labels that distinguish pools: all labels that the selector does not fix.
fn distinguishing_labels<'a>(series: &'a Series, selector: &Selector) -> Labels<'a> {
    labels_of(series, selector).collect()
}

fn labels_of<'a>(series: &'a Series, selector: &Selector) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = series.labels.iter().map(|(label, value)| (&**label, &**value));
    all.filter(|(label, _)| !selector.fixes_label(label))
}

/// Name of each pool: the label `pool` or `name` if it distinguishes them, else the values of all labels.
fn pool_names(pools: &[(Labels<'_>, &Series)]) -> Vec<String> {
    for label in ["pool", "name", "pool_name"] {
        let found: Vec<_> = pools.iter().map(|(_, series)| series.label(label).to_owned()).collect();
        let mut distinct = found.clone();
        distinct.sort();
        distinct.dedup();
        if distinct.len() == pools.len() && found.iter().all(|name| !name.is_empty()) {
            return found;
        }
    }
    let joined = |labels: &Labels<'_>| labels.iter().map(|(_, value)| *value).collect::<Vec<_>>().join("/");
    let name = |(labels, _): &(Labels<'_>, _)| if labels.is_empty() { "default".to_owned() } else { joined(labels) };
    pools.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        model::metric::POOL_UTILIZATION,
        probes::metrics::fixture::{TIMING, failed, scrape},
    };

    fn check() -> Pool {
        from_value(json!({"used": "used", "size": "size", "idle": "idle", "waiting": "wait", "max_waiting": 5}))
            .unwrap()
    }

    fn used(verdict: &Verdict) -> Vec<(String, f64)> {
        let utilization = verdict.samples.iter().filter(|sample| *sample.family == POOL_UTILIZATION);
        utilization.map(|sample| (sample.labels[0].to_string(), sample.value)).collect()
    }

    #[test]
    fn the_table_of_the_module() {
        let empty = Outcome::Unknown(Reason::Empty);
        let fail = Outcome::Fail(Reason::Limit);
        for (case, page, outcome) in [
            ("within", "used 5\nsize 10\nwait 0\n", Outcome::Pass),
            ("no `waiting`", "used 5\nsize 10\n", empty),
            ("no `waiting`, and full", "used 10\nsize 10\n", fail),
            ("some wait", "used 5\nsize 10\nwait 6\n", fail),
            ("no `used`", "size 10\n", empty),
            ("no `size`", "used 10\n", empty),
            ("other labels", "used{a=\"1\"} 10\nsize{a=\"2\"} 10\n", empty),
            ("one more size", "used{a=\"1\"} 1\nsize{a=\"1\"} 10\nsize{a=\"2\"} 10\n", empty),
            ("one more use", "used{a=\"1\"} 1\nused{a=\"2\"} 1\nsize{a=\"1\"} 10\n", empty),
            ("one more use, and full", "used{a=\"1\"} 10\nused{a=\"2\"} 1\nsize{a=\"1\"} 10\n", fail),
            ("waiting of another pool", "used{a=\"1\"} 5\nsize{a=\"1\"} 10\nwait{a=\"2\"} 6\n", empty),
        ] {
            assert_eq!(check().judge(&scrape(0, page)).outcome, outcome, "{case}");
        }
        assert_eq!(check().judge(&failed(0, Reason::Refused)).outcome, Outcome::Unknown(Reason::Refused));
    }

    #[test]
    fn each_label_set_is_a_pool_with_a_name() {
        let of = |labels: [&str; 2]| {
            let page = format!("used{0} 1\nsize{0} 4\nused{1} 2\nsize{1} 4\n", labels[0], labels[1]);
            used(&check().judge(&scrape(0, &page)))
        };
        let named = |a: &str, b: &str| vec![(a.to_owned(), 0.25), (b.to_owned(), 0.5)];
        assert_eq!(of(["{pool=\"a\",x=\"1\"}", "{pool=\"b\",x=\"1\"}"]), named("a", "b"));
        assert_eq!(of(["{pool=\"a\",x=\"1\"}", "{pool=\"a\",x=\"2\"}"]), named("a/1", "a/2"));
        assert_eq!(of(["{db=\"a\"}", "{db=\"b\"}"]), named("a", "b"));
        assert_eq!(used(&check().judge(&scrape(0, "used 1\nsize 4\n"))), [("default".to_owned(), 0.25)]);
    }

    #[test]
    fn one_family_may_hold_all_the_numbers() {
        let mut check: Pool = from_value(json!({"used": "c{state=\"used\"}", "size": "c{state=\"max\"}"})).unwrap();
        let page = "c{db=\"a\",state=\"used\"} 3\nc{db=\"a\",state=\"max\"} 4\nc{db=\"a\",state=\"idle\"} 1\n";
        assert_eq!(used(&check.judge(&scrape(0, page))), [("a".to_owned(), 0.75)]);
    }

    #[test]
    fn tens_of_thousands_of_series_are_joined_at_once() {
        const MANY: usize = 24_000;
        let numbered = |name: &str| (0..MANY).map(|n| format!("{name}{{a=\"{n}\"}} 1\n")).collect::<String>();
        let page = scrape(0, &(numbered("used") + &numbered("size")));
        let start = std::time::Instant::now();
        let verdict = check().judge(&page);
        assert_eq!(verdict.outcome, Outcome::Unknown(Reason::Limit));
        assert!(verdict.summary.contains("24000 pools"), "{}", verdict.summary);
        // Each with each takes much longer, with optimization too.
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn a_limit_on_waiting_requires_the_key_waiting() {
        let check: Pool = from_value(json!({"used": "u", "size": "s", "max_waiting": 5})).unwrap();
        assert_eq!(check.validate(&TIMING).unwrap_err().key, Some("max_waiting"));
    }

    #[test]
    fn the_verdict_on_an_idle_pool_can_be_configured() {
        let outcome = |when_idle: Option<&str>, page: &str| {
            let mut settings = json!({"used": "used", "size": "size"});
            if let Some(when_idle) = when_idle {
                settings["when_idle"] = when_idle.into();
            }
            from_value::<Pool>(settings).unwrap().judge(&scrape(0, page)).outcome
        };
        let (empty, fail) = (Outcome::Unknown(Reason::Empty), Outcome::Fail(Reason::Limit));
        let two = |a: [&str; 2], b: [&str; 2]| {
            format!(
                "used{{p=\"a\"}} {}\nsize{{p=\"a\"}} {}\nused{{p=\"b\"}} {}\nsize{{p=\"b\"}} {}\n",
                a[0], a[1], b[0], b[1]
            )
        };
        for (when_idle, page, expected) in [
            (None, "used 0\nsize 0\n".to_owned(), empty),
            (Some("pass"), "used 0\nsize 0\n".to_owned(), Outcome::Pass),
            (Some("warn"), "used NaN\nsize 5\n".to_owned(), Outcome::Warn),
            (Some("pass"), "used 3\nsize 0\n".to_owned(), empty),
            (Some("pass"), "other 3\n".to_owned(), empty),
            (Some("pass"), two(["0", "0"], ["1", "10"]), Outcome::Pass),
            (Some("warn"), two(["0", "0"], ["1", "10"]), Outcome::Warn),
            (Some("warn"), two(["0", "0"], ["10", "10"]), fail),
            (None, two(["0", "0"], ["1", "10"]), empty),
        ] {
            assert_eq!(outcome(when_idle, &page), expected, "{when_idle:?} {page}");
        }
    }
}
