//! Reasons why a certificate is not accepted, in words with a remedy.

use std::cell::OnceCell;

use jiff::Timestamp;
use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use webpki::Error as PathError;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Authorities, is_valid_at,
    words::{
        CA_AS_SERVER, KEY_NOT_FOR_TLS, NOT_FOR_SERVERS, RENEWED_AUTHORITY, RENEWED_SELF_SIGNED, describe_path_error,
        weak_key_text,
    },
};
use crate::{
    io::tls::{
        certificate::{Certificate, follow_names, format_date, key::MIN_RSA_BITS},
        meaning::distrust_meaning,
    },
    model::text::bounded_name,
};

/// Reason why a certificate is not accepted.
#[derive(Debug, Clone)]
pub struct Distrust {
    /// Error for the TLS library, which selects the alert for the server.
    error: CertificateError,
    text: String,
}

impl Distrust {
    pub(super) fn new(error: CertificateError, text: impl Into<String>) -> Self {
        Self { error, text: text.into() }
    }

    /// The reason as one of a few clauses, for alerts.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        distrust_meaning(&self.error)
    }

    pub(super) fn unreadable() -> Self {
        Self::new(CertificateError::BadEncoding, "the certificate can't be read: issue it again")
    }

    /// The distrust of a path that ends with an authority outside its validity.
    pub(super) fn of_authority(authority: &Certificate, now: Timestamp) -> Self {
        let name = holder(authority);
        if authority.not_after < now {
            let text = format!(
                "the trusted authority {name} expired on {}: replace it in `tls.ca` or in the certificates of the \
                 system, and let it issue the certificate again",
                format_date(authority.not_after)
            );
            Self::new(CertificateError::Expired, text)
        } else {
            let date = format_date(authority.not_before);
            let text = format!("the trusted authority {name} is not valid before {date}; is the clock right?");
            Self::new(CertificateError::NotValidYet, text)
        }
    }

    /// The distrust of an issuer that must not sign certificates.
    pub(super) fn of_issuer(issuer: &Certificate) -> Self {
        let text = format!(
            "the issuer {} must not sign certificates (its key usage has no `keyCertSign`): issue the certificate by \
             another authority",
            holder(issuer)
        );
        Self::new(CertificateError::ApplicationVerificationFailure, text)
    }

    /// Description with a remedy.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the certificate has a trusted path and is for another name.
    #[must_use]
    pub fn is_name_mismatch(&self) -> bool {
        self.error == CertificateError::NotValidForName
    }

    pub(in crate::io::tls) fn error(&self) -> Error {
        Error::InvalidCertificate(self.error.clone())
    }
}

/// Certificates of a server and the trusted authorities, for the description of an error.
pub(super) struct Situation<'a> {
    leaf: Option<Certificate>,
    /// Readable issuers. They are parsed only for a description.
    issuers: OnceCell<Vec<Certificate>>,
    issuer_ders: &'a [CertificateDer<'a>],
    leaf_der: &'a CertificateDer<'a>,
    authorities: &'a Authorities,
}

