//! A PostgreSQL that is gone, silent, full, or lets the monitoring role in no more.

use std::process::{Child, Command, Stdio};

use super::{Bystanders, Calm, endure};
use crate::real::{
    daemon::Daemon,
    postgres::{PASSWORD, Postgres},
    wait_until,
};

/// A server with room for five, and a daemon that watches it through a role that may.
fn watched(beside: &Bystanders) -> (Postgres, Daemon) {
    let postgres = Postgres::start(&["max_connections=8", "superuser_reserved_connections=3"]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    postgres.role("app", "");
    let probe = format!(
        "
        - name: db
          postgres: {}
          interval: 1s
          checks:
            - pool: {{max_utilization: {{warn: 80%, fail: 95%}}}}
            - error_rate: {{max: 40%, window: 4s}}
        ",
        postgres.settings("monitor", "")
    );
    let daemon = beside.beside(&probe).serve();
    (postgres, daemon)
}

const fn all_fail(health: &'static str, pool: &'static str) -> [(&'static str, &'static str); 3] {
    [("db/health", health), ("db/pool", pool), ("db/error_rate", "fail limit")]
}

#[test]
fn a_stopped_postgres_is_refused() {
    let beside = Bystanders::new();
    let (mut postgres, daemon) = watched(&beside);
    let (calm, turned) = (Calm::of(&daemon), all_fail("fail refused", "unknown refused"));
    postgres.stop();
    calm.turns(&turned);
    postgres.start_again();
    calm.comes_back(&turned);
}

#[test]
fn a_frozen_postgres_times_out() {
    let beside = Bystanders::new();
    let (postgres, daemon) = watched(&beside);
    let turned = all_fail("fail timeout", "unknown timeout");
    endure(&daemon, &turned, || postgres.freeze(), || postgres.thaw());
}

/// Sessions of the application.
fn sessions(postgres: &Postgres, count: usize) -> Vec<Child> {
    let conninfo = format!("host=127.0.0.1 port={} user=app dbname=postgres password='{PASSWORD}'", postgres.port);
    let connect = || {
        let mut psql = Command::new("psql");
        psql.arg("-X").arg(&conninfo).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut sessions: Vec<_> = (0..count).map(|_| connect()).collect();
    wait_until("the application is connected", || {
        // Whoever came while we looked found the last place taken by us.
        for psql in &mut sessions {
            if psql.try_wait().unwrap().is_some() {
                *psql = connect();
            }
        }
        let used = postgres.sql("select count(*) from pg_stat_activity where usename = 'app'");
        if used == count.to_string() { Ok(()) } else { Err(used) }
    });
    sessions
}

fn close(sessions: Vec<Child>) {
    for mut psql in sessions {
        let _ = psql.kill();
        let _ = psql.wait();
    }
}

#[test]
fn a_full_postgres_fails_the_pool_and_nothing_else_while_the_connection_is_kept() {
    let beside = Bystanders::new();
    let (postgres, daemon) = watched(&beside);
    let (calm, turned) = (Calm::of(&daemon), [("db/pool", "fail limit")]);
    let app = sessions(&postgres, 4);
    calm.turns(&turned);
    let summary = daemon.check("db/pool").summary;
    assert!(summary.contains("of 5 in use"), "{summary}");
    close(app);
    calm.comes_back(&turned);
}

#[test]
fn a_full_postgres_lets_nobody_new_in() {
    let beside = Bystanders::new();
    let (postgres, daemon) = watched(&beside);
    let (calm, turned) = (Calm::of(&daemon), all_fail("fail limit", "unknown limit"));
    // While the role may not log in, the application takes the last place.
    postgres.sql("ALTER ROLE monitor NOLOGIN");
    throw_out(&postgres);
    let app = sessions(&postgres, 5);
    postgres.sql("ALTER ROLE monitor LOGIN");
    calm.turns(&turned);
    close(app);
    calm.comes_back(&turned);
}

/// Ends the daemon's session, as a restart of a pooler would.
fn throw_out(postgres: &Postgres) {
    postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'monitor'");
}

#[test]
fn a_wrong_password_is_a_matter_of_auth() {
    let beside = Bystanders::new();
    let (postgres, daemon) = watched(&beside);
    let changes = || {
        postgres.sql("ALTER ROLE monitor PASSWORD 'another'");
        throw_out(&postgres);
    };
    let back = || drop(postgres.sql(&format!("ALTER ROLE monitor PASSWORD '{PASSWORD}'")));
    endure(&daemon, &all_fail("fail auth", "unknown auth"), changes, back);
}

#[test]
fn a_role_without_rights_can_not_tell_and_says_which_right() {
    let beside = Bystanders::new();
    let (postgres, daemon) = watched(&beside);
    let (calm, turned) = (Calm::of(&daemon), [("db/pool", "unknown permission")]);
    postgres.sql("REVOKE pg_monitor FROM monitor");
    calm.turns(&turned);
    let summary = daemon.check("db/pool").summary;
    assert!(summary.contains("pg_monitor") || summary.contains("grants"), "{summary}");
    postgres.sql("GRANT pg_monitor TO monitor");
    calm.comes_back(&turned);
}
