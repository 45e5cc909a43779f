//! A PostgreSQL that is gone, silent, full, or lets the monitoring role in no more.

use std::process::{Child, Command, Stdio};

use super::{Bystanders, Fault, TCP};
use crate::harness::{
    daemon::Home,
    postgres::{PASSWORD, Postgres},
    wait_until,
};

/// A server with room for five, and a home to watch it from through a role that may.
fn watched() -> (Postgres, Home) {
    let postgres = Postgres::start(&["max_connections=8", "superuser_reserved_connections=3"]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    postgres.role("app", "");
    let probe = format!(
        "
        - name: db
          postgres: {}
          interval: 1s
          checks:
            - health
            - pool: {{max_utilization: {{warn: 80%, fail: 95%}}}}
            - error_rate: {{max: 40%, window: 4s}}
        ",
        postgres.settings("monitor", "")
    );
    let home = Bystanders::new().beside(&probe);
    (postgres, home)
}

const fn all_fail(health: &'static str, pool: &'static str) -> [(&'static str, &'static str); 3] {
    [("db/health", health), ("db/pool", pool), ("db/error_rate", "fail limit")]
}

pub(crate) fn stopped() -> Fault {
    let (postgres, home) = watched();
    let (address, turned) = (address(&postgres), all_fail("fail refused", "unknown refused"));
    Fault::of(home, &turned, postgres, Postgres::stop, Postgres::start_again).seen_by(TCP, address)
}

fn address(postgres: &Postgres) -> String {
    format!("127.0.0.1:{}", postgres.port)
}

#[test]
fn a_stopped_postgres_is_refused() {
    stopped().endure();
}

pub(crate) fn frozen() -> Fault {
    let (postgres, home) = watched();
    let (address, turned) = (address(&postgres), all_fail("fail timeout", "unknown timeout"));
    Fault::of(home, &turned, postgres, |postgres| postgres.freeze(), |postgres| postgres.thaw()).seen_by(TCP, address)
}

#[test]
fn a_frozen_postgres_times_out() {
    frozen().endure();
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

pub(crate) fn full() -> Fault {
    let (postgres, home) = watched();
    let address = address(&postgres);
    let fills = |(postgres, app): &mut (Postgres, Vec<Child>)| *app = sessions(postgres, 4);
    Fault::of(home, &[("db/pool", "fail limit")], (postgres, vec![]), fills, |(_, app)| close(std::mem::take(app)))
        .seen_by(TCP, address)
}

#[test]
fn a_full_postgres_fails_the_pool_and_nothing_else_while_the_connection_is_kept() {
    full().says("db/pool", "of 5 in use").endure();
}

pub(crate) fn nobody_new() -> Fault {
    let (postgres, home) = watched();
    let address = address(&postgres);
    // While the role may not log in, the application takes the last place.
    let fills = |(postgres, app): &mut (Postgres, Vec<Child>)| {
        postgres.sql("ALTER ROLE monitor NOLOGIN");
        throw_out(postgres);
        *app = sessions(postgres, 5);
        postgres.sql("ALTER ROLE monitor LOGIN");
    };
    let turned = all_fail("fail limit", "unknown limit");
    Fault::of(home, &turned, (postgres, vec![]), fills, |(_, app)| close(std::mem::take(app))).seen_by(TCP, address)
}

#[test]
fn a_full_postgres_lets_nobody_new_in() {
    nobody_new().endure();
}

/// Ends the daemon's session, as a restart of a pooler would.
fn throw_out(postgres: &Postgres) {
    postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'monitor'");
}

pub(crate) fn wrong_password() -> Fault {
    let (postgres, home) = watched();
    let address = address(&postgres);
    let changes = |postgres: &mut Postgres| {
        postgres.sql("ALTER ROLE monitor PASSWORD 'another'");
        throw_out(postgres);
    };
    let back = |postgres: &mut Postgres| drop(postgres.sql(&format!("ALTER ROLE monitor PASSWORD '{PASSWORD}'")));
    Fault::of(home, &all_fail("fail auth", "unknown auth"), postgres, changes, back).seen_by(TCP, address)
}

#[test]
fn a_wrong_password_is_a_matter_of_auth() {
    wrong_password().endure();
}

pub(crate) fn no_rights() -> Fault {
    let (postgres, home) = watched();
    let address = address(&postgres);
    let revoke = |postgres: &mut Postgres| drop(postgres.sql("REVOKE pg_monitor FROM monitor"));
    let grant = |postgres: &mut Postgres| drop(postgres.sql("GRANT pg_monitor TO monitor"));
    Fault::of(home, &[("db/pool", "unknown permission")], postgres, revoke, grant).seen_by(TCP, address)
}

#[test]
fn a_role_without_rights_can_not_tell_and_says_which_right() {
    no_rights().says("db/pool", "pg_monitor").endure();
}
