//! Failures of handshakes with `openssl s_server` and others: each has words and a remedy.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustls::{
    crypto::ring::{default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::*;

/// A running `openssl s_server`.
struct OpenSsl(Child, u16);

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn s_server(folder: &Path, certificate: &str, options: &str) -> OpenSsl {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-quiet"]);
    command.args(["-cert", &format!("{certificate}.pem"), "-key", &format!("{certificate}.key")]);
    command.args(options.split_whitespace()).current_dir(folder).stdin(Stdio::piped());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = OpenSsl(child, port);
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("openssl s_server {options} does not start");
}

fn certificate(folder: &Path, name: &str, key: &str) {
    let arguments = format!(
        "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 90 \
         -addext subjectAltName=DNS:localhost"
    );
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The failure of a handshake, without names and links of libraries.
async fn refusal(tls: &Tls, port: u16) -> Failure {
    let cache = Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default()));
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let failure = tls.handshake(stream, "localhost", &[], &cache).await.stream.unwrap_err();
    for foreign in ["https://", "docs.rs", "Error", "Failure", "Unknown", "(\"", "{", "::"] {
        assert!(!failure.detail.contains(foreign), "{failure}");
    }
    failure
}

#[tokio::test]
async fn incompatible_servers_are_described_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificate(folder, "rsa", "rsa:2048");
    certificate(folder, "weak", "rsa:1024");
    certificate(folder, "large", "ec -pkeyopt ec_paramgen_curve:P-521");
    let trusting = |name: &str| Tls { ca: Some(folder.join(format!("{name}.pem"))), ..Tls::default() };
    let newest = Tls { min_version: Version::V1_3, ..trusting("rsa") };
    let oldest = Tls { max_version: Some(Version::V1_2), ..trusting("rsa") };
    let nothing =
        "finds nothing in common with this client (alert: handshake failure); offered are TLS 1.2 and TLS 1.3";
    for (name, options, tls, reason, text) in [
        (
            "rsa",
            "-tls1_1 -cipher DEFAULT@SECLEVEL=0",
            trusting("rsa"),
            Reason::Tls,
            "no version of TLS that is offered (TLS 1.2 and TLS 1.3)",
        ),
        (
            "rsa",
            "-tls1_2",
            newest,
            Reason::Tls,
            "offered (TLS 1.3): enable it on the server, or set `tls.min_version: 1.2`",
        ),
        (
            "rsa",
            "-tls1_3",
            oldest,
            Reason::Tls,
            "offered (TLS 1.2): enable it on the server, or remove `tls.max_version`",
        ),
        ("rsa", "-tls1_2 -cipher AES256-SHA256", trusting("rsa"), Reason::Tls, nothing),
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA256", trusting("rsa"), Reason::Tls, nothing),
        ("large", "", trusting("large"), Reason::Tls, nothing),
        (
            "weak",
            "-cipher DEFAULT@SECLEVEL=0",
            trusting("weak"),
            Reason::Certificate,
            "has 1024 bits, which is too short",
        ),
        ("rsa", "", trusting("weak"), Reason::Certificate, "self-signed"),
        (
            "rsa",
            "-tls1_2 -Verify 1 -verify_return_error",
            trusting("rsa"),
            Reason::Auth,
            "set `tls.cert` and `tls.key`",
        ),
    ] {
        let server = s_server(folder, name, options).await;
        let failure = refusal(&tls, server.1).await;
        assert_eq!(failure.reason, reason, "{name} {options}: {failure}");
        assert!(failure.detail.contains(text), "{name} {options}: {failure}");
    }
    // The weak key itself can't sign a handshake, even if the certificate need not be trusted.
    let server = s_server(folder, "weak", "-cipher DEFAULT@SECLEVEL=0").await;
    let failure = refusal(&Tls { insecure_skip_verify: true, ..Tls::default() }, server.1).await;
    assert!(failure.detail.contains("1024"), "{failure}");
    // A self-signed certificate that is trusted is accepted, as by curl.
    let server = s_server(folder, "rsa", "-www").await;
    let cache = Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default()));
    let stream = TcpStream::connect(("127.0.0.1", server.1)).await.unwrap();
    trusting("rsa").handshake(stream, "localhost", &[], &cache).await.stream.unwrap();
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-s", "--fail", "-o", "/dev/null", "--cacert", "rsa.pem"]).current_dir(folder);
    let output = curl.arg(format!("https://localhost:{}/", server.1)).output().await.unwrap();
    assert!(output.status.success(), "curl: {output:?}");
}

/// A server with a certificate and a key that do not belong together.
#[derive(Debug)]
struct Mismatched(Arc<CertifiedKey>);

impl ResolvesServerCert for Mismatched {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_certificate_of_another_key_and_a_missing_protocol_are_described() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority("a"));
    let (pem, _) = authority.sign(|_| {});
    let (_, key) = authority.sign(|_| {});
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
    let pair = CertifiedKey::new(vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()], key);
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mismatched = builder.with_cert_resolver(Arc::new(Mismatched(Arc::new(pair))));
    let tls = authority.trusted_in(folder.path());
    let failure = refusal(&tls, serve(mismatched).await.port()).await;
    assert_eq!(failure.reason, Reason::Certificate, "{failure}");
    assert!(failure.detail.contains("can't prove that it has the private key"), "{failure}");

    let mut demanding = authority.server(|_| {});
    demanding.alpn_protocols = vec![b"h2".to_vec()];
    let cache = Arc::new(Cache::new(Arc::new(tokio::sync::Semaphore::new(4)), Arc::default()));
    let stream = TcpStream::connect(serve(demanding).await).await.unwrap();
    let failure = tls.handshake(stream, "localhost", &[b"http/1.1"], &cache).await.stream.unwrap_err();
    assert!(failure.detail.contains("requires an application protocol (ALPN)"), "{failure}");
}
