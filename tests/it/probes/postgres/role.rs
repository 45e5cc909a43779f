//! `role` on a real primary and a real standby.

use readiness_exporter::model::words::{Outcome, Reason};

use crate::harness::{postgres::Postgres, probe_under_test::ProbeUnderTest};

const ROLE: &str = "role";
const FAIL: Outcome = Outcome::Fail(Reason::Status);

fn watch(server: &Postgres, settings: &str) -> ProbeUnderTest {
    let probe = server.settings("monitor", ", sslmode: disable");
    ProbeUnderTest::new(&format!("postgres: {probe}\ninterval: 10s\ntimeout: 5s\nchecks: [{ROLE}: {{{settings}}}]"))
}

async fn assert_judged(watch: &ProbeUnderTest, outcome: Outcome, words: &str) {
    let seen = watch.run().await.worked();
    let verdict = seen.verdict(ROLE);
    assert_eq!(verdict.outcome, outcome, "{verdict:?}");
    assert!(verdict.summary.contains(words), "{}", verdict.summary);
}

/// Runs a statement of the administrator in a session that overrides the setting.
fn write_nevertheless(server: &Postgres, sql: &str) {
    let mut client = server.client("psql");
    let client = client.env("PGOPTIONS", "-c default_transaction_read_only=off").args(["-Xq", "-c", sql, "postgres"]);
    assert!(client.status().unwrap().success(), "{sql}");
}

#[tokio::test]
async fn role_and_read_only_settings_are_judged_on_a_primary_and_a_standby() {
    let primary = Postgres::start(&[]);
    primary.role("monitor", "");
    // The printed grants contain this setting. It must not count as a setting of the server.
    primary.sql("ALTER ROLE monitor SET default_transaction_read_only = on");
    let standby = primary.standby(&[]);
    for (server, expected, outcome, words) in [
        (&primary, "primary", Outcome::Pass, "the server is a primary"),
        (&primary, "standby", FAIL, "the server is a primary, and a standby is expected"),
        (&standby, "standby", Outcome::Pass, "the server is a standby"),
        (&standby, "standby, read_only: true", Outcome::Pass, "the server is a standby"),
        (&standby, "primary", FAIL, "the server is a standby, and a primary is expected"),
        (&standby, "primary, read_only: false", FAIL, "the server is a standby, and a primary is expected"),
    ] {
        assert_judged(&watch(server, &format!("expected: {expected}")), outcome, words).await;
    }

    let writable = watch(&primary, "expected: primary, read_only: false");
    assert_judged(&writable, Outcome::Unknown(Reason::Permission), "pg_show_all_file_settings").await;
    let needed = writable.privileges();
    let needed = &needed.iter().find(|(check, _)| *check == ROLE).unwrap().1;
    for privilege in needed {
        primary.sql(&format!("GRANT {} TO monitor", privilege.name));
    }
    let read_only = watch(&primary, "expected: primary, read_only: true");
    assert_judged(&writable, Outcome::Pass, "new transactions are writable").await;
    assert_judged(&read_only, FAIL, "are writable by default, but read-only is expected").await;

    for (set, reset, words) in [
        (
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "read-only by the configuration files, but writable is expected: ALTER SYSTEM SET",
        ),
        (
            "ALTER DATABASE postgres SET default_transaction_read_only = true",
            "ALTER DATABASE postgres RESET default_transaction_read_only",
            "read-only by a setting of the database",
        ),
        (
            "ALTER ROLE ALL SET default_transaction_read_only = yes",
            "ALTER ROLE ALL RESET default_transaction_read_only",
            "read-only by a setting of all roles",
        ),
    ] {
        primary.sql(set);
        primary.sql("SELECT pg_reload_conf()");
        let refused = primary.try_sql("CREATE TABLE refused ()").unwrap_err();
        assert!(refused.contains("read-only transaction"), "{refused}");
        assert_judged(&writable, FAIL, words).await;
        assert_judged(&read_only, Outcome::Pass, "new transactions are read-only").await;
        write_nevertheless(&primary, reset);
        primary.sql("SELECT pg_reload_conf()");
        assert_judged(&writable, Outcome::Pass, "new transactions are writable").await;
    }
}
