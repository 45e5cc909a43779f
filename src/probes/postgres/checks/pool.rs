#![doc = include_str!("pool.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    checks::pool::{self, Pool, PoolLimits},
    kind::CheckKind,
    model::{
        check::Check,
        limit::Max,
        measure::MeasureInfo,
        observation::Observation,
        text,
        units::Ratio,
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{
        PostgresFacts, PostgresRequest, Section,
        connections::{ConnectionFacts, ConnectionLimit},
    },
};

/// Settings of `pool`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresPool {
    /// Maximum ratio of connections in use to the size of the pool. Default: warn at 80%, fail at 95%.
    #[serde(default = "pool::standard_utilization")]
    pub max_utilization: Max<Ratio>,
    /// Whether each database with its own connection limit is judged as a pool.
    #[serde(default = "yes")]
    pub databases: bool,
    /// Whether each role with its own connection limit is judged as a pool.
    #[serde(default = "yes")]
    pub roles: bool,
}

fn yes() -> bool {
    true
}

impl CheckKind<PostgresFacts> for PostgresPool {
    const NAME: &'static str = "pool";
    const CATEGORY: Category = Category::Capacity;
    const SEVERITY: Severity = Severity::Critical;
    const MEASURES: &'static [MeasureInfo] = crate::checks::pool::MEASURES;
    const ALERT: Alert = Alert::PoolSaturated;
    const DOC: &'static str = include_str!("pool.md");
}

impl Check<PostgresFacts> for PostgresPool {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        PostgresFacts::judge(seen, |connections: &ConnectionFacts| {
            if !connections.sees_all {
                let role = text::bounded_name(&*connections.role);
                return Verdict::new(
                    Outcome::Unknown(Reason::Permission),
                    format!(
                        "role {role} can't see other roles' sessions: GRANT pg_read_all_stats TO {role}, or pg_monitor"
                    ),
                )
                .of_exporter("the role of this exporter lacks a privilege");
            }
            let limits = PoolLimits { utilization: self.max_utilization, waiting: None };
            pool::judge(&self.pools(connections), &limits)
        })
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        vec![ConnectionFacts::REQUEST]
    }
}

impl PostgresPool {
    fn pools(&self, facts: &ConnectionFacts) -> Vec<Pool> {
        let server = Pool {
            name: "server".to_owned(),
            used: facts.used as f64,
            idle: facts.idle.map(|idle| idle as f64),
            waiting: None,
            max: facts.room.usable_connections() as f64,
        };
        let limited = |kind: &'static str, of: &ConnectionLimit| Pool {
            name: text::bounded_name(format!("{kind} {}", of.name)),
            used: of.used as f64,
            idle: None,
            waiting: None,
            max: of.usable_connections() as f64,
        };
        let databases = facts.databases.iter().filter(|_| self.databases).map(|of| limited("database", of));
        let roles = facts.roles.iter().filter(|_| self.roles).map(|of| limited("role", of));
        std::iter::once(server).chain(databases).chain(roles).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::postgres::facts::{connections::ConnectionCapacity, fixture::seen};

    fn verdict(room: [i64; 3], roles: Vec<ConnectionLimit>) -> Verdict {
        let [max_connections, superuser_reserved, reserved] = room;
        let connections = ConnectionFacts {
            role: "monitor".into(),
            sees_all: true,
            room: ConnectionCapacity { max_connections, superuser_reserved, reserved },
            used: 5,
            idle: Some(2),
            groups: Vec::new(),
            databases: Vec::new(),
            roles,
        };
        let mut check: PostgresPool = serde_json::from_value(serde_json::json!({})).unwrap();
        check.judge(&seen(jiff::Timestamp::UNIX_EPOCH, connections))
    }

    #[test]
    fn limits_at_the_ends_of_the_range_make_no_check_pass() {
        let unknown = Outcome::Unknown(Reason::Empty);
        assert_eq!(verdict([100, 3, 2], Vec::new()).outcome, Outcome::Pass);
        for room in [[i64::MIN, 1, 1], [i64::MAX, i64::MIN, i64::MIN], [i64::MAX, 0, 0], [100, i64::MIN, 0]] {
            assert_eq!(verdict(room, Vec::new()).outcome, unknown, "{room:?}");
        }
        for (limit, used) in [(i64::MIN, 1), (i64::MAX, 1), (i64::MAX, i64::MIN), (10, i64::MIN)] {
            let role = ConnectionLimit { name: "r".into(), limit, used };
            assert_eq!(verdict([100, 3, 2], vec![role]).outcome, unknown, "{limit} {used}");
        }
    }

    #[test]
    fn names_of_roles_are_bounded_and_stay_different() {
        let role = |n| ConnectionLimit { name: format!("r\n\u{1b}[31m{}{n}", "x".repeat(20_000)), limit: 10, used: 10 };
        let verdict = verdict([100, 3, 2], (0..18).map(role).collect());
        let of_pool = verdict.samples.iter().filter_map(|sample| sample.labels.first());
        let names: std::collections::BTreeSet<_> = of_pool.collect();
        assert_eq!(names.len(), 19);
        assert!(names.iter().all(|name| name.chars().count() <= 128 && !name.contains(char::is_control)), "{names:?}");
        assert!(verdict.summary.chars().count() < 300, "{}", verdict.summary);
    }
}
