//! Sections of a `postgres` probe against a real server: independent failures, cadence, and round trips.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use readiness_exporter::{
    io::{context::Context, resources::Resources},
    kind::Kind,
    model::{failure::Failure, words::Reason},
    probe::Probe,
    probes::postgres::{
        Postgres as Settings, PostgresProbe,
        facts::{PostgresFacts, PostgresRequest, Section, SectionSpec, Statement, connections::ConnectionFacts},
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_postgres::Row;

use crate::harness::{
    postgres::{PASSWORD, Postgres},
    probe_under_test::ProbeUnderTest,
    until,
};

/// A section with one text column.
macro_rules! section {
    ($type:ident, $name:literal, $since:literal, $every:expr, $sql:literal) => {
        #[derive(Debug, serde::Serialize)]
        struct $type(String);

        impl Section for $type {
            const SPEC: SectionSpec = SectionSpec {
                name: $name,
                statements: &[Statement { since: $since, sql: $sql }],
                privilege: None,
                every: $every,
            };

            fn decode(rows: &[Row]) -> Result<Self, Failure> {
                let value = rows[0].try_get(0);
                value.map(Self).map_err(|error| Failure::from_error(Reason::Parse, "the result", &error))
            }
        }
    };
}

const HOUR: Duration = Duration::from_secs(3_600);

section!(Denied, "denied", 100_000, None, "select rolpassword from pg_authid");
section!(Future, "future", 990_000, None, "select no_such_function()");
section!(Misspelt, "misspelt", 100_000, None, "select no_such_column");
section!(Mistyped, "mistyped", 100_000, None, "select 1::int4");
section!(Hourly, "hourly", 100_000, Some(HOUR), "select clock_timestamp()::text");
section!(Slow, "slow", 100_000, Some(HOUR), "select pg_sleep(60)::text");
section!(One, "one", 100_000, None, "select clock_timestamp()::text");
section!(Two, "two", 100_000, None, "select clock_timestamp()::text");
section!(Three, "three", 100_000, None, "select clock_timestamp()::text");

fn probe(port: u16, wants: Vec<PostgresRequest>) -> (PostgresProbe, Arc<Resources>) {
    let settings = json!({
        "host": "127.0.0.1", "port": port, "user": "monitor", "dbname": "postgres", "password": PASSWORD, "sslmode": "disable",
    });
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let shared = Arc::<Resources>::default();
    (settings.build(wants, &shared).unwrap(), shared)
}

async fn run((probe, shared): &(PostgresProbe, Arc<Resources>), timeout: Duration) -> PostgresFacts {
    let cx = Context::new(timeout, Arc::clone(shared));
    let facts = tokio::time::timeout(timeout, probe.observe(&cx)).await.expect("the run ends in time");
    facts.unwrap_or_else(|incomplete| panic!("{:?}", incomplete.failure))
}

const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn each_section_fails_alone_and_with_its_own_reason() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "");
    let wants = vec![
        Denied::REQUEST,
        Future::REQUEST,
        Misspelt::REQUEST,
        Mistyped::REQUEST,
        One::REQUEST,
        ConnectionFacts::REQUEST,
        One::REQUEST,
    ];
    let probe = probe(postgres.port, wants);
    for _ in 0..2 {
        let facts = run(&probe, TIMEOUT).await;
        let failures = [
            facts.section::<Denied>().map(drop),
            facts.section::<Future>().map(drop),
            facts.section::<Misspelt>().map(drop),
            facts.section::<Mistyped>().map(drop),
        ];
        for (failure, (reason, words)) in failures.into_iter().zip([
            (
                Reason::Permission,
                "`denied`: permission denied for table pg_authid (42501); see `readiness-exporter grants`",
            ),
            (Reason::Query, "`future` needs PostgreSQL 99 or newer, and the server has version"),
            (Reason::Query, "no_such_column"),
            (Reason::Parse, "the result"),
        ]) {
            let failure = failure.unwrap_err();
            assert_eq!(failure.reason, reason, "{failure}");
            assert!(failure.detail.contains(words), "{failure}");
        }
        facts.section::<One>().unwrap();
        assert_eq!(facts.section::<ConnectionFacts>().unwrap().0.idle, None);
        assert_eq!(facts.section::<Two>().unwrap_err().reason, Reason::Internal, "a section that was not requested");
    }
    let sessions = postgres.sql("select count(*) from pg_stat_activity where usename = 'monitor'");
    assert_eq!(sessions, "1", "the session survives failed sections");
    // No requested section answers, so `server` proves that the server does.
    let alone = self::probe(postgres.port, vec![Denied::REQUEST]);
    for _ in 0..2 {
        assert_eq!(run(&alone, TIMEOUT).await.section::<Denied>().unwrap_err().reason, Reason::Permission);
    }
}

