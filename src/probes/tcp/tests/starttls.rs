//! STARTTLS of each protocol, compared with `openssl s_client -starttls`.

use std::{process::Stdio, sync::Arc};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::io::tls::fixture::{Authority, authority};

/// Answer to the bytes that a client has sent, and whether TLS follows; `None` waits for more bytes.
type Answers = fn(&[u8]) -> Option<(Vec<u8>, bool)>;

/// A server that speaks the unencrypted beginning of a protocol.
#[derive(Clone)]
struct Server {
    greeting: Vec<u8>,
    answers: Answers,
}

impl Server {
    async fn start(&self, config: ServerConfig) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, acceptor) = (self.clone(), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream, acceptor.clone()));
            }
        });
        address
    }

    async fn serve(self, mut stream: TcpStream, acceptor: TlsAcceptor) {
        let _ = stream.write_all(&self.greeting).await;
        let mut heard = Vec::new();
        loop {
            if let Some((answer, starts_tls)) = (self.answers)(&heard) {
                let _ = stream.write_all(&answer).await;
                heard.clear();
                if starts_tls {
                    break;
                }
            }
            // A client may send the beginning of TLS together with the last message, and MySQL's has 36 bytes.
            let mut part = [0; 36];
            match stream.read(&mut part).await {
                Ok(read @ 1..) => heard.extend(&part[..read]),
                _ => return,
            }
        }
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.write_all(b"inside\r\n").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}

/// Answers to complete lines.
fn by_line(heard: &[u8], answer: impl Fn(&str) -> (String, bool)) -> Option<(Vec<u8>, bool)> {
    let line = heard.strip_suffix(b"\r\n")?;
    let (text, starts_tls) = answer(std::str::from_utf8(line).unwrap());
    Some((text.into_bytes(), starts_tls))
}

fn mysql_greeting(capabilities: u16) -> Vec<u8> {
    let mut payload = b"\x0a8.0.36\0\x01\0\0\0saltsalt\0".to_vec();
    payload.extend(capabilities.to_le_bytes());
    payload.extend(b"\x2d\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0saltsaltsalt\0caching_sha2_password\0");
    let mut packet = vec![u8::try_from(payload.len()).unwrap(), 0, 0, 0];
    packet.extend(payload);
    packet
}

const FEATURES: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams' id='1' from='localhost' version='1.0'>\
                        <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                        </stream:features>";

