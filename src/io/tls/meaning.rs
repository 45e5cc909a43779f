//! The error of a certificate as one of a few clauses for alerts.

use rustls::CertificateError;

/// Explains why a certificate is not accepted, without names and dates. Every clause starts with "the certificate".
#[must_use]
pub(crate) fn distrust_meaning(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::UnknownIssuer => "the certificate is self-signed or issued by an unknown authority",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => WRONG_NAME,
        CertificateError::Revoked => "the certificate is revoked",
        CertificateError::BadSignature => "the certificate is not signed by the authority that it names",
        CertificateError::BadEncoding => "the certificate cannot be parsed",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not issued for servers"
        }
        _ => DISTRUSTED,
    }
}

/// Meaning of a certificate for another name.
const WRONG_NAME: &str = "the certificate is for another name";
/// Meaning of any other certificate that is not trusted.
pub(crate) const DISTRUSTED: &str = "the certificate is not trusted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_meaning_is_a_clause_about_the_certificate() {
        for (error, meaning) in [
            (CertificateError::Expired, "the certificate has expired"),
            (CertificateError::NotValidForName, WRONG_NAME),
            (CertificateError::UnknownIssuer, "the certificate is self-signed or issued by an unknown authority"),
            (CertificateError::ApplicationVerificationFailure, DISTRUSTED),
        ] {
            assert_eq!(distrust_meaning(&error), meaning);
            assert!(meaning.starts_with("the certificate "), "alerts insert the target after these words");
        }
    }
}
