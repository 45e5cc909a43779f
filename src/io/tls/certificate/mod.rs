//! Facts about presented certificates: subject, names, validity, key, trust.

pub(super) mod key;

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::Presented;
use crate::model::{
    metric::{CERTIFICATE_NOT_AFTER, Sample},
    text::to_hex,
};

/// Certificates that a server presented, with the path to a trusted authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// Certificate of the server.
    pub leaf: Certificate,
    /// Issuers on the path from the leaf certificate to the authority. If no authority is trusted, the issuers that
    /// follow by name.
    pub issuers: Vec<Certificate>,
    /// Trusted authority at the end of the path, from `tls.ca` or from the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<Arc<Certificate>>,
    /// Certificates that the server sends and that the path does not need.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<Certificate>,
    /// Reason why the chain is not trusted; `None` if it is trusted.
    pub distrust: Option<String>,
    /// The same reason as one of a few clauses, for alerts.
    #[serde(skip)]
    pub distrust_meaning: Option<&'static str>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Distinguished name of the holder.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// DNS names that the certificate covers.
    pub names: Vec<String>,
    /// IP addresses that the certificate covers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Start of the validity.
    pub not_before: Timestamp,
    /// End of the validity.
    pub not_after: Timestamp,
    /// Serial number in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the certificate in hexadecimal digits.
    pub fingerprint_sha256: String,
    /// Kind and length of the key, such as `RSA 2048`.
    pub key: String,
    /// Signature algorithm, such as `SHA-256 and RSA`.
    pub signature: String,
    /// Length of an RSA key.
    #[serde(skip)]
    pub rsa_bits: Option<usize>,
    /// Whether the key usage allows the key to sign certificates. Certificates without a key usage allow every use.
    #[serde(skip)]
    pub can_sign_certificates: bool,
}

/// Maximum number of unused certificates in the facts.
const MAX_UNUSED: usize = 10;
/// Maximum number of certificates that are parsed. A message has space for 200 small ones.
const MAX_PARSED: usize = 50;

impl Certificates {
    /// Parses the presented certificates; `None` if the certificate of the server is unreadable. Unreadable issuers are
    /// left out.
    #[must_use]
    pub fn from_presented(presented: &Presented) -> Option<Self> {
        let mut all = presented.chain.iter().take(MAX_PARSED).map(|der| Certificate::from_der(der));
        let leaf = all.next()??;
        let mut seen = HashSet::from([leaf.fingerprint_sha256.clone()]);
        let mut sent: Vec<_> = all.flatten().collect();
        sent.retain(|one| seen.insert(one.fingerprint_sha256.clone()));
        let (issuers, authority) = match &presented.path {
            Some(path) => (
                path.issuers.iter().filter_map(|der| Certificate::from_der(der)).collect::<Vec<_>>(),
                path.authority.clone(),
            ),
            None => (follow_names(&leaf, &sent).into_iter().cloned().collect(), None),
        };
        let used: Vec<_> = issuers.iter().chain(authority.as_deref()).map(|one| &one.fingerprint_sha256).collect();
        let is_unused = |one: &Certificate| !used.contains(&&one.fingerprint_sha256);
        let unused = sent.into_iter().filter(is_unused).take(MAX_UNUSED).collect();
        let distrust = presented.distrust.as_ref().map(|distrust| distrust.text().to_owned());
        let distrust_meaning = presented.distrust.as_ref().map(super::Distrust::meaning);
        Some(Self { leaf, issuers, authority, unused, distrust, distrust_meaning })
    }

    /// Issuer certificate that expires first, the trusted authority included.
    #[must_use]
    pub fn first_expiring_issuer(&self) -> Option<&Certificate> {
        self.issuers.iter().chain(self.authority.as_deref()).min_by_key(|certificate| certificate.not_after)
    }

    /// Expiry times as samples.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let verified = if self.distrust.is_none() { "true" } else { "false" };
        let sample = |position: &'static str, certificate: &Certificate| {
            let end = certificate.not_after.as_duration().as_secs_f64();
            Sample::new(&CERTIFICATE_NOT_AFTER, [position.into(), verified.into()], end)
        };
        let issuer = self.first_expiring_issuer().map(|issuer| sample("issuer", issuer));
        std::iter::once(sample("leaf", &self.leaf)).chain(issuer).collect()
    }
}

