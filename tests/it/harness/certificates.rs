//! Certificates of an authority of our own, good ones and others.

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority that nobody else trusts.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With the name of those that it signs it would look like one that vouches for itself.
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes the authority's own certificate.
    pub(crate) fn write(&self, path: &Path) {
        fs::write(path, &self.pem).unwrap();
    }

    /// Writes `server.pem` and `server.key`, good from a month ago until so many hours from now.
    pub(crate) fn certify(&self, folder: &Path, name: &str, hours: i64) {
        let key = KeyPair::generate().unwrap();
        let certificate = certificate_params(name, hours).signed_by(&key, &self.issuer).unwrap();
        write_pair(folder, &certificate.pem(), &key);
    }
}

/// Writes `server.pem` and `server.key`, which vouch for themselves.
pub(crate) fn self_signed(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    write_pair(folder, &certificate_params(name, 24 * 90).self_signed(&key).unwrap().pem(), &key);
}

fn certificate_params(name: &str, hours: i64) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let date = |hours: i64| {
        let at = Timestamp::now() + SignedDuration::from_hours(hours);
        std::time::SystemTime::from(at).into()
    };
    (params.not_before, params.not_after) = (date(-24 * 30), date(hours));
    params
}

fn write_pair(folder: &Path, pem: &str, key: &KeyPair) {
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("server.pem"), pem).unwrap();
}
