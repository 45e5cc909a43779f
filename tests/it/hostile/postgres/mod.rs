//! Servers that speak PostgreSQL's protocol and mean harm.

mod stand_in;

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use self::stand_in::{
    LOGGED_IN, READY, StandIn, answer_all, message, parameter_description, read_request, read_startup, row_description,
    scram,
};
use super::{
    handshakes::last_run,
    vitals::{Control, Vitals},
};
use crate::harness::{
    daemon::Home,
    postgres::{PASSWORD, Postgres},
    probe_under_test::{ProbeUnderTest, RunResult},
};
use readiness_exporter::model::words::Reason;

/// A probe without TLS; the stand-ins have none.
fn probe(name: &str, host: &str, port: u16, more: &str) -> String {
    format!(
        "  - name: {name}\n    postgres: {{host: {host}, port: {port}, user: monitor, password: secret, sslmode: disable}}\n{more}"
    )
}

/// One run in this process.
async fn run(server: &StandIn) -> RunResult {
    let port = server.port;
    let settings = format!("{{host: 127.0.0.1, port: {port}, user: monitor, password: secret, sslmode: disable}}");
    ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 60s\ntimeout: 30s\nchecks: [pool]")).run().await
}

#[track_caller]
fn assert_fails(seen: &RunResult, reason: Reason, words: &str) {
    let failure = seen.report.failure.as_ref().unwrap();
    assert_eq!(failure.reason, reason, "{failure}");
    assert!(failure.detail.contains(words), "{failure}");
}

#[test]
fn a_server_that_describes_unknown_types_without_end_is_a_protocol_error() {
    // The least type that users can define has the number 16384.
    let next = Arc::new(AtomicU32::new(16_384));
    let server = StandIn::start("127.0.0.1", move |stream| {
        answer_all(stream, || {
            let unknown = next.fetch_add(1, Ordering::Relaxed);
            [message(b'1', b""), parameter_description(&[]), row_description(&[unknown]), READY.to_vec()].concat()
        })
    });
    let home = Home::new(&[&probe("db", "127.0.0.1", server.port, "")]);
    let daemon = home.serve();
    let vitals = Vitals::watch(&daemon);
    let seen = daemon.wait_for("db/health", "fail protocol");
    assert!(seen.summary.contains("type 16384"), "{}", seen.summary);
    // The driver's stack overflowed within 4 s.
    std::thread::sleep(Duration::from_secs(1));
    vitals.end().assert_alive("unknown types");
    daemon.terminate();
}

#[tokio::test]
async fn a_parameter_of_an_unknown_type_is_a_protocol_error() {
    let server = StandIn::start("127.0.0.1", |stream| {
        answer_all(stream, || {
            [message(b'1', b""), parameter_description(&[99_999]), row_description(&[25]), READY.to_vec()].concat()
        })
    });
    assert_fails(&run(&server).await, Reason::Protocol, "type 99999");
    assert_eq!(server.connections(), 1, "a server that is cut off is not asked again in the same run");
}

#[tokio::test]
async fn notices_and_parameters_are_tolerated_before_and_after_the_login() {
    let asynchronous = [
        message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"),
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'A', b"\0\0\0\x01channel\0payload\0"),
    ]
    .concat();
    let server = StandIn::start("127.0.0.1", move |stream| {
        read_startup(stream)?;
        stream.write_all(&asynchronous)?;
        // Between AuthenticationOk and the rest of the login, too.
        let (authenticated, rest) = LOGGED_IN.split_at(9);
        for part in [authenticated, &asynchronous, rest, &asynchronous] {
            stream.write_all(part)?;
        }
        read_request(stream)?;
        stream.write_all(&asynchronous)?;
        let error = message(b'E', b"SERROR\0VERROR\0C22012\0Mreached the query\0\0");
        let parts = [message(b'1', b""), message(b'2', b""), row_description(&[25]), error, READY.to_vec()];
        for part in &parts {
            stream.write_all(&[&asynchronous[..], part].concat())?;
        }
        Ok(())
    });
    assert_fails(&run(&server).await, Reason::Query, "reached the query");
}

