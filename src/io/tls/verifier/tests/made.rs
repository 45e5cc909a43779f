//! Certificates for the tests of verification.

use std::{path::Path, process::Command};

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// An authority with its key. Its certificate may be issued again with another validity or another issuer.
pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    pub(super) fn root(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::make(name, &KeyPair::generate().unwrap(), None, change)
    }

    pub(super) fn with_key(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        Self::make(name, &KeyPair::generate_for(algorithm).unwrap(), None, |_| {})
    }

    pub(super) fn under(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::make(name, &KeyPair::generate().unwrap(), Some(self), change)
    }

    /// The same authority in another certificate: self-signed, or signed by another authority.
    pub(super) fn again(&self, parent: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let name = self.params.distinguished_name.get(&DnType::CommonName).unwrap();
        let rcgen::DnValue::Utf8String(name) = name else { panic!("{name:?}") };
        Self::make(name, &self.key, parent, change)
    }

    fn make(name: &str, key: &KeyPair, parent: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        valid(&mut params, -100, 1_000);
        change(&mut params);
        let signed = match parent {
            Some(parent) => params.signed_by(key, &parent.issuer()),
            None => params.self_signed(key),
        };
        let key = copy_of(key);
        Self { der: signed.unwrap().der().clone(), params, key }
    }

    fn issuer(&self) -> Issuer<'static, KeyPair> {
        Issuer::new(self.params.clone(), copy_of(&self.key))
    }

    /// A certificate for `localhost`, changed as wished.
    pub(super) fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        self.leaf_with(&KeyPair::generate().unwrap(), change)
    }

    pub(super) fn leaf_with(
        &self,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        leaf_params(change).signed_by(key, &self.issuer()).unwrap().der().clone()
    }

    /// Writes the certificate and the key for OpenSSL.
    pub(super) fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), pem(&self.der)).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), self.key.serialize_pem()).unwrap();
    }
}

pub(super) fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    leaf_params(change).self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn leaf_params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    valid(&mut params, -30, 90);
    change(&mut params);
    params
}

fn copy_of(key: &KeyPair) -> KeyPair {
    KeyPair::from_pkcs8_pem_and_sign_algo(&key.serialize_pem(), key.algorithm()).unwrap()
}

/// Sets the validity in days from now.
pub(super) fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let date = |days: i64| std::time::SystemTime::from(Timestamp::now() + SignedDuration::from_hours(days * 24)).into();
    (params.not_before, params.not_after) = (date(from), date(until));
}

pub(super) fn pem(der: &CertificateDer<'_>) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

pub(super) fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(super) fn read(folder: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(folder.join(name)).unwrap()
}
