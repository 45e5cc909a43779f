//! `query`, `encryption`, `privileges`, `version`, `certificate` and the age of the connection on a real server.

use readiness_exporter::model::words::{Outcome, Phase, Reason};

use crate::harness::{
    postgres::{PASSWORD, Postgres},
    probe_under_test::{ProbeUnderTest, RunResult},
};

fn watch(server: &Postgres, role: &str, more: &str, checks: &str) -> ProbeUnderTest {
    let probe = server.settings(role, more);
    ProbeUnderTest::new(&format!("postgres: {probe}\ninterval: 10s\ntimeout: 5s\nchecks: [{checks}]"))
}

async fn judged(server: &Postgres, checks: &str) -> RunResult {
    watch(server, "monitor", "", checks).run().await.worked()
}

#[tokio::test]
async fn values_of_every_type_are_read() {
    let server = Postgres::start(&[]);
    server.role("monitor", "");
    server.sql(
        "CREATE TYPE mood AS ENUM ('calm', 'busy'); CREATE DOMAIN amount AS numeric(20, 4) CHECK (value >= 0); \
         CREATE TABLE jobs (queue text, waiting int, state mood, price amount); GRANT SELECT ON jobs TO monitor; \
         INSERT INTO jobs VALUES ('mail', 3, 'calm', 1.5), ('invoices', 40, 'busy', 2.25)",
    );
    let fail = Outcome::Fail(Reason::Limit);
    for (query, outcome, part) in [
        ("sql: \"select count(*) from jobs\", max: 2", Outcome::Pass, "value is 2, within the limit of 2"),
        ("sql: \"select sum(price) from jobs;\", max: 3", fail, "value is 3.75, above the limit of 3"),
        ("sql: \"select state from jobs where queue = 'mail' -- one\", expect: calm", Outcome::Pass, "as expected"),
        ("sql: \"select 'x'::text where false\", expect: x", Outcome::Unknown(Reason::Empty), "returned no row"),
        ("sql: \"select now() > '2020-01-01'\", expect: true", Outcome::Pass, "the value is true"),
        ("sql: \"select extract(epoch from interval '2 hours')\", max: 1h", fail, "value is 2h, above the limit of 1h"),
        ("sql: \"select 'NaN'::float8\", max: 1", Outcome::Unknown(Reason::Empty), "NaN"),
        ("sql: \"values (7)\", equals: 7", Outcome::Pass, "value is 7"),
        ("sql: \"with a as (select 1 as n) select n from a\", max: 1", Outcome::Pass, "value is 1"),
        ("sql: \"select current_setting('work_mem')\", expect: 4MB", Outcome::Pass, "4MB"),
        (
            "sql: \"select queue, waiting from jobs\", row_name: queue, max: {warn: 10, fail: 30}",
            fail,
            "value of invoices is 40, above the limit of 30 (2 rows)",
        ),
        (
            "sql: \"select queue, waiting from jobs where waiting > 10\", rows: {max: 0}",
            fail,
            "rows is 1, above the limit of 0; the first row: queue=\"invoices\", waiting=40",
        ),
        ("sql: \"select generate_series(1, 5000)\", rows: {max: 10}", fail, "rows is 1001"),
        ("sql: \"select no_such_column from jobs\", max: 1", Outcome::Unknown(Reason::Query), "no_such_column"),
        ("sql: \"select count(*) from pg_authid\", max: 1", Outcome::Unknown(Reason::Permission), "permission denied"),
    ] {
        // The second check must be judged although the query may be refused.
        let seen = judged(&server, &format!("query: {{{query}}}, role: {{expected: primary}}")).await;
        let verdict = seen.verdict("query");
        assert_eq!(verdict.outcome, outcome, "{query}: {}", verdict.summary);
        assert!(verdict.summary.contains(part), "{query}: {}", verdict.summary);
        assert_eq!(seen.outcome("role"), Outcome::Pass, "{query}");
    }
    let huge = "query: {sql: \"select repeat('x', 5000000)\", expect: x}";
    let seen = watch(&server, "monitor", "", huge).run().await;
    assert_eq!(seen.outcome("query"), Outcome::Unknown(Reason::TooLarge));
}

