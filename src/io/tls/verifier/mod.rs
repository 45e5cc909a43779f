//! Verifies the certificates of a server and records them. A refused certificate is a fact, too: its expiry time must
//! not be lost with the connection.
//!
//! The verification returns the path that it used: the issuers between the certificate of the server and a trusted
//! authority, and the authority itself. Other certificates that the server sends have no effect. As in OpenSSL, curl
//! and Go, the validity of the authority counts, and a certificate that is itself configured as an authority is
//! trusted.

mod authorities;
mod chain;
mod distrust;
#[cfg(test)]
mod tests;
mod words;

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

pub(super) use self::authorities::Authorities;
pub use self::distrust::Distrust;
pub(super) use self::words::describe_certificate_error;
use self::{authorities::is_valid_at, distrust::Situation, words::KeyProofError};
use super::certificate::Certificate;

/// Certificates that a server presented, and the result of their verification.
#[derive(Debug, Clone)]
pub struct Presented {
    /// Certificates in the order of the server, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The path that the verification used; `None` if there is no path to a trusted authority.
    pub path: Option<TrustedPath>,
    /// Reason why the certificate is not accepted; `None` if it is accepted.
    pub distrust: Option<Distrust>,
    /// Negotiated version of TLS; `None` if the handshake failed.
    pub version: Option<&'static str>,
}

/// Path from the certificate of a server to a trusted authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedPath {
    /// Issuers that the server sent, beginning with the issuer of its certificate.
    pub issuers: Vec<CertificateDer<'static>>,
    /// The trusted authority. `None` if the certificate of the server is itself configured as trusted.
    pub authority: Option<Arc<Certificate>>,
}

/// Verifier with a set of trusted authorities.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    authorities: Arc<Authorities>,
    provider: Arc<CryptoProvider>,
    lenient: bool,
}

/// A [`ServerVerifier`] for one handshake that records the presented certificates.
#[derive(Debug)]
pub(super) struct RecordingVerifier {
    verifier: Arc<ServerVerifier>,
    seen: OnceLock<Presented>,
}

impl ServerVerifier {
    /// Creates a verifier that trusts the given authorities. A lenient one accepts every certificate.
    pub(super) fn new(authorities: Arc<Authorities>, provider: Arc<CryptoProvider>, lenient: bool) -> Self {
        Self { authorities, provider, lenient }
    }

    /// Verifies a certificate: the path to an authority first, then the name. So a distrust of the name means that a
    /// path was found.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> (Option<TrustedPath>, Option<Distrust>) {
        let issuers = match chain::distinct_issuers(sent) {
            Ok(issuers) => issuers,
            Err(distrust) => return (None, Some(distrust)),
        };
        let situation = Situation::new(leaf, &issuers, &self.authorities);
        let Some(own) = situation.leaf() else { return (None, Some(Distrust::unreadable())) };
        let pinned = self.authorities.contains(own);
        let path = if pinned {
            situation.find_fault(own, timestamp(now)).map_or_else(|| Ok(TrustedPath::default()), Err)
        } else {
            self.find_path(leaf, &issuers, now, &situation)
        };
        let path = match path {
            Ok(path) => path,
            Err(distrust) => return (None, Some(distrust)),
        };
        if let Some(unfit) = situation.weak_key(own).or_else(|| situation.unfit_key_usage()) {
            return (None, Some(unfit));
        }
        let named = EndEntityCert::try_from(leaf).and_then(|leaf| leaf.verify_is_valid_for_subject_name(name));
        let distrust = named.err().map(|error| situation.distrust(&error, Some(name)));
        (Some(path), distrust)
    }

    fn find_path(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
        situation: &Situation<'_>,
    ) -> Result<TrustedPath, Distrust> {
        let end = EndEntityCert::try_from(leaf).map_err(|error| situation.distrust(&error, None))?;
        // The library ignores the validity of authorities and the key usage of issuers. A path with such a fault is
        // refused, and the search goes on.
        let fault = Mutex::new(None);
        let is_faultless = |path: &VerifiedPath<'_>| match self.find_path_fault(path, timestamp(now)) {
            Some(found) => {
                fault.lock().get_or_insert(found);
                Err(webpki::Error::UnknownIssuer)
            }
            None => Ok(()),
        };
        let found = end.verify_for_usage(
            self.provider.signature_verification_algorithms.all,
            self.authorities.anchors(),
            issuers,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&is_faultless),
        );
        match found {
            Ok(path) => Ok(TrustedPath {
                issuers: path.intermediate_certificates().map(|issuer| issuer.der().into_owned()).collect(),
                authority: self.authorities.certificate_of(path.anchor()).cloned(),
            }),
            Err(error) => Err(fault.into_inner().unwrap_or_else(|| situation.distrust(&error, None))),
        }
    }

    fn find_path_fault(&self, path: &VerifiedPath<'_>, now: Timestamp) -> Option<Distrust> {
        let authority = self.authorities.certificate_of(path.anchor())?;
        if !is_valid_at(authority, now) {
            return Some(Distrust::of_authority(authority, now));
        }
        if !authority.can_sign_certificates {
            return Some(Distrust::of_issuer(authority));
        }
        let unfit = path.intermediate_certificates().find(|issuer| !Certificate::may_sign(&issuer.der()))?;
        Some(
            Certificate::from_der(&unfit.der())
                .map_or_else(Distrust::unreadable, |issuer| Distrust::of_issuer(&issuer)),
        )
    }

    fn accept_unless(&self, distrust: Option<&Distrust>) -> Result<ServerCertVerified, Error> {
        match distrust {
            Some(distrust) if !self.lenient => Err(distrust.error()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }
}

fn timestamp(now: UnixTime) -> Timestamp {
    i64::try_from(now.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

impl RecordingVerifier {
    pub(super) fn new(verifier: Arc<ServerVerifier>) -> Self {
        Self { verifier, seen: OnceLock::new() }
    }

    pub(super) fn presented(&self) -> Option<Presented> {
        self.seen.get().cloned()
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.accept_unless(self.verify(leaf, chain, name, now).1.as_ref())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
            .map_err(|error| explain_key_proof(certificate, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
            .map_err(|error| explain_key_proof(certificate, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Distinguishes a wrong signature of the handshake from a wrong signature of a certificate.
fn explain_key_proof(certificate: &CertificateDer<'_>, error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            let key = Certificate::from_der(certificate).map(|certificate| certificate.key);
            KeyProofError::new(key.as_deref()).into()
        }
        error => error,
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Stapled OCSP responses are ignored.
        let (path, distrust) = self.verifier.verify(leaf, chain, name, now);
        let accepted = self.verifier.accept_unless(distrust.as_ref());
        let all = std::iter::once(leaf).chain(chain).map(|der| der.clone().into_owned()).collect();
        let _ = self.seen.set(Presented { chain: all, path, distrust, version: None });
        accepted
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
