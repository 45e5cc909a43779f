//! Facts about presented certificates: subject, names, validity, trust.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::Error;
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Presented, failure::describe_distrust};
use crate::model::metric::{CERTIFICATE_NOT_AFTER, Sample};

/// Certificates that a server presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// Certificate of the server.
    pub leaf: Certificate,
    /// Further certificates of the chain, in the order of the server.
    pub issuers: Vec<Certificate>,
    /// Reason why the chain is not trusted; `None` if it is trusted.
    pub distrust: Option<String>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Distinguished name of the holder.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Names and addresses that the certificate covers.
    pub names: Vec<String>,
    /// Start of the validity.
    pub not_before: Timestamp,
    /// End of the validity.
    pub not_after: Timestamp,
}

impl Certificates {
    /// Parses the presented certificates; `None` if the certificate of the server is unreadable. Unreadable issuers are
    /// left out.
    #[must_use]
    pub fn from_presented(presented: &Presented) -> Option<Self> {
        let mut all = presented.chain.iter().map(|der| Certificate::from_der(der));
        let leaf = all.next()??;
        let distrust = presented.distrust.as_ref().map(|error| match error {
            Error::InvalidCertificate(error) => describe_distrust(error),
            error => error.to_string(),
        });
        Some(Self { leaf, issuers: all.flatten().collect(), distrust })
    }

    /// Issuer certificate that expires first.
    #[must_use]
    pub fn first_expiring_issuer(&self) -> Option<&Certificate> {
        self.issuers.iter().min_by_key(|certificate| certificate.not_after)
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
    fn from_der(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|found| found.value.general_names.iter().filter_map(alternative_name).collect());
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        })
    }

    /// Whether the certificate covers a name or an address. `*.a.example` covers one label, as in `b.a.example`. A
    /// wildcard as the argument must be in the certificate literally.
    #[must_use]
    pub fn covers(&self, wanted: &str) -> bool {
        let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
        if let Ok(wanted) = wanted.parse::<IpAddr>() {
            return self.names.iter().any(|name| name.parse() == Ok(wanted));
        }
        self.names.iter().any(|name| {
            let wildcard = name.strip_prefix("*.").zip(wanted.split_once('.'));
            name.eq_ignore_ascii_case(wanted)
                || wildcard.is_some_and(|(parent, (first, rest))| first != "*" && rest.eq_ignore_ascii_case(parent))
        })
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label_and_nothing_else() {
        let certificate = Certificate {
            subject: String::new(),
            issuer: String::new(),
            names: ["a.example", "*.b.example", "10.0.0.1", "::1"].map(str::to_owned).to_vec(),
            not_before: Timestamp::MIN,
            not_after: Timestamp::MAX,
        };
        let cases = [
            ("a.example", true),
            ("A.Example.", true),
            ("x.b.example", true),
            ("*.b.example", true),
            ("10.0.0.1", true),
            ("0:0:0:0:0:0:0:1", true),
            ("b.example", false),
            ("x.y.b.example", false),
            ("*.a.example", false),
            ("10.0.0.2", false),
            ("x.a.example", false),
        ];
        for (name, covered) in cases {
            assert_eq!(certificate.covers(name), covered, "{name}");
        }
    }

    #[test]
    fn what_is_no_certificate_gives_no_facts() {
        for chain in [vec![], vec![b"garbage".to_vec().into()]] {
            assert_eq!(Certificates::from_presented(&Presented { chain, distrust: None }), None);
        }
    }
}
