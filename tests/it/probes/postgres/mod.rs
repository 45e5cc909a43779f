//! `postgres` against real servers.

mod checks;
mod fakes;
mod pooler;
mod replication;
mod role;
mod sections;

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::harness::{
    postgres::{PASSWORD, Postgres},
    probe_under_test::{ProbeUnderTest, RunResult},
    until,
};
use readiness_exporter::{
    model::words::{Outcome, Phase, Reason},
    probes::postgres::grants::{Need, grants},
};

const CHECKS: &str = "checks: [pool]";

fn watch(postgres: &Postgres, role: &str, more: &str) -> ProbeUnderTest {
    ProbeUnderTest::new(&format!("postgres: {}\ninterval: 10s\ntimeout: 5s\n{CHECKS}", postgres.settings(role, more)))
}

/// Sessions of the probe that the server has.
fn sessions(postgres: &Postgres) -> i64 {
    let count = "select count(*) from pg_stat_activity where application_name = 'readiness-exporter'";
    postgres.sql(count).parse().unwrap()
}

#[tokio::test]
async fn a_server_is_watched_over_one_kept_connection() {
    let postgres = Postgres::start(&["max_connections=20", "superuser_reserved_connections=4"]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    postgres.role("app", "CONNECTION LIMIT 7");
    postgres.sql("CREATE DATABASE orders CONNECTION LIMIT 9");
    let watch = watch(&postgres, "monitor", "");
    let first = watch.run().await.worked();
    assert_eq!(first.phases(), [Phase::Connect, Phase::Tls, Phase::Login, Phase::Query]);
    assert_eq!(first.fact("/encrypted"), true, "prefer takes TLS where it is offered");
    let second = watch.run().await.worked();
    assert_eq!(second.phases(), [Phase::Query], "the connection is kept");
    assert_eq!(sessions(&postgres), 1);
    for (pointer, expected) in [
        ("/server/version_number", serde_json::json!(postgres.sql("show server_version_num").parse::<i64>().unwrap())),
        ("/server/in_recovery", false.into()),
        ("/server/role/name", "monitor".into()),
        ("/server/role/superuser", false.into()),
        ("/connections/sees_all", true.into()),
        ("/connections/room/max_connections", 20.into()),
        ("/connections/room/superuser_reserved", 4.into()),
        ("/connections/databases", serde_json::json!([{"name": "orders", "limit": 9, "used": 0}])),
        ("/connections/roles", serde_json::json!([{"name": "app", "limit": 7, "used": 0}])),
        (
            "/connections/groups/0",
            serde_json::json!({"database": "postgres", "role": "monitor", "state": "active", "connections": 1}),
        ),
    ] {
        assert_eq!(second.fact(pointer), &expected, "{pointer}");
    }
    assert_eq!(second.verdict("pool").summary, "utilization of server is 6.25%, within the limit of 80%");
    assert_eq!(second.outcome("pool"), Outcome::Pass);
    let pools: Vec<_> =
        second.verdict("pool").samples.iter().filter(|s| s.family.name == "readiness_pool_connections").collect();
    let server = pools.iter().find(|s| &*s.labels[0] == "server" && &*s.labels[1] == "max").unwrap();
    assert_eq!(server.value, 16.0);
}

#[tokio::test]
async fn the_certificate_is_verified_as_far_as_sslmode_says() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let ca = postgres.folder().join("ca.pem");
    let ca = format!(", sslrootcert: {}", ca.display());
    let dsn = |host: &str, mode: &str, more: &str| {
        let (port, password) = (postgres.port, PASSWORD.replace(' ', "%20"));
        let dsn = format!("postgres://monitor:{password}@{host}:{port}/postgres?sslmode={mode}");
        ProbeUnderTest::new(&format!("postgres: {{dsn: \"{dsn}\"{more}}}\ninterval: 10s\n{CHECKS}"))
    };
    for (host, mode, more, reason, encrypted) in [
        ("localhost", "verify-full", &*ca, None, true),
        ("127.0.0.1", "verify-full", &ca, Some(Reason::Certificate), false),
        ("127.0.0.1", "verify-ca", &ca, None, true),
        ("localhost", "verify-ca", "", Some(Reason::Certificate), false),
        ("localhost", "verify-full", "", Some(Reason::Certificate), false),
        ("127.0.0.1", "require", &ca, None, true),
        ("127.0.0.1", "require", "", None, true),
        ("127.0.0.1", "prefer", "", None, true),
        ("127.0.0.1", "disable", "", None, false),
    ] {
        let seen = dsn(host, mode, more).run().await;
        assert_eq!(seen.reason(), reason, "{host} {mode} {more}: {:?}", seen.report.failure);
        if reason.is_none() {
            assert_eq!(seen.fact("/encrypted"), encrypted, "{host} {mode}");
        }
    }
    postgres.role("certified", "");
    let folder = postgres.folder().display();
    let client = format!(", sslmode: require, sslcert: {folder}/client.pem, sslkey: {folder}/client.key");
    watch(&postgres, "certified", &client).run().await.worked();
    assert_eq!(watch(&postgres, "certified", "").run().await.reason(), Some(Reason::Auth));
    let without = Postgres::start(&["ssl=off"]);
    without.role("monitor", "IN ROLE pg_monitor");
    let refused = watch(&without, "monitor", ", sslmode: require").run().await;
    assert_eq!(refused.reason(), Some(Reason::Tls));
    let plain = watch(&without, "monitor", ", sslmode: prefer").run().await.worked();
    assert_eq!(plain.fact("/encrypted"), false);
    let socket = format!("{{host: {}, port: {}, user: postgres}}", without.folder().display(), without.port);
    let local = ProbeUnderTest::new(&format!("postgres: {socket}\ninterval: 10s")).run().await.worked();
    assert_eq!(local.phases(), [Phase::Connect, Phase::Login, Phase::Query]);
}

