//! `postgres` against servers that only pretend: what they are told, what they say, where they hang.

use std::time::{Duration, Instant};

use readiness_exporter::model::words::{Phase, Reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::probe_under_test::ProbeUnderTest;

#[tokio::test]
async fn the_session_is_read_only_and_the_server_ends_long_statements() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings =
        format!("{{dsn: 'host=127.0.0.1 port={port} user=a sslmode=disable options=-cstatement_timeout=0'}}");
    let watch = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s\ntimeout: 3s"));
    let startup = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 1024];
        let read = stream.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..read]).replace('\0', "|")
    };
    let (_, startup) = tokio::join!(watch.run(), startup);
    for part in [
        "|application_name|readiness-exporter|",
        // Ours come last and win.
        "|options|-cstatement_timeout=0 -c default_transaction_read_only=on -c statement_timeout=3000 -c lock_timeout=1500",
    ] {
        assert!(startup.contains(part), "{startup}");
    }
}

/// A server that says the first `messages` of these and then nothing more.
async fn hangs_after(messages: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said: [&[u8]; 5] = [
        b"",
        // No TLS; then AuthenticationOk, BackendKeyData, ReadyForQuery; then the answer to Parse.
        b"N",
        b"R\0\0\0\x08\0\0\0\0",
        b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x01Z\0\0\0\x05I",
        b"1\0\0\0\x04",
    ];
    let said: Vec<_> = said.into_iter().take(messages + 1).collect();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let said = said.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                for message in said {
                    if stream.write_all(message).await.is_err() {
                        return;
                    }
                    // BackendKeyData follows AuthenticationOk without being asked for.
                    if !message.starts_with(b"R") && stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                while stream.read(&mut buffer).await.unwrap_or(0) > 0 {}
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_that_hangs_at_any_message_is_a_timeout_on_time() {
    for (messages, phase) in
        [(0, Phase::Tls), (1, Phase::Login), (2, Phase::Login), (3, Phase::Query), (4, Phase::Query)]
    {
        let port = hangs_after(messages).await;
        let watch = ProbeUnderTest::new(&format!(
            "postgres: {{host: 127.0.0.1, port: {port}, user: a, password: b}}\ninterval: 10s\ntimeout: 200ms"
        ));
        let start = Instant::now();
        let seen = watch.run().await;
        assert!(start.elapsed() < Duration::from_secs(2), "after {messages} messages: {:?}", start.elapsed());
        assert_eq!(seen.reason(), Some(Reason::Timeout), "after {messages} messages: {:?}", seen.report.failure);
        assert_eq!(seen.phases().last(), Some(&phase), "after {messages} messages");
    }
}

#[tokio::test]
async fn what_a_server_says_instead_of_letting_us_in_becomes_a_reason() {
    for (code, message, reason, advice) in [
        ("53300", "sorry, too many clients already", Reason::Limit, "pg_stat_activity"),
        ("57P03", "the database system is starting up", Reason::Refused, "starting up"),
        ("57P01", "terminating connection due to administrator command", Reason::Canceled, "ended the connection"),
        ("28000", "no pg_hba.conf entry for host", Reason::Auth, "pg_hba.conf"),
        ("42501", "permission denied for database", Reason::Permission, "grants"),
        ("08P01", "unsupported startup parameter: options", Reason::Protocol, "pooler"),
        ("08P01", "unsupported startup parameter: datestyle", Reason::Protocol, "ignore_startup_parameters"),
        ("57014", "canceling statement due to statement timeout", Reason::Timeout, "time limit"),
        ("XX000", "something broke", Reason::Query, "log"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            // A refused startup parameter leads to a second login without it.
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
                let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
                let _ = stream.write_all(&[b"E", &length[..], fields.as_bytes()].concat()).await;
            }
        });
        let settings = format!("{{host: 127.0.0.1, port: {port}, user: a, password: b, sslmode: disable}}");
        let seen = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s")).run().await;
        let failure = seen.report.failure.unwrap();
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.detail.contains(advice) && failure.detail.contains(message), "{failure}");
    }
}

#[tokio::test]
async fn what_is_not_postgres_is_told_apart() {
    for (answer, reason) in [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], Reason::Protocol), (b"", Reason::Protocol)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 8]).await;
            let _ = stream.write_all(answer).await;
        });
        let settings = format!("{{host: 127.0.0.1, port: {port}, user: a, password: b}}");
        let seen = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 10s")).run().await;
        assert_eq!(seen.reason(), Some(reason), "{:?}", seen.report.failure);
    }
}

#[tokio::test]
async fn a_server_that_sends_without_end_is_cut_off() {
    // An answer of two gigabytes, and one of many small messages.
    for message in
        [&b"R\x7f\xff\xff\xff"[..], &[b"R\0\0\0\x08\0\0\0\0", &b"S\0\0\0\x08a\0b\0".repeat(1_000)[..]].concat()]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let message = message.to_vec();
        let sent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(&message).await;
            let more = b"S\0\0\0\x08a\0b\0".repeat(8_000);
            let mut sent = 0;
            while stream.write_all(&more).await.is_ok() {
                sent += more.len();
            }
            sent
        });
        let settings = format!("{{host: 127.0.0.1, port: {port}, user: a, password: b, sslmode: disable}}");
        let seen = ProbeUnderTest::new(&format!("postgres: {settings}\ninterval: 60s\ntimeout: 30s")).run().await;
        assert_eq!(seen.reason(), Some(Reason::TooLarge), "{:?}", seen.report.failure);
        let sent = sent.await.unwrap();
        assert!(sent < 64 << 20, "{sent} bytes");
    }
}
