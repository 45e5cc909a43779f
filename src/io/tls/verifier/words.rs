//! Descriptions of errors of certificates that need no other certificate.

use std::{fmt, sync::Arc};

use rustls::{CertificateError, Error, OtherError};
use webpki::Error as PathError;

use crate::{
    io::tls::certificate::{Certificate, key::MIN_RSA_BITS},
    model::text::bounded_name,
};

pub(super) const NOT_FOR_SERVERS: &str =
    "the certificate is not made for servers: issue it with the extended key usage `serverAuth`";
pub(super) const KEY_NOT_FOR_TLS: &str =
    "the key usage of the certificate does not allow TLS: issue it with the key usage `digitalSignature`";
pub(super) const RENEWED_AUTHORITY: &str =
    "the certificate's issuer has the name of a trusted authority but another key; was the authority renewed?";
pub(super) const RENEWED_SELF_SIGNED: &str = "the certificate is self-signed with another key than the trusted certificate of the \
                                   same name; was it renewed? Then replace it in `tls.ca`";
pub(super) const CA_AS_SERVER: &str = "the server uses a certificate authority's own certificate; give it a certificate of its \
                            own, or name this certificate in `tls.ca`";

pub(super) fn weak_key_text(certificate: &Certificate, bits: usize) -> String {
    format!(
        "the RSA key of {} has {bits} bits, which is too short to be safe: use a key with at least {MIN_RSA_BITS} bits",
        bounded_name(certificate.holder())
    )
}

/// Describes an error of the library for certificates that needs no details of the certificate.
pub(super) fn describe_path_error(error: &PathError) -> &'static str {
    match error {
        PathError::EndEntityUsedAsCa => {
            "a certificate of the chain was issued by a certificate that is not an authority (no basicConstraints \
             CA:TRUE): issue it by an authority"
        }
        PathError::PathLenConstraintViolated | PathError::MaximumPathDepthExceeded => {
            "the chain has more issuers than one of its authorities allows (path length constraint): issue the \
             certificate by a higher authority"
        }
        PathError::NameConstraintViolation => {
            "an authority of the chain must not issue certificates for this name (name constraints): issue the \
             certificate by another authority"
        }
        PathError::UnsupportedCertVersion => {
            "a certificate has the outdated format X.509 version 1, which has no subject alternative names: issue it as \
             version 3"
        }
        PathError::UnsupportedCriticalExtension => {
            "a certificate has a critical extension that this program does not know: issue it without this extension"
        }
        PathError::InvalidCertValidity => "the validity of a certificate ends before it begins: issue it again",
        PathError::CertDistrusted => "the authority is known to be compromised: use a certificate of another authority",
        PathError::MaximumNameConstraintComparisonsExceeded
        | PathError::MaximumPathBuildCallsExceeded
        | PathError::MaximumSignatureChecksExceeded => {
            "the chain takes too much work to verify: let the server send each certificate of its chain once"
        }
        PathError::SignatureAlgorithmMismatch => {
            "a certificate contradicts itself about its signature algorithm: issue it again"
        }
        PathError::MalformedNameConstraint | PathError::InvalidNetworkMaskConstraint => {
            "an authority of the chain has malformed name constraints: issue the authority again"
        }
        PathError::InvalidSerialNumber => "a certificate has an invalid serial number: issue it again",
        PathError::MalformedDnsIdentifier
        | PathError::MalformedExtensions
        | PathError::ExtensionValueInvalid
        | PathError::UnsupportedNameType => "a certificate has a malformed extension: issue it again",
        _ => "the certificate can't be verified: issue it again with usual extensions and algorithms",
    }
}

/// Describes an error of the TLS library about a certificate, where no `Distrust` is at hand.
pub(in crate::io::tls) fn describe_certificate_error(error: &CertificateError) -> String {
    if let CertificateError::Other(OtherError(why)) = error {
        return match why.downcast_ref::<PathError>() {
            Some(error) => describe_path_error(error).to_owned(),
            None => why.to_string(),
        };
    }
    let text = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired: renew it",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet; is the clock right?"
        }
        CertificateError::UnknownIssuer => {
            "the certificate's issuer is not trusted: let the server send its whole chain, or name the authority in \
             `tls.ca`"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        CertificateError::Revoked => "the certificate is revoked: issue a new one",
        CertificateError::BadSignature => RENEWED_AUTHORITY,
        CertificateError::BadEncoding => "the certificate can't be read: issue it again",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => NOT_FOR_SERVERS,
        CertificateError::UnhandledCriticalExtension => describe_path_error(&PathError::UnsupportedCriticalExtension),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the key of the certificate is of a kind that this program does not support: use RSA from 2048 bits, ECDSA \
             with P-256 or P-384, or Ed25519"
        }
        _ => describe_path_error(&PathError::UnknownRevocationStatus),
    };
    text.to_owned()
}

/// Failure of a server to prove that it has the private key of its certificate.
#[derive(Debug)]
pub(super) struct KeyProofError {
    /// Description of a weak key.
    key: Option<String>,
}

impl KeyProofError {
    /// `key` describes the key of the certificate.
    pub(super) fn new(key: Option<&str>) -> Self {
        let bits = key.and_then(|key| key.strip_prefix("RSA ")).and_then(|bits| bits.parse::<usize>().ok());
        Self { key: key.filter(|_| bits.is_some_and(|bits| bits < MIN_RSA_BITS)).map(str::to_owned) }
    }
}

impl fmt::Display for KeyProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(
                f,
                "the key of the certificate ({key}) is too short to be safe: use a key with at least {MIN_RSA_BITS} bits"
            ),
            None => f.write_str(
                "the server can't prove that it has the private key of its certificate: install the key that belongs \
                 to the certificate",
            ),
        }
    }
}

impl std::error::Error for KeyProofError {}

impl From<KeyProofError> for Error {
    fn from(error: KeyProofError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}