#[tokio::test]
async fn a_failed_login_has_a_specific_reason() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    postgres.role("nobody", "");
    let settings = |user: &str, database: &str, password: &str| {
        let port = postgres.port;
        ProbeUnderTest::new(&format!(
            "postgres: {{host: 127.0.0.1, port: {port}, user: {user}, dbname: {database}{password}}}\ninterval: 10s\n{CHECKS}"
        ))
    };
    let right = format!(", password: {PASSWORD}");
    for (user, database, password, reason, word) in [
        ("monitor", "postgres", ", password: wrong", Reason::Auth, "password"),
        ("monitor", "postgres", "", Reason::Auth, "password_file"),
        ("stranger", "postgres", &right, Reason::Auth, "password"),
        ("nobody", "postgres", &right, Reason::Auth, "pg_hba"),
        ("monitor", "gone", &right, Reason::NotFound, "gone"),
    ] {
        let seen = settings(user, database, password).run().await;
        let failure = seen.report.failure.as_ref().unwrap();
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.detail.contains(word) && !failure.detail.contains("wrong"), "{failure}");
        assert_eq!(seen.outcome("health"), Outcome::Fail(reason));
        assert_eq!(seen.outcome("pool"), Outcome::Unknown(reason));
    }
}

#[tokio::test]
async fn a_password_in_a_file_is_read_at_each_connect() {
    let mut postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let file = postgres.folder().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let settings = format!(
        "{{host: 127.0.0.1, port: {}, user: monitor, dbname: postgres, password_file: {}}}",
        postgres.port,
        file.display()
    );
    let watch = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s"));
    assert_eq!(watch.run().await.reason(), Some(Reason::Auth));
    std::fs::write(&file, PASSWORD).unwrap();
    watch.run().await.worked();
    postgres.sql("ALTER ROLE monitor PASSWORD 'rotated'");
    std::fs::write(&file, "rotated").unwrap();
    postgres.stop();
    postgres.start_again();
    let seen = watch.run().await.worked();
    assert!(seen.phases().contains(&Phase::Login), "a server that was restarted is reached at once");
}

#[tokio::test]
async fn a_role_that_sees_nothing_makes_pool_unknown_rather_than_empty() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "");
    let seen = watch(&postgres, "monitor", "").run().await.worked();
    assert_eq!(seen.outcome("health"), Outcome::Pass);
    assert_eq!(seen.outcome("pool"), Outcome::Unknown(Reason::Permission));
    assert!(seen.verdict("pool").summary.contains("GRANT pg_read_all_stats TO monitor"));
    assert_eq!(seen.fact("/connections/idle"), &serde_json::Value::Null);
}

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back() {
    let mut postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let watch = watch(&postgres, "monitor", "");
    watch.run().await.worked();
    postgres.stop();
    for _ in 0..3 {
        assert_eq!(watch.run().await.reason(), Some(Reason::Refused));
    }
    postgres.start_again();
    until("recovery", async || watch.run().await.report.failure.map_or(Ok(()), Err)).await;
    assert_eq!(sessions(&postgres), 1);
}

#[tokio::test]
async fn a_connection_that_was_thrown_out_is_replaced_in_the_same_run() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let watch = watch(&postgres, "monitor", "");
    watch.run().await.worked();
    for _ in 0..3 {
        postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'monitor'");
        let seen = watch.run().await.worked();
        assert!(seen.phases().contains(&Phase::Login));
    }
}

