//! TLS servers that make a client's handshake as expensive as they can.

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384,
};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring::{default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::vitals::Vitals;
use crate::harness::daemon::{Daemon, Home};

/// An authority with a P-384 key, the type whose signatures take longest to verify.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

fn authority(name: &str, parent: Option<&Authority>) -> Authority {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = match parent {
        Some(parent) => params.signed_by(&key, &parent.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Authority { issuer: Issuer::new(params, key), certificate }
}

/// Does handshakes for ever on a free port; returns the port.
fn serve(
    host: &str,
    issuer: &Authority,
    chain: Vec<CertificateDer<'static>>,
    change: impl FnOnce(&mut CertificateParams),
) -> u16 {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), host.to_owned()]).unwrap();
    change(&mut params);
    let leaf = params.signed_by(&key, &issuer.issuer).unwrap().der().clone();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    // Not checked: a server may send what it likes.
    let certified = CertifiedKey::new([vec![leaf], chain].concat(), any_supported_type(&private).unwrap());
    let config = Arc::new(config.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified))));
    let listener = TcpListener::bind((host, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let mut connection = ServerConnection::new(config).unwrap();
                while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            });
        }
    });
    port
}

fn probe(name: &str, host: &str, port: u16, timeout: &str) -> String {
    format!(
        "  - name: {name}\n    tcp: {{address: \"{host}:{port}\", tls: {{ca: ca.pem}}}}\n    interval: {timeout}\n    timeout: {timeout}\n"
    )
}

/// How long the last run of a probe took.
pub(super) fn last_run(daemon: &Daemon, probe: &str) -> Option<Duration> {
    daemon.value(&format!("readiness_probe_duration_seconds{{probe=\"{probe}\"}}")).map(Duration::from_secs_f64)
}

#[test]
fn chains_that_take_long_to_verify_hold_up_neither_endpoints_nor_neighbours_nor_the_end() {
    let trusted = authority("root", None);
    let forger = authority("root", None);
    // Every one could have signed every other, and each path ends in a signature of the trusted authority's key.
    let forged: Vec<_> = (0..150).map(|_| authority("root", Some(&forger)).certificate.der().clone()).collect();
    let mut probes = vec![probe("neighbour", "127.0.0.1", serve("127.0.0.1", &trusted, Vec::new(), |_| {}), "2s")];
    for (host, length) in [("127.0.8.1", 3), ("127.0.8.2", 10), ("127.0.8.3", 150)] {
        let port = serve(host, &forger, forged[..length].to_vec(), |_| {});
        // The client of this kind connects by itself.
        probes.push(format!(
            "  - name: metrics{length}\n    metrics: {{url: \"https://{host}:{port}/metrics\", tls: {{ca: ca.pem}}}}\n    interval: 500ms\n    timeout: 500ms\n"
        ));
        probes.extend((0..34).map(|n| probe(&format!("hostile{length}-{n}"), host, port, "500ms")));
    }
    let home = Home::new(&probes.iter().map(String::as_str).collect::<Vec<_>>());
    home.write("ca.pem", trusted.certificate.pem());
    let daemon = home.serve();
    daemon.wait_for("neighbour/health", "pass");
    let vitals = Vitals::watch(&daemon);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(200));
        let neighbour = daemon.check("neighbour/health");
        assert_eq!(neighbour.status, "pass", "{neighbour:?}");
    }
    vitals.end().assert_alive("105 handshakes in each half second");
    let worst = (0..34).filter_map(|n| last_run(&daemon, &format!("hostile3-{n}"))).max().unwrap();
    println!("longest run {worst:?}, the neighbour's {:?}", last_run(&daemon, "neighbour"));
    assert!(worst < Duration::from_millis(800), "a run with a timeout of 500 ms took {worst:?}");
    daemon.wait_for("hostile10-0/health", "fail certificate");
    daemon.wait_for("metrics10/health", "fail certificate");
    let start = Instant::now();
    daemon.terminate();
    println!("it ended after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?} to end", start.elapsed());
}

#[test]
fn a_certificate_with_nested_values_as_deep_as_it_can_be_is_refused() {
    // Each level is a sequence with a length of four bytes; the whole handshake message takes 64 KiB at the most.
    const LEVELS: usize = 11_000;
    let mut nested = vec![0; LEVELS * 5];
    for level in 0..LEVELS {
        let length = u32::try_from((LEVELS - level - 1) * 5).unwrap().to_be_bytes();
        nested[level * 5..][..5].copy_from_slice(&[0x30, 0x83, length[1], length[2], length[3]]);
    }
    let trusted = authority("root", None);
    // Names for the subject and the issuer, constraints, policies, lists of revoked certificates, and an unknown one.
    let identifiers: [&[u64]; 6] =
        [&[2, 5, 29, 17], &[2, 5, 29, 18], &[2, 5, 29, 30], &[2, 5, 29, 32], &[2, 5, 29, 31], &[1, 2, 3, 4]];
    let mut probes = Vec::new();
    for (n, identifier) in identifiers.into_iter().enumerate() {
        let extension = CustomExtension::from_oid_content(identifier, nested.clone());
        let port = serve("127.0.0.1", &trusted, Vec::new(), |params| {
            params.subject_alt_names.clear();
            params.custom_extensions.push(extension);
        });
        probes.push(probe(&format!("nested{n}"), "127.0.0.1", port, "2s"));
    }
    let home = Home::new(&probes.iter().map(String::as_str).collect::<Vec<_>>());
    home.write("ca.pem", trusted.certificate.pem());
    let daemon = home.serve();
    for n in 0..probes.len() {
        daemon.wait_for(&format!("nested{n}/health"), "fail certificate");
    }
    daemon.terminate();
}
