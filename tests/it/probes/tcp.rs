//! `tcp` probes against real servers.

use std::process::{Command, Stdio};

use readiness_exporter::model::words::{Outcome, Reason};

use crate::harness::{postgres::Postgres, probe_under_test::ProbeUnderTest};

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// SHA-256 in the notation of the facts.
fn fingerprint(pem: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one.pem"), pem).unwrap();
    let mut openssl = Command::new("openssl");
    let text =
        output(openssl.args("x509 -in one.pem -noout -sha256 -fingerprint".split(' ')).current_dir(folder.path()));
    text.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase()
}

#[tokio::test]
async fn starttls_shows_the_certificate_of_a_real_postgresql() {
    let postgres = Postgres::start(&[]);
    let (port, ca) = (postgres.port, postgres.folder().join("ca.pem"));
    let probe = |tls: &str| {
        let settings = format!("address: 'localhost:{port}', address_family: ip4, starttls: postgres{tls}");
        ProbeUnderTest::new(&format!("tcp: {{{settings}}}\nchecks: [certificate]"))
    };
    let seen = probe(&format!(", tls: {{ca: {}}}", ca.display())).run().await.worked();
    assert_eq!(seen.outcome("certificate"), Outcome::Pass, "{:?}", seen.verdict("certificate"));
    let own = seen.fact("/certificates/leaf/fingerprint_sha256").as_str().unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-starttls", "postgres", "-connect", &format!("127.0.0.1:{port}")]);
    let text = output(&mut openssl);
    let end = "-----END CERTIFICATE-----";
    let pem = &text[text.find("-----BEGIN").unwrap()..text.find(end).unwrap() + end.len()];
    assert_eq!(own, fingerprint(pem));
    assert_eq!(seen.fact("/address_family"), "ip4");
    assert_eq!(seen.fact("/tls_version"), "1.3");

    let distrusted = probe("").run().await;
    assert_eq!(distrusted.reason(), Some(Reason::Certificate));
    assert_eq!(distrusted.outcome("certificate"), Outcome::Fail(Reason::Certificate));
    let without = Postgres::start(&["ssl=off"]);
    let settings = format!("{{address: '127.0.0.1:{}', starttls: postgres}}", without.port);
    let refused = ProbeUnderTest::new(&format!("tcp: {settings}\nchecks: [certificate]")).run().await;
    assert_eq!(refused.reason(), Some(Reason::Tls), "{:?}", refused.report.failure);
}
