//! `postgres` through PgBouncer in transaction mode: statements of one client reach the server on any connection.

use readiness_exporter::model::words::{Outcome, Reason};

use crate::harness::{
    pgbouncer::{Load, PgBouncer},
    postgres::{PASSWORD, Postgres},
    probe_under_test::{ProbeUnderTest, RunResult},
    until,
};

const CHECKS: &str = "[pool, role: {expected: primary}, query: {sql: \"select count(*) from jobs\", max: 5}]";

fn watch(pooler: &PgBouncer, more: &str) -> ProbeUnderTest {
    let probe = pooler.settings("monitor", more);
    ProbeUnderTest::new(&format!("postgres: {probe}\ninterval: 10s\ntimeout: 10s\nchecks: {CHECKS}"))
}

fn server() -> Postgres {
    let server = Postgres::start(&[]);
    server.role("monitor", "IN ROLE pg_monitor");
    server.role("app", "");
    server.sql("CREATE TABLE jobs (id int); INSERT INTO jobs VALUES (1); GRANT SELECT ON jobs TO monitor");
    server
}

fn detail(seen: &RunResult) -> &str {
    seen.report.failure.as_ref().map_or("the run worked", |failure| &failure.detail)
}

/// PgBouncer refuses unknown startup parameters by default; many configurations make it ignore them.
#[tokio::test]
async fn a_pooler_under_load_gives_the_facts_of_the_server_with_every_run() {
    let server = server();
    for options in ["", "ignore_startup_parameters = options, extra_float_digits"] {
        let pooler = PgBouncer::start(server.port, &["monitor", "app"], options);
        // Clients of the same role share its two connections to the server, and leave statements prepared there.
        let script = "begin; prepare s0 as select 1; select pg_sleep(0.002); deallocate s0; commit; select 1;";
        let mut load: Vec<_> = (0..4).map(|_| pooler.load("monitor", script)).collect();
        let watch = watch(&pooler, "");
        for run in 0..30 {
            let seen = watch.run().await.worked();
            assert_eq!(seen.fact("/pooled"), true, "{options}");
            for check in ["pool", "role", "query"] {
                assert_eq!(seen.outcome(check), Outcome::Pass, "{options} run {run}: {:?}", seen.verdict(check));
            }
        }
        assert!(load.iter_mut().all(Load::is_running), "the load ended early");
    }
    let direct = ProbeUnderTest::new(&format!(
        "postgres: {}\ninterval: 10s\nchecks: {CHECKS}",
        server.settings("monitor", ", sslmode: disable")
    ));
    assert_eq!(direct.run().await.worked().fact("/pooled"), false);
}

#[tokio::test]
async fn limits_apply_behind_a_pooler_and_refusals_state_the_remedy() {
    let server = server();
    let pooler = PgBouncer::start(server.port, &["monitor"], "");
    let slow = "query: {sql: \"select pg_sleep(30)::text is null\", expect: false}";
    let watch_query = |settings: &str, timeout: &str| {
        ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s\ntimeout: {timeout}\nchecks: [{slow}]"))
    };
    // The limit of the transaction is the timeout of the run, so either may end the statement.
    let late = watch_query(&pooler.settings("monitor", ""), "1s").run().await;
    assert_eq!(late.outcome("query"), Outcome::Unknown(Reason::Timeout), "{:?}", late.report.failure);
    let active = "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and state = 'active' and \
                  pid <> pg_backend_pid()";
    let ended = async || match server.sql(active).as_str() {
        "0" => Ok(()),
        count => Err(count.to_owned()),
    };
    until("the end of the statement on the server", ended).await;

    let with_options = watch(&pooler, "").run().await.worked();
    assert_eq!(with_options.outcome("query"), Outcome::Pass);
    let dsn = format!(
        "dsn: \"host=127.0.0.1 port={} user=monitor dbname=postgres sslmode=disable options='-c search_path=x'\"",
        pooler.port
    );
    let own = |dsn: &str| ProbeUnderTest::new(&format!("postgres: {{{dsn}, password: {PASSWORD}}}\ninterval: 10s"));
    let refused = own(&dsn).run().await;
    assert_eq!(refused.reason(), Some(Reason::Protocol));
    assert!(detail(&refused).contains("a pooler refuses the `options` of the DSN"), "{}", detail(&refused));
    let ignoring = PgBouncer::start(server.port, &["monitor"], "ignore_startup_parameters = options");
    let ignored = own(&dsn.replace(&pooler.port.to_string(), &ignoring.port.to_string())).run().await;
    assert!(detail(&ignored).contains("a pooler ignores the `options` of the DSN"), "{}", detail(&ignored));
    let statements = PgBouncer::start(server.port, &["monitor"], "pool_mode = statement");
    let single = watch(&statements, "").run().await;
    assert!(detail(&single).contains("set `pool_mode = transaction`"), "{}", detail(&single));
}