impl<'a> Situation<'a> {
    pub(super) fn new(
        leaf: &'a CertificateDer<'a>,
        issuers: &'a [CertificateDer<'a>],
        authorities: &'a Authorities,
    ) -> Self {
        Self {
            leaf: Certificate::from_der(leaf),
            issuers: OnceCell::new(),
            issuer_ders: issuers,
            leaf_der: leaf,
            authorities,
        }
    }

    pub(super) fn leaf(&self) -> Option<&Certificate> {
        self.leaf.as_ref()
    }

    fn issuers(&self) -> &[Certificate] {
        self.issuers.get_or_init(|| self.issuer_ders.iter().filter_map(|der| Certificate::from_der(der)).collect())
    }

    /// A fault of a certificate that needs no issuer, because it is itself configured as trusted.
    pub(super) fn find_fault(&self, own: &Certificate, now: Timestamp) -> Option<Distrust> {
        if !is_valid_at(own, now) {
            let time = |at: Timestamp| {
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().try_into().unwrap_or(0)))
            };
            let error = if own.not_after < now {
                PathError::CertExpired { time: time(now), not_after: time(own.not_after) }
            } else {
                PathError::CertNotValidYet { time: time(now), not_before: time(own.not_before) }
            };
            return Some(self.distrust(&error, None));
        }
        let (_, parsed) = X509Certificate::from_der(self.leaf_der).ok()?;
        let usage = parsed.extended_key_usage().ok().flatten()?;
        (!usage.value.server_auth).then(|| Distrust::new(CertificateError::InvalidPurpose, NOT_FOR_SERVERS))
    }

    /// The distrust of a key that must not be used for TLS. As in OpenSSL, one of the usages of TLS is sufficient.
    pub(super) fn unfit_key_usage(&self) -> Option<Distrust> {
        let (_, parsed) = X509Certificate::from_der(self.leaf_der).ok()?;
        let usage = parsed.key_usage().ok().flatten()?.value;
        let fits = usage.digital_signature() || usage.key_encipherment() || usage.key_agreement();
        (!fits).then(|| Distrust::new(CertificateError::InvalidPurpose, KEY_NOT_FOR_TLS))
    }

    /// The distrust of a key that is too short, although its certificate has a trusted path.
    pub(super) fn weak_key(&self, certificate: &Certificate) -> Option<Distrust> {
        let bits = certificate.rsa_bits.filter(|bits| *bits < MIN_RSA_BITS)?;
        Some(Distrust::new(CertificateError::ApplicationVerificationFailure, weak_key_text(certificate, bits)))
    }

    /// Describes an error of the search for a path or of the comparison of names.
    pub(super) fn distrust(&self, error: &PathError, name: Option<&ServerName<'_>>) -> Distrust {
        use CertificateError as Kind;
        let other = Kind::ApplicationVerificationFailure;
        let at = |time: &UnixTime| timestamp_of(*time);
        match error {
            PathError::CertExpired { not_after, .. } => {
                let (who, remedy) = self.named(|one| one.not_after == at(not_after));
                Distrust::new(Kind::Expired, format!("{who} expired on {}: {remedy}", format_date(at(not_after))))
            }
            PathError::CertNotValidYet { not_before, .. } => {
                let (who, _) = self.named(|one| one.not_before == at(not_before));
                let date = format_date(at(not_before));
                Distrust::new(Kind::NotValidYet, format!("{who} is not valid before {date}; is the clock right?"))
            }
            PathError::UnknownIssuer => Distrust::new(Kind::UnknownIssuer, self.unknown_issuer_text()),
            PathError::CertNotValidForName(_) => Distrust::new(Kind::NotValidForName, self.other_name_text(name)),
            PathError::InvalidSignatureForPublicKey => match self.weak_issuer() {
                Some(text) => Distrust::new(other, text),
                None if self.leaf.as_ref().is_some_and(Certificate::is_self_issued) => {
                    Distrust::new(Kind::BadSignature, RENEWED_SELF_SIGNED)
                }
                None => Distrust::new(Kind::BadSignature, RENEWED_AUTHORITY),
            },
            PathError::UnsupportedSignatureAlgorithmContext(_)
            | PathError::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                Distrust::new(other, self.unsupported_algorithm_text())
            }
            // `openssl req -x509` makes a self-signed certificate that is an authority, too.
            PathError::CaUsedAsEndEntity if self.leaf.as_ref().is_some_and(Certificate::is_self_issued) => {
                Distrust::new(Kind::UnknownIssuer, self.unknown_issuer_text())
            }
            PathError::CaUsedAsEndEntity => Distrust::new(other, CA_AS_SERVER),
            PathError::RequiredEkuNotFoundContext(_) | PathError::EmptyEkuExtension => {
                Distrust::new(Kind::InvalidPurpose, NOT_FOR_SERVERS)
            }
            PathError::BadDer | PathError::BadDerTime | PathError::TrailingData(_) => Distrust::unreadable(),
            error => Distrust::new(other, describe_path_error(error)),
        }
    }

    /// The subject of a sentence about the certificate that meets a condition, and the remedy.
    fn named(&self, condition: impl Fn(&Certificate) -> bool) -> (String, &'static str) {
        let issuer = || self.issuers().iter().find(|issuer| condition(issuer));
        match (&self.leaf, issuer()) {
            (Some(leaf), Some(issuer)) if !condition(leaf) => (
                format!("the certificate of the issuer {}", holder(issuer)),
                "install the current certificate of this issuer on the server",
            ),
            _ => ("the certificate".to_owned(), "renew it, and reload the server"),
        }
    }

    fn unknown_issuer_text(&self) -> String {
        let Some(leaf) = &self.leaf else { return "the certificate can't be read".to_owned() };
        if leaf.is_self_issued() {
            return "the certificate is self-signed, so its issuer is not trusted: name this certificate in `tls.ca`, \
                    or give the server a certificate of a trusted authority"
                .to_owned();
        }
        let last = follow_names(leaf, self.issuers()).last().copied().unwrap_or(leaf);
        if let Some(weak) = self.weak_issuer() {
            return weak;
        }
        if last.is_self_issued() {
            return format!(
                "the certificate's issuer is not trusted: the chain ends with the authority {}; name it in `tls.ca` if \
                 it may be trusted",
                holder(last)
            );
        }
        format!(
            "the certificate's issuer is not trusted: the server sends no certificate of {}, and no trusted authority \
             has this name; let the server send its whole chain, or name the authority in `tls.ca`",
            bounded_name(&*last.issuer)
        )
    }

    fn other_name_text(&self, name: Option<&ServerName<'_>>) -> String {
        let expected = name.map_or("the requested name".into(), ServerName::to_str);
        let Some(leaf) = &self.leaf else { return format!("the certificate is not for {expected}") };
        let all: Vec<String> =
            leaf.names.iter().map(bounded_name).chain(leaf.addresses.iter().map(ToString::to_string)).collect();
        if all.is_empty() {
            return format!(
                "the certificate is not for {expected} but for no name at all: issue it with a subject alternative \
                 name (subjectAltName); the common name is not a name of a server any more"
            );
        }
        if matches!(name, Some(ServerName::IpAddress(_))) && leaf.names.iter().any(|name| **name == *expected) {
            return format!(
                "the certificate contains {expected} as a DNS name and not as an IP address: issue it with \
                 subjectAltName `IP:{expected}`"
            );
        }
        let shown = all.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if all.len() > 5 { ", ..." } else { "" };
        format!(
            "the certificate is not for {expected} but for {shown}{more}: issue it for this name, or set \
             `tls.server_name`"
        )
    }

    /// Description of an issuer whose key is too short for a valid signature.
    fn weak_issuer(&self) -> Option<String> {
        let leaf = self.leaf.as_ref()?;
        let sent = follow_names(leaf, self.issuers());
        let last = sent.last().copied().unwrap_or(leaf);
        let authority = self.authorities.named(&last.issuer);
        let weak =
            |one: &Certificate| one.rsa_bits.filter(|bits| *bits < MIN_RSA_BITS).map(|bits| weak_key_text(one, bits));
        sent.into_iter().chain(authority).find_map(weak)
    }

    /// Description of the first certificate with a signature that this program does not verify.
    fn unsupported_algorithm_text(&self) -> String {
        if let Some(weak) = self.weak_issuer() {
            return weak;
        }
        let leaf = self.leaf.as_ref();
        let sent = leaf.map(|leaf| follow_names(leaf, self.issuers())).unwrap_or_default();
        let all: Vec<_> = leaf.into_iter().chain(sent).collect();
        if let Some(old) = all.iter().find(|one| one.has_broken_signature()) {
            return format!(
                "the certificate of {} is signed with {}, which can be forged: issue it again with SHA-256",
                holder(old),
                old.signature
            );
        }
        let last = all.last().map(|last| &*last.issuer).unwrap_or_default();
        let keys: Vec<&str> =
            all.iter().skip(1).copied().chain(self.authorities.named(last)).map(|issuer| &*issuer.key).collect();
        format!(
            "a certificate of the chain is signed in a way that this program does not support ({} by keys of the kind \
             {}): use RSA from 2048 bits, ECDSA with P-256 or P-384 and SHA-256 or SHA-384, or Ed25519",
            all.iter().map(|one| &*one.signature).collect::<Vec<_>>().join(", "),
            keys.join(", ")
        )
    }
}

fn holder(certificate: &Certificate) -> String {
    bounded_name(certificate.holder())
}

fn timestamp_of(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).ok();
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}