impl Certificate {
    /// Parses a certificate; `None` if it is unreadable.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let alternative = parsed.subject_alternative_name().ok().flatten();
        let alternative = alternative.map(|found| &found.value.general_names).into_iter().flatten();
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        for name in alternative {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => addresses.extend(ip_address(bytes)),
                _ => {}
            }
        }
        let usage = parsed.key_usage().ok().flatten();
        let (key, rsa_bits) = key::key_name(parsed.public_key());
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names,
            addresses,
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
            serial: to_hex(parsed.raw_serial()),
            fingerprint_sha256: to_hex(&Sha256::digest(der)),
            key,
            signature: key::signature_name(&parsed.signature_algorithm),
            rsa_bits,
            can_sign_certificates: usage.is_none_or(|usage| usage.value.key_cert_sign()),
        })
    }

    /// Whether the key usage of a certificate allows the key to sign certificates.
    pub(super) fn may_sign(der: &[u8]) -> bool {
        let parsed = X509Certificate::from_der(der);
        let usage = parsed.as_ref().ok().and_then(|(_, parsed)| parsed.key_usage().ok().flatten());
        usage.is_none_or(|usage| usage.value.key_cert_sign())
    }

    /// Whether the certificate covers a name or an address. `*.a.example` covers one label, as in `b.a.example`. A
    /// wildcard as the argument must be in the certificate literally. An address that is written as a DNS name is not
    /// covered, because no client accepts it.
    #[must_use]
    pub fn covers(&self, wanted: &str) -> bool {
        let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
        if let Ok(wanted) = wanted.parse::<IpAddr>() {
            return self.addresses.contains(&wanted);
        }
        self.names.iter().any(|name| {
            // A wildcard for a whole top-level domain covers nothing.
            let wildcard = name.strip_prefix("*.").filter(|parent| parent.contains('.')).zip(wanted.split_once('.'));
            name.eq_ignore_ascii_case(wanted)
                || wildcard.is_some_and(|(parent, (first, rest))| first != "*" && rest.eq_ignore_ascii_case(parent))
        })
    }

    /// First name, or the subject of a certificate without names.
    #[must_use]
    pub fn holder(&self) -> &str {
        let first = self.names.first().map(String::as_str);
        first.unwrap_or(if self.subject.is_empty() { "a nameless holder" } else { &self.subject })
    }

    /// Whether the certificate has the same subject and issuer, as self-signed certificates have.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether the signature uses a hash function for which collisions can be computed.
    pub(super) fn has_broken_signature(&self) -> bool {
        self.signature.starts_with("SHA-1 ") || self.signature.starts_with("MD5 ")
    }
}

/// Issuers that follow a certificate by name, without the certificate itself. If several have the same name, the one
/// that expires last is chosen.
pub(super) fn follow_names<'a>(leaf: &Certificate, sent: &'a [Certificate]) -> Vec<&'a Certificate> {
    let mut path: Vec<&Certificate> = Vec::new();
    let mut next = &leaf.issuer;
    let mut is_end = leaf.is_self_issued();
    while !is_end && path.len() < sent.len() {
        let found = sent
            .iter()
            .filter(|one| {
                one.subject == *next && !path.iter().any(|used| used.fingerprint_sha256 == one.fingerprint_sha256)
            })
            .max_by_key(|one| one.not_after);
        let Some(found) = found else { break };
        (next, is_end) = (&found.issuer, found.is_self_issued());
        path.push(found);
    }
    path
}

/// Formats a time of a certificate.
pub(super) fn format_date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label_and_nothing_else() {
        let certificate = Certificate {
            names: ["a.example", "*.b.example", "*.example", "10.0.0.3"].map(str::to_owned).to_vec(),
            addresses: ["10.0.0.1", "::1"].map(|address| address.parse().unwrap()).to_vec(),
            ..crate::io::tls::fixture::facts()
        };
        let cases = [
            ("a.example", true),
            ("A.Example.", true),
            ("x.b.example", true),
            ("*.b.example", true),
            ("10.0.0.1", true),
            ("0:0:0:0:0:0:0:1", true),
            ("b.example", false),
            ("c.example", false),
            ("x.y.b.example", false),
            ("*.a.example", false),
            ("10.0.0.2", false),
            ("10.0.0.3", false),
            ("x.a.example", false),
        ];
        for (name, covered) in cases {
            assert_eq!(certificate.covers(name), covered, "{name}");
        }
    }

    #[test]
    fn unreadable_certificates_give_no_facts() {
        for chain in [vec![], vec![b"garbage".to_vec().into()]] {
            let presented = Presented { chain, path: None, distrust: None, version: None };
            assert_eq!(Certificates::from_presented(&presented), None);
        }
    }
}
