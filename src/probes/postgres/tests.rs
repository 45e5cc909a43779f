use serde_json::{Value, from_value, json};

use std::time::Duration;

use super::{
    checks::pool::PostgresPool,
    facts::connections::{ConnectionCapacity, ConnectionFacts},
    *,
};
use crate::model::{check::Check, observation::Observation};

const TIMING: Timing = Timing {
    interval: Duration::from_secs(30),
    retry_interval: Duration::from_secs(30),
    timeout: Duration::from_secs(5),
};

#[test]
fn settings_that_can_not_work_are_refused_at_their_key() {
    for (settings, key) in [
        (json!({}), "host"),
        (json!({"host": "db"}), "user"),
        (json!({"dsn": "host=db user=a", "dsn_file": "/x"}), "dsn_file"),
        (json!({"dsn": "host=db user=a", "password": "a", "password_file": "/x"}), "password_file"),
        (json!({"dsn": "host=db user=a what=b"}), "dsn"),
        (json!({"host": "db", "user": "a", "sslcert": "/x"}), "sslcert"),
    ] {
        let invalid = from_value::<Postgres>(settings.clone()).unwrap().validate(&TIMING).unwrap_err();
        assert_eq!(invalid.key, Some(key), "{settings}");
    }
    assert!(from_value::<Postgres>(json!({"host": "db", "user": "a", "sslmode": "allow"})).is_err());
}

#[test]
fn parts_beside_a_dsn_win_and_nothing_shows_the_secret() {
    let settings: Postgres =
        from_value(json!({"dsn": "postgres://a:hunter2@db/x?sslmode=disable", "port": 6432, "sslmode": "verify-full"}))
            .unwrap();
    let target = settings.configured_target(settings.dsn.as_ref()).unwrap();
    assert_eq!((&*target.host, target.port, target.sslmode), ("db", 6432, SslMode::VerifyFull));
    let shown = format!("{settings:?} {target:?} {}", serde_json::to_string(&settings).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn facts(value: Value) -> Observation<PostgresFacts> {
    let number = |key: &str, or: i64| value[key].as_i64().unwrap_or(or);
    let limited = |key: &str| from_value(value.get(key).cloned().unwrap_or(json!([]))).unwrap();
    let connections = ConnectionFacts {
        role: "monitor".into(),
        sees_all: value["sees_all"].as_bool().unwrap_or(true),
        room: ConnectionCapacity {
            max_connections: number("max", 100),
            superuser_reserved: 3,
            reserved: number("reserved", 0),
        },
        used: number("used", 1),
        idle: Some(0),
        groups: Vec::new(),
        databases: limited("databases"),
        roles: limited("roles"),
    };
    facts::fixture::seen(jiff::Timestamp::UNIX_EPOCH, connections)
}

#[test]
fn reserved_connections_are_no_capacity_and_limits_of_databases_and_roles_count() {
    use crate::model::words::Outcome;
    let full = json!([{"name": "orders", "limit": 10, "used": 10}]);
    let mut check: PostgresPool = from_value(json!({})).unwrap();
    for (seen, outcome, summary) in [
        (json!({"used": 50}), Outcome::Pass, "utilization is 51.5%, within the limit of 80% (50 of 97 in use)"),
        (json!({"used": 80}), Outcome::Warn, "utilization is 82.5%, above the limit of 80% (80 of 97 in use)"),
        (
            json!({"used": 80, "reserved": 17}),
            Outcome::Fail(Reason::Limit),
            "utilization is 100%, above the limit of 95% (80 of 80 in use)",
        ),
        (
            json!({"databases": full}),
            Outcome::Fail(Reason::Limit),
            "utilization of database orders is 100%, above the limit of 95%",
        ),
        (
            json!({"roles": full}),
            Outcome::Fail(Reason::Limit),
            "utilization of role orders is 100%, above the limit of 95%",
        ),
        (
            json!({"sees_all": false}),
            Outcome::Unknown(Reason::Permission),
            "role monitor can't see other roles' sessions: GRANT pg_read_all_stats TO monitor, or pg_monitor",
        ),
    ] {
        let verdict = check.judge(&facts(seen));
        assert_eq!((verdict.outcome, &*verdict.summary), (outcome, summary));
    }
    assert_eq!(check.judge(&facts(json!({"max": 3}))).outcome, Outcome::Unknown(Reason::Empty), "no room at all");
    let mut alone: PostgresPool = from_value(json!({"databases": false, "roles": false})).unwrap();
    assert_eq!(alone.judge(&facts(json!({"databases": full, "roles": full}))).outcome, Outcome::Pass);
    let mut failed = facts(json!({}));
    failed.failure = Some(Failure::new(Reason::Limit, "full"));
    assert_eq!(check.judge(&failed).outcome, Outcome::Unknown(Reason::Limit));
}