#[tokio::test]
async fn a_query_can_change_nothing() {
    let server = Postgres::start(&[]);
    server.role("monitor", "SUPERUSER");
    server.sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    server.sql(
        "CREATE FUNCTION clear() RETURNS int LANGUAGE plpgsql AS \
         'BEGIN PERFORM set_config(''transaction_read_only'', ''off'', true); DELETE FROM kept; RETURN 1; END'",
    );
    for sql in [
        "delete from kept returning n",
        "with gone as (delete from kept returning n) select n from gone",
        "select 1) as x; delete from kept; select (1",
        "select clear()",
        "select set_config('transaction_read_only', 'off', false)",
        "commit",
        "do $$ begin delete from kept; end $$",
        "select nextval('s') from (select 1) x",
    ] {
        let mut settings = serde_json::json!({"query": {"max": 5}});
        settings["query"]["sql"] = sql.into();
        let seen = judged(&server, &settings.to_string()).await;
        assert!(matches!(seen.outcome("query"), Outcome::Unknown(_)), "{sql}: {:?}", seen.verdict("query"));
        assert_eq!(server.sql("select count(*) from kept"), "1", "{sql}");
    }
    // A setting of one query does not reach the next one on the same connection.
    let leak = watch(
        &server,
        "monitor",
        "",
        "{name: a, query: {sql: \"select set_config('default_transaction_read_only', 'off', false)\", expect: 'off'}}, \
         {name: b, query: {sql: \"select current_setting('default_transaction_read_only')\", expect: 'on'}}",
    );
    for _ in 0..2 {
        assert_eq!(leak.run().await.worked().outcome("b"), Outcome::Pass);
    }
}

#[tokio::test]
async fn encryption_privileges_and_version_are_judged() {
    let server = Postgres::start(&[]);
    server.role("monitor", "IN ROLE pg_read_all_stats");
    server.role("app", "CREATEDB");
    server.role("writer", "IN ROLE pg_write_server_files");
    server.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let release = server.sql(
        "select current_setting('server_version_num')::int / 10000 || '.' || \
                              current_setting('server_version_num')::int % 10000",
    );
    let (permission, status) = (Outcome::Fail(Reason::Permission), Outcome::Fail(Reason::Status));
    let major = release.split('.').next().unwrap();
    for (name, settings, outcome, part) in [
        ("encryption", "encryption".to_owned(), Outcome::Pass, "encrypted with TLSv1.3".to_owned()),
        (
            "encryption",
            "encryption: {max_unencrypted_clients: 0}".into(),
            Outcome::Pass,
            "unencrypted_clients is 0".into(),
        ),
        ("privileges", "privileges".into(), Outcome::Pass, "no dangerous privilege of monitor".into()),
        ("privileges", "privileges: {roles: [monitor, app]}".into(), permission, "role app has create_db".into()),
        ("privileges", "privileges: {roles: [writer]}".into(), permission, "role writer has server_files".into()),
        ("privileges", "privileges: {roles: [postgres]}".into(), permission, "role postgres has superuser".into()),
        (
            "privileges",
            "privileges: {roles: [nobody_there]}".into(),
            Outcome::Unknown(Reason::NotFound),
            "no role with LOGIN named nobody_there".into(),
        ),
        ("version", format!("version: {{min: [\"{release}\"], min_support: 0s}}"), Outcome::Pass, release.clone()),
        (
            "version",
            format!("version: {{min: [\"{major}.999\"], min_support: 0s}}"),
            status,
            format!("{major}.999 or newer"),
        ),
    ] {
        let seen = judged(&server, &settings).await;
        assert_eq!(seen.outcome(name), outcome, "{settings}: {:?}", seen.verdict(name));
        assert!(seen.verdict(name).summary.contains(&part), "{settings}: {}", seen.verdict(name).summary);
    }
    let plain = watch(&server, "monitor", ", sslmode: disable", "encryption").run().await.worked();
    assert_eq!(plain.outcome("encryption"), Outcome::Fail(Reason::Tls));
}

#[tokio::test]
async fn the_certificate_is_judged_also_if_it_is_refused() {
    let server = Postgres::start(&[]);
    server.role("monitor", "");
    let ca = server.folder().join("ca.pem");
    let dsn = |host: &str, mode: &str| {
        let (port, password, ca) = (server.port, PASSWORD, ca.display());
        let settings = format!(
            "{{host: {host}, port: {port}, user: monitor, dbname: postgres, password: {password}, sslmode: {mode}, \
             sslrootcert: {ca}}}"
        );
        let check = "certificate: {min_remaining: 1h}";
        ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s\nchecks: [{check}]"))
    };
    let trusted = dsn("localhost", "verify-full").run().await.worked();
    assert_eq!(trusted.outcome("certificate"), Outcome::Pass, "{:?}", trusted.verdict("certificate"));
    // The certificate is for `localhost`, and `verify-full` refuses it for the address.
    let refused = dsn("127.0.0.1", "verify-full").run().await;
    assert_eq!(refused.reason(), Some(Reason::Certificate));
    assert_eq!(refused.outcome("certificate"), Outcome::Fail(Reason::Certificate));
}

#[tokio::test]
async fn a_connection_is_renewed_at_its_maximum_age() {
    let server = Postgres::start(&[]);
    server.role("monitor", "");
    let watch = watch(&server, "monitor", ", max_connection_age: 1s", "role: {expected: primary}");
    watch.run().await.worked();
    assert_eq!(watch.run().await.worked().phases(), [Phase::Query], "the connection is kept");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let renewed = watch.run().await.worked();
    assert_eq!(renewed.phases(), [Phase::Connect, Phase::Tls, Phase::Login, Phase::Query]);
}
