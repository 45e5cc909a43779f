#![doc = include_str!("pool.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    checks::pool::{self, Limits, Pool},
    kind::CheckKind,
    model::{
        check::Check,
        limit::Max,
        measure::MeasureInfo,
        observation::Observation,
        units::Ratio,
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{
        PostgresFacts, Section, SectionEntry,
        connections::{ConnectionLimit, Connections},
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
        PostgresFacts::judge(seen, |connections: &Connections| {
            if !connections.sees_all {
                let role = &connections.role;
                return Verdict::new(
                    Outcome::Unknown(Reason::Permission),
                    format!(
                        "role {role} can't see other roles' sessions: GRANT pg_read_all_stats TO {role}, or pg_monitor"
                    ),
                );
            }
            let limits = Limits { utilization: self.max_utilization, waiting: None };
            pool::judge(&self.pools(connections), &limits)
        })
    }

    fn wants(&self) -> Vec<SectionEntry> {
        vec![Connections::ENTRY]
    }
}

impl PostgresPool {
    fn pools(&self, facts: &Connections) -> Vec<Pool> {
        let server = Pool {
            name: "server".to_owned(),
            used: facts.used as f64,
            idle: facts.idle.map(|idle| idle as f64),
            waiting: None,
            max: facts.room.usable() as f64,
        };
        let limited = |kind: &'static str, of: &ConnectionLimit| Pool {
            name: format!("{kind} {}", of.name),
            used: of.used as f64,
            idle: None,
            waiting: None,
            max: of.limit as f64,
        };
        let databases = facts.databases.iter().filter(|_| self.databases).map(|of| limited("database", of));
        let roles = facts.roles.iter().filter(|_| self.roles).map(|of| limited("role", of));
        std::iter::once(server).chain(databases).chain(roles).collect()
    }
}
