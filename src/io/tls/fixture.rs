//! Certificate authorities and TLS servers for tests.

use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::Tls;

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub(crate) fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

impl Authority {
    /// A certificate for `localhost` and 127.0.0.1, changed as wished, with its key; both in PEM.
    pub(crate) fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server with such a certificate.
    pub(crate) fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let (certificate, key) = self.sign(change);
        let builder = builder().with_no_client_auth();
        builder.with_single_cert(vec![der(&certificate)], private(&key)).unwrap()
    }

    /// A server that requires a client certificate of this authority.
    pub(crate) fn server_for_known_clients(&self) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.pem)).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        let (certificate, key) = self.sign(|_| {});
        let builder = builder().with_client_cert_verifier(clients.build().unwrap());
        builder.with_single_cert(vec![der(&certificate)], private(&key)).unwrap()
    }

    /// Settings that trust this authority alone.
    pub(crate) fn trusted_in(&self, folder: &Path) -> Tls {
        let path = folder.join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        Tls { ca: Some(path), ..Tls::default() }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions().unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn private(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from(PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap())
}

/// Facts of a certificate, to be changed by a test.
pub(crate) fn facts() -> super::Certificate {
    super::Certificate {
        subject: "CN=a".to_owned(),
        issuer: "CN=ca".to_owned(),
        names: Vec::new(),
        addresses: Vec::new(),
        not_before: jiff::Timestamp::MIN,
        not_after: jiff::Timestamp::MAX,
        serial: "01".to_owned(),
        fingerprint_sha256: "00".repeat(32),
        key: "ECDSA P-256".to_owned(),
        signature: "SHA-256 and ECDSA".to_owned(),
        rsa_bits: None,
        can_sign_certificates: true,
    }
}