fn servers() -> [(&'static str, Server); 8] {
    let server = |greeting: &[u8], answers: Answers| Server { greeting: greeting.to_vec(), answers };
    let smtp: Answers = |heard| {
        by_line(heard, |line| match line {
            _ if line.starts_with("EHLO") => ("250-mail\r\n250-SIZE 1000\r\n250 STARTTLS\r\n".to_owned(), false),
            "STARTTLS" => ("220 go ahead\r\n".to_owned(), true),
            _ => ("500 what\r\n".to_owned(), false),
        })
    };
    let imap: Answers = |heard| {
        by_line(heard, |line| {
            let (tag, command) = line.split_once(' ').unwrap();
            match command {
                "STARTTLS" => (format!("* OK a note\r\n{tag} OK begin\r\n"), true),
                _ => (format!("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done\r\n"), false),
            }
        })
    };
    let pop3: Answers = |heard| by_line(heard, |_| ("+OK begin\r\n".to_owned(), true));
    let ftp: Answers = |heard| {
        by_line(heard, |line| match line {
            "FEAT" => ("211-Features\r\n AUTH TLS\r\n211 End\r\n".to_owned(), false),
            _ => ("234 go ahead\r\n".to_owned(), true),
        })
    };
    let ldap: Answers =
        |heard| (heard.len() >= 31).then(|| (b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0".to_vec(), true));
    let xmpp: Answers = |heard| {
        let text = std::str::from_utf8(heard).unwrap();
        match text {
            _ if text.contains("<starttls") && text.ends_with("/>") => {
                Some((b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_vec(), true))
            }
            _ if text.ends_with("'>") => Some((FEATURES.into(), false)),
            _ => None,
        }
    };
    let postgres: Answers = |heard| (heard == [0, 0, 0, 8, 4, 210, 22, 47]).then(|| (b"S".to_vec(), true));
    let mysql: Answers = |heard| (heard.len() == 36 && heard[5] & 0x08 != 0).then(|| (Vec::new(), true));
    [
        ("smtp", server(b"220-mail.example\r\n220 ESMTP\r\n", smtp)),
        ("imap", server(b"* OK IMAP4rev1 ready\r\n", imap)),
        ("pop3", server(b"+OK ready\r\n", pop3)),
        ("ftp", server(b"220-Welcome\r\n to this server\r\n220 ready\r\n", ftp)),
        ("ldap", server(b"", ldap)),
        ("xmpp", server(b"", xmpp)),
        ("postgres", server(b"", postgres)),
        ("mysql", server(&mysql_greeting(0xffff), mysql)),
    ]
}

/// SHA-256 of the certificate that OpenSSL is presented.
async fn openssl_fingerprint(protocol: &str, address: &str) -> String {
    let mut client = tokio::process::Command::new("openssl");
    client.args(["s_client", "-starttls", protocol, "-connect", address, "-servername", "localhost"]);
    client.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(30), client.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{protocol}: openssl does not end")).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let start = text.find("-----BEGIN CERTIFICATE-----");
    let start = start.unwrap_or_else(|| panic!("{protocol}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let end = text.find("-----END CERTIFICATE-----").unwrap() + 25;
    let pem = &text[start..end];
    let der =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pem.as_bytes());
    crate::model::text::to_hex(&<sha2::Sha256 as sha2::Digest>::digest(der.unwrap()))
}

fn fixture() -> (tempfile::TempDir, Authority, Value) {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let ca = authority.trusted_in(folder.path()).ca.unwrap();
    let tls = json!({"ca": ca, "server_name": "localhost"});
    (folder, authority, tls)
}

#[tokio::test]
async fn each_protocol_starts_tls_as_with_openssl() {
    let (_folder, authority, tls) = fixture();
    for (protocol, server) in servers() {
        let address = server.start(authority.server(|_| {})).await;
        let settings = json!({"address": address, "starttls": protocol, "tls": tls, "expect": "^inside$"});
        let facts = run(settings).await.unwrap_or_else(|broken| panic!("{protocol}: {}", broken.failure));
        let certificates = facts.certificates.unwrap();
        assert_eq!((certificates.distrust, facts.tls_version), (None, Some("1.3")), "{protocol}");
        let fingerprint = openssl_fingerprint(protocol, &address).await;
        assert_eq!(certificates.leaf.fingerprint_sha256, fingerprint, "{protocol}");

        let expired =
            server.start(authority.server(|params| params.not_after = rcgen::date_time_ymd(2021, 3, 4))).await;
        let broken = run(json!({"address": expired, "starttls": protocol, "tls": tls})).await.unwrap_err();
        assert_eq!(broken.failure.reason, Reason::Certificate, "{protocol}: {}", broken.failure);
        assert!(broken.facts.unwrap().certificates.is_some(), "{protocol}");
    }
}

#[tokio::test]
async fn a_step_starts_tls_within_a_dialogue() {
    let (_folder, authority, tls) = fixture();
    let address = servers()[0].1.start(authority.server(|_| {})).await;
    let steps = json!([
        {"expect": "^220 "}, {"send": "EHLO a.example\r\n"}, {"expect": "^250[ -]STARTTLS"},
        {"send": "STARTTLS\r\n"}, {"expect": "^220"}, {"starttls": true}, {"expect": "inside"},
    ]);
    let facts = run(json!({"address": address, "tls": tls, "steps": steps})).await.unwrap();
    assert!(facts.certificates.unwrap().distrust.is_none());
    // A binary protocol has no lines.
    let address = servers()[6].1.start(authority.server(|_| {})).await;
    let steps = json!([{"send_bytes": r"\0\0\0\x08\x04\xd2\x16\x2f"}, {"expect": "^S"}, {"starttls": true}, {"expect": "inside"}]);
    run(json!({"address": address, "tls": tls, "steps": steps})).await.unwrap();
}

/// A server that sends a greeting and an answer to everything.
fn saying(greeting: &[u8], answers: Answers) -> Server {
    Server { greeting: greeting.to_vec(), answers }
}

#[tokio::test]
async fn servers_without_tls_and_other_protocols_are_told_apart() {
    let silent: Answers = |_| None;
    let anything: Answers = |heard| (!heard.is_empty()).then(|| (b"250 STARTTLS\r\n502 no\r\n".to_vec(), false));
    let injected: Answers = |heard| {
        by_line(heard, |line| match line {
            "STARTTLS" => ("220 go\r\n250 injected\r\n".to_owned(), false),
            _ => ("250-x\r\n250 STARTTLS\r\n".to_owned(), false),
        })
    };
    let plain: Answers = |heard| by_line(heard, |_| ("250 SIZE\r\n".to_owned(), false));
    let no: Answers = |heard| (!heard.is_empty()).then(|| (b"N".to_vec(), false));
    let refusing: Answers = |heard| (!heard.is_empty()).then(|| (b"a1 BAD unknown\r\n".to_vec(), false));
    let ldap: Answers = |heard| {
        (heard.len() >= 31).then(|| (b"\x30\x0f\x02\x01\x01\x78\x0a\x0a\x01\x34\x04\0\x04\x03bad".to_vec(), false))
    };
    let features: Answers =
        |heard| (!heard.is_empty()).then(|| (b"<stream:stream><stream:features></stream:features>".to_vec(), false));
    let cases = [
        (
            "smtp",
            saying(b"554 go away\r\n", silent),
            Reason::Status,
            "expected the greeting `220`, the server answered \"554 go away\"",
        ),
        ("smtp", saying(b"SSH-2.0-OpenSSH\r\n", silent), Reason::Protocol, "is not SMTP; is the port right?"),
        ("smtp", saying(b"220 a\r\n", plain), Reason::Tls, "does not offer TLS"),
        ("smtp", saying(b"220 a\r\n", anything), Reason::Status, "the reply `220` to STARTTLS"),
        ("smtp", saying(b"220 a\r\n", injected), Reason::Protocol, "sends more before the TLS handshake"),
        ("smtp", saying(&b"220-x\r\n".repeat(200), silent), Reason::TooLarge, "more than 100 lines"),
        ("smtp", saying(&[b'2'; 9_000], silent), Reason::TooLarge, "more than 4096 bytes"),
        ("pop3", saying(b"-ERR busy\r\n", silent), Reason::Status, "expected the greeting `+OK`"),
        ("imap", saying(b"* BYE overloaded\r\n", silent), Reason::Status, "expected the greeting `* OK`"),
        ("imap", saying(b"* OK\r\n", refusing), Reason::Status, "the reply `a1 OK` to STARTTLS"),
        ("ftp", saying(b"220 a\r\n", anything), Reason::Status, "the reply `234` to AUTH TLS"),
        ("ldap", saying(b"", ldap), Reason::Tls, "refuses StartTLS with code 52: \"bad\""),
        ("ldap", saying(b"HTTP/1.1 400\r\n", silent), Reason::Protocol, "is not LDAP"),
        ("ldap", saying(b"\x30\x84\xff\xff\xff\xff", silent), Reason::Protocol, "is not LDAP"),
        ("mysql", saying(b"\xff\xff\xff\0\x0a", silent), Reason::Protocol, "is not MySQL"),
        ("imap", saying(&b"* OK x\r\n".repeat(200), silent), Reason::TooLarge, "more than 100 lines"),
        ("xmpp", saying(&b"<a>".repeat(9_000), silent), Reason::TooLarge, "more than 16384 bytes"),
        ("xmpp", saying(b"", features), Reason::Tls, "does not offer TLS"),
        ("xmpp", saying(b"220 a\r\n", silent), Reason::Protocol, "is not XMPP"),
        ("xmpp", saying(b"<stream:error><host-unknown/></stream:error>", silent), Reason::Status, "host-unknown"),
        ("postgres", saying(b"", no), Reason::Tls, "set `ssl = on`"),
        ("postgres", saying(b"220 a\r\n", silent), Reason::Protocol, "is not PostgreSQL"),
        ("mysql", saying(&mysql_greeting(0xf7ff), silent), Reason::Tls, "does not offer TLS"),
        (
            "mysql",
            saying(b"\x18\0\0\0\xff\x69\x04Host is not allowed x", silent),
            Reason::Status,
            "Host is not allowed",
        ),
        ("mysql", saying(b"220 a\r\n", silent), Reason::Protocol, "is not MySQL"),
    ];
    let (_folder, authority, tls) = fixture();
    for (protocol, server, reason, text) in cases {
        let address = server.start(authority.server(|_| {})).await;
        let failure = run(json!({"address": address, "starttls": protocol, "tls": tls})).await.unwrap_err().failure;
        assert_eq!(failure.reason, reason, "{protocol}: {failure}");
        assert!(failure.detail.contains(text), "{protocol}: {failure}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_is_reported_with_the_expected_answer() {
    let silent: Answers = |_| None;
    let (_folder, authority, _) = fixture();
    for (protocol, expected) in [
        ("smtp", "expected the greeting `220`, received \"220-\""),
        ("ldap", "expected the response of LDAP to StartTLS, and nothing came"),
        ("mysql", "expected the greeting of MySQL, and nothing came"),
    ] {
        let greeting: &[u8] = if protocol == "smtp" { b"220-" } else { b"" };
        let address = saying(greeting, silent).start(authority.server(|_| {})).await;
        let broken =
            run_for(Duration::from_millis(400), json!({"address": address, "starttls": protocol})).await.unwrap_err();
        assert!(broken.failure.detail.ends_with(expected), "{protocol}: {}", broken.failure);
        assert_eq!(broken.failure.reason, Reason::Timeout);
    }
}

#[tokio::test]
async fn a_refused_client_is_noticed_without_a_dialogue() {
    let (_folder, authority, tls) = fixture();
    let server = Server { greeting: Vec::new(), answers: |_| Some((Vec::new(), true)) };
    let address = server.start(authority.server_for_known_clients()).await;
    let failure = run(json!({"address": address, "tls": tls})).await.unwrap_err().failure;
    assert_eq!(failure.reason, Reason::Auth, "{failure}");
    assert!(failure.detail.contains("set `tls.cert` and `tls.key`"), "{failure}");
}

#[tokio::test]
async fn a_stalled_handshake_keeps_the_certificates_that_were_presented() {
    // In TLS 1.2, the certificate is in the first flight of the server, and the client waits for the second.
    let (_folder, authority, tls) = fixture();
    let config = Arc::new(authority.server(|_| {}));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::task::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut session = rustls::ServerConnection::new(config).unwrap();
        let mut heard = Vec::new();
        while !session.wants_write() {
            heard.clear();
            stream.read_buf(&mut heard).await.unwrap();
            session.read_tls(&mut &heard[..]).unwrap();
            session.process_new_packets().unwrap();
        }
        let mut flight = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut flight).unwrap();
        }
        stream.write_all(&flight).await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut tls = tls;
    tls["max_version"] = json!("1.2");
    let broken = run_for(Duration::from_secs(3), json!({"address": address, "tls": tls})).await.unwrap_err();
    server.abort();
    assert_eq!(broken.failure.reason, Reason::Timeout, "{}", broken.failure);
    let certificates = broken.facts.unwrap().certificates;
    assert!(certificates.is_some_and(|certificates| certificates.distrust.is_none()), "{}", broken.failure);
}