#[tokio::test]
async fn a_frozen_server_is_a_timeout_on_time_and_nothing_piles_up_in_it() {
    let postgres = Postgres::start(&["max_connections=12"]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let settings = postgres.settings("monitor", "");
    let watch = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s\ntimeout: 2s\n{CHECKS}"));
    until("the first login", async || watch.run().await.report.failure.map_or(Ok(()), Err)).await;
    postgres.freeze();
    for _ in 0..3 {
        let start = Instant::now();
        let seen = watch.run().await;
        assert_eq!(seen.reason(), Some(Reason::Timeout), "{:?}", seen.report.failure);
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!(seen.outcome("health"), Outcome::Fail(Reason::Timeout));
        assert_eq!(seen.outcome("pool"), Outcome::Unknown(Reason::Timeout));
    }
    postgres.thaw();
    until("recovery", async || watch.run().await.report.failure.map_or(Ok(()), Err)).await;
    until("one session", async || match sessions(&postgres) {
        1 => Ok(()),
        n => Err(n),
    })
    .await;
}

#[tokio::test]
async fn a_query_that_is_given_up_is_cancelled_in_the_server() {
    let postgres = Postgres::start(&["log_lock_waits=on", "deadlock_timeout=50ms"]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let settings = postgres.settings("monitor", "");
    let watch = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 60s\ntimeout: 20s\n{CHECKS}"));
    watch.run().await.worked();
    // A lock on a catalogue makes the query wait; logins wait for it too, so only the log can tell.
    let mut psql = postgres.client("psql");
    psql.args(["-XAtq", "postgres"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut locker = psql.spawn().unwrap();
    let mut say = locker.stdin.take().unwrap();
    say.write_all(b"begin; lock table pg_database in access exclusive mode;\n\\echo locked\n").unwrap();
    let mut answer = [0; 6];
    locker.stdout.take().unwrap().read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"locked");
    let logged = async |words: &str| {
        until(words, async || if postgres.log().contains(words) { Ok(()) } else { Err(postgres.log()) }).await;
    };
    {
        let run = watch.run();
        tokio::select! {
            seen = run => panic!("it does not wait: {seen:?}"),
            () = logged("still waiting for AccessShareLock") => {}
        }
    }
    logged("canceling statement due to user request").await;
    let _ = locker.kill();
    let _ = locker.wait();
    until("its end", async || if sessions(&postgres) == 0 { Ok(()) } else { Err(()) }).await;
    watch.run().await.worked();
}

#[tokio::test]
async fn a_full_server_is_a_limit() {
    let postgres = Postgres::start(&["max_connections=6", "superuser_reserved_connections=1"]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    postgres.role("app", "");
    let watch = watch(&postgres, "monitor", "");
    let mut app = Vec::new();
    let connect = || {
        let conninfo = format!("host=127.0.0.1 port={} user=app dbname=postgres password='{PASSWORD}'", postgres.port);
        let mut psql = Command::new("psql");
        psql.arg("-X").arg(conninfo).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let used = || postgres.sql("select count(*) from pg_stat_activity where usename = 'app'");
    // The administrator's own session may still hold the place of one that is turned away: it tries again.
    let fill = async |app: &mut Vec<Child>, count: usize| {
        until("sessions", async || {
            app.retain_mut(|psql| matches!(psql.try_wait(), Ok(None)));
            app.extend((app.len()..count).map(|_| connect()));
            let used = used();
            if used == count.to_string() { Ok(()) } else { Err(used) }
        })
        .await;
    };
    fill(&mut app, 4).await;
    let seen = watch.run().await.worked();
    let saturated = seen.verdict("pool");
    assert_eq!(saturated.summary, "utilization is 100%, above the limit of 95% (5 of 5 in use)");
    assert_eq!(saturated.outcome, Outcome::Fail(Reason::Limit));
    // A kept connection goes on when there is no room for another; a new one does not get in.
    drop(watch);
    until("the goodbye", async || if sessions(&postgres) == 0 { Ok(()) } else { Err(()) }).await;
    fill(&mut app, 5).await;
    let watch = self::watch(&postgres, "monitor", "");
    let seen = watch.run().await;
    assert_eq!(seen.outcome("health"), Outcome::Fail(Reason::Limit), "{:?}", seen.report.failure);
    assert_eq!(seen.outcome("pool"), Outcome::Unknown(Reason::Limit));
    for mut psql in app {
        let _ = psql.kill();
        let _ = psql.wait();
    }
    until("recovery", async || watch.run().await.report.failure.map_or(Ok(()), Err)).await;
}

#[tokio::test]
async fn the_grants_are_enough_and_no_more() {
    let postgres = Postgres::start(&[]);
    let watch = watch(&postgres, "readiness", "");
    let sql = grants("readiness", &[Need { probe: "orders-db", checks: watch.privileges() }]);
    postgres.sql(&sql);
    postgres.sql(&sql);
    postgres.sql(&format!("ALTER ROLE readiness PASSWORD '{PASSWORD}'"));
    let seen: RunResult = watch.run().await.worked();
    assert_eq!(seen.outcome("pool"), Outcome::Pass, "{:?}", seen.verdict("pool"));
    assert_eq!(seen.fact("/server/role/connection_limit"), 5);
    for right in ["superuser", "create_role", "create_db", "replication", "bypass_rls"] {
        assert_eq!(seen.fact(&format!("/server/role/{right}")), false, "{right}");
    }
    let member = "select string_agg(r.rolname, ' ') from pg_auth_members m join pg_roles r on r.oid = m.roleid where m.member = 'readiness'::regrole";
    assert_eq!(postgres.sql(member), "pg_read_all_stats");
}