#[tokio::test]
async fn a_section_with_a_cadence_keeps_its_result_and_its_observation_time() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "");
    let probe = probe(postgres.port, vec![Hourly::REQUEST, One::REQUEST]);
    let first = run(&probe, TIMEOUT).await;
    postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'monitor'");
    let second = run(&probe, TIMEOUT).await;
    let (hourly, at) = first.section::<Hourly>().unwrap();
    let (kept, kept_at) = second.section::<Hourly>().unwrap();
    assert_eq!((&hourly.0, at), (&kept.0, kept_at), "also in a new session");
    let (one, two) = (first.section::<One>().unwrap(), second.section::<One>().unwrap());
    assert!(one.0.0 < two.0.0 && one.1 < two.1, "a cheap section is read in each run");
}

#[tokio::test]
async fn an_expensive_section_that_takes_too_long_fails_alone_and_is_cancelled() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "");
    // The slow section is requested first: the server executes it last.
    let probe = probe(postgres.port, vec![Slow::REQUEST, One::REQUEST]);
    let timeout = Duration::from_secs(2);
    for _ in 0..2 {
        let facts = run(&probe, timeout).await;
        let failure = facts.section::<Slow>().unwrap_err();
        assert_eq!(failure.reason, Reason::Timeout, "{failure}");
        assert!(failure.detail.contains("`slow` was not answered within 1"), "{failure}");
        facts.section::<One>().unwrap();
    }
    until("the cancellation", async || {
        let sleeping = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and usename = 'monitor'";
        match postgres.sql(sleeping).as_str() {
            "0" => Ok(()),
            count => Err(count.to_owned()),
        }
    })
    .await;
    let log = postgres.log();
    assert_eq!(log.matches("canceling statement due to user request").count(), 1, "it is not repeated at once: {log}");
}

/// The one-way delay of the relay.
const DELAY: Duration = Duration::from_millis(150);

/// Relays connections to a server and delays each direction.
async fn distant(server: SocketAddr) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(delayed(from_client, to_server));
            tokio::spawn(delayed(from_server, to_client));
        }
    });
    port
}

async fn delayed(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin + Send + 'static) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            let _ = to.write_all(&bytes).await;
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let _ = sender.send((tokio::time::Instant::now() + DELAY, buffer[..count].to_vec()));
    }
}

#[tokio::test]
async fn a_run_on_the_kept_connection_is_one_round_trip() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "");
    let port = distant(SocketAddr::from(([127, 0, 0, 1], postgres.port))).await;
    let wants = vec![ConnectionFacts::REQUEST, One::REQUEST, Two::REQUEST, Three::REQUEST];
    let probe = probe(port, wants);
    run(&probe, TIMEOUT).await;
    let start = Instant::now();
    let facts = run(&probe, TIMEOUT).await;
    let elapsed = start.elapsed();
    for result in
        [facts.section::<One>().map(drop), facts.section::<Two>().map(drop), facts.section::<Three>().map(drop)]
    {
        result.unwrap();
    }
    // Four statements one after the other take 8 delays.
    assert!(elapsed >= 2 * DELAY && elapsed < 4 * DELAY, "{elapsed:?}");
}

#[tokio::test]
async fn a_run_executes_only_the_statements_that_are_requested_and_due() {
    for (checks, executions, statement) in [
        // `server` at the login, and one statement in each run.
        ("[health, latency: {p95: 1s, window: 1m}, pool]", 6, "pg_stat_activity"),
        ("[health]", 5, "rolsuper"),
    ] {
        let postgres = Postgres::start(&["log_statement=all"]);
        postgres.role("monitor", "IN ROLE pg_monitor");
        let settings = postgres.settings("monitor", "");
        let watch = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s\nchecks: {checks}"));
        for _ in 0..5 {
            watch.run().await.worked();
        }
        let log = postgres.log();
        assert_eq!(log.matches("LOG:  execute ").count(), executions, "{log}");
        assert_eq!(log.matches(statement).count(), 5, "{log}");
    }
}
