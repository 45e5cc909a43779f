//! Facts about presented certificates: whose they are, for which names, until when, and whether they are trusted.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::Error;
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Presented, failure::distrust};
use crate::model::metric::{CERTIFICATE_NOT_AFTER, Sample};

/// The certificates that a server presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// The server's own.
    pub leaf: Certificate,
    /// The others that came with it, in their order.
    pub issuers: Vec<Certificate>,
    /// Why they are not trusted; `None` if they are.
    pub distrust: Option<String>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

impl Certificates {
    /// Reads what was presented; `None` if the server's own certificate can't be read. Issuers that can't be read
    /// are left out.
    #[must_use]
    pub fn of(presented: &Presented) -> Option<Self> {
        let mut all = presented.chain.iter().map(|der| Certificate::of(der));
        let leaf = all.next()??;
        let distrust = presented.distrust.as_ref().map(|error| match error {
            Error::InvalidCertificate(error) => distrust(error),
            error => error.to_string(),
        });
        Some(Self { leaf, issuers: all.flatten().collect(), distrust })
    }

    /// The issuer certificate that ends first.
    #[must_use]
    pub fn first_issuer_to_end(&self) -> Option<&Certificate> {
        self.issuers.iter().min_by_key(|certificate| certificate.not_after)
    }

    /// Until when they are valid, as samples.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let verified = if self.distrust.is_none() { "true" } else { "false" };
        let sample = |position: &'static str, certificate: &Certificate| {
            let end = certificate.not_after.as_duration().as_secs_f64();
            Sample::new(&CERTIFICATE_NOT_AFTER, [position.into(), verified.into()], end)
        };
        let issuer = self.first_issuer_to_end().map(|issuer| sample("issuer", issuer));
        std::iter::once(sample("leaf", &self.leaf)).chain(issuer).collect()
    }
}

impl Certificate {
    fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|found| found.value.general_names.iter().filter_map(name).collect());
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        })
    }

    /// Whether it is for a name or an address. `*.a.example` covers one label, as in `b.a.example`; a wildcard that
    /// is asked for must stand in the certificate as it is.
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

fn name(name: &GeneralName<'_>) -> Option<String> {
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
            assert_eq!(Certificates::of(&Presented { chain, distrust: None }), None);
        }
    }
}