#[tokio::test]
async fn messages_without_end_are_cut_off_before_and_after_the_login() {
    for (flood, logs_in) in [
        (message(b'N', b"SNOTICE\0Mhello\0\0"), false),
        (message(b'N', b"SNOTICE\0Mhello\0\0"), true),
        (message(b'S', b"a\0b\0"), true),
        (message(b'A', b"\0\0\0\x01c\0p\0"), true),
        (message(b'D', b"\0\0"), true),
    ] {
        let tag = char::from(flood[0]);
        let server = StandIn::start("127.0.0.1", move |stream| {
            read_startup(stream)?;
            if logs_in {
                stream.write_all(LOGGED_IN)?;
            }
            let many = flood.repeat(1_000);
            for _ in 0..1_000 {
                stream.write_all(&many)?;
            }
            Ok(())
        });
        let start = Instant::now();
        let seen = run(&server).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{tag}: {:?}", start.elapsed());
        // Rows that nobody asked for may end the connection before there are too many of them.
        if tag == 'D' {
            assert!(seen.reason().is_some());
        } else {
            assert_fails(&seen, Reason::TooLarge, "more than 10000 messages");
        }
    }
}

#[tokio::test]
async fn more_iterations_than_the_driver_computes_are_explained() {
    for iterations in ["100001", "4294967295", "99999999999999999999", "-1", "x"] {
        let server = StandIn::start("127.0.0.1", move |stream| scram(stream, iterations).map(drop));
        let seen = run(&server).await;
        match iterations {
            "-1" | "x" => assert_fails(&seen, Reason::Protocol, "can't be read"),
            _ => assert_fails(&seen, Reason::Auth, "lower `scram_iterations` on the server"),
        }
    }
    // As many as it computes end in the server's own words.
    let server = StandIn::start("127.0.0.1", |stream| {
        let proof = scram(stream, "100000")?;
        assert!(proof.starts_with(b"c=biws,r="), "{}", String::from_utf8_lossy(&proof));
        stream.write_all(&message(b'E', b"SFATAL\0VFATAL\0C28P01\0Mwrong proof\0\0"))
    });
    assert_fails(&run(&server).await, Reason::Auth, "wrong proof");
}

/// Asks for as many iterations as the driver computes, and hangs up.
fn expensive(stream: &mut TcpStream) -> std::io::Result<()> {
    scram(stream, "100000").map(drop)
}

#[test]
fn logins_as_expensive_as_can_be_hold_up_neither_endpoints_nor_neighbours_nor_the_end() {
    const ATTACKERS: usize = 100;
    const TIMEOUT: Duration = Duration::from_secs(1);
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    // Each is another host, so that no limit for one host helps.
    let servers: Vec<_> = (1..=ATTACKERS).map(|n| StandIn::start(&format!("127.0.7.{n}"), expensive)).collect();
    let mut probes = vec![format!(
        "  - name: neighbour\n    timeout: 2s\n    interval: 2s\n    postgres: {{host: 127.0.0.1, port: {}, user: monitor, dbname: postgres, password: \
         {PASSWORD}, sslmode: disable}}\n",
        postgres.port
    )];
    for (n, server) in servers.iter().enumerate() {
        let timing = "    timeout: 1s\n    interval: 1s\n";
        probes.push(probe(&format!("hostile{n}"), &format!("127.0.7.{}", n + 1), server.port, timing));
    }
    let home = Home::new(&probes.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = home.serve();
    daemon.wait_for("neighbour/health", "pass");
    let (control, vitals) = (Control::start(), Vitals::watch(&daemon));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        // The neighbour has to log in again for each run. A session that may be within one is left alone.
        postgres.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where usename = 'monitor' and state = 'idle' and state_change < now() - interval '100 ms'",
        );
        std::thread::sleep(Duration::from_millis(300));
        let neighbour = daemon.check("neighbour/health");
        assert_eq!(neighbour.status, "pass", "{neighbour:?}");
    }
    let signs = vitals.end();
    let idle = control.end();
    signs.assert_alive_beside(&idle, "100 logins with 100,000 iterations");
    signs.assert_memory_below(128);
    let worst = (0..ATTACKERS).filter_map(|n| last_run(&daemon, &format!("hostile{n}"))).max().unwrap();
    let logins: i64 = postgres.sql("select sessions from pg_stat_database where datname = 'postgres'").parse().unwrap();
    println!(
        "longest run {worst:?}, {logins} sessions of the healthy server, attackers' connections {}",
        servers.iter().map(StandIn::connections).sum::<usize>()
    );
    let late = Duration::from_millis(300) + 2 * idle.worst();
    assert!(worst < TIMEOUT + late, "a run with a timeout of {TIMEOUT:?} took {worst:?}");
    let start = Instant::now();
    daemon.terminate();
    println!("it ended after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2) + 2 * idle.worst(), "it took {:?} to end", start.elapsed());
}
