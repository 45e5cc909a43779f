//! Verifies the certificates of a server and records them. A refused certificate is a fact, too: its expiry time must
//! not be lost with the connection.

mod chain;

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::model::{failure::Failure, words::Reason};

/// Certificates that a server presented, and the result of their verification.
#[derive(Debug, Clone)]
pub struct Presented {
    /// Certificates in the order of the server, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Error of the verification; `None` if the chain is trusted.
    pub distrust: Option<Error>,
}

/// Verifier with a set of trusted authorities.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    trusted: Option<Arc<WebPkiServerVerifier>>,
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
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        lenient: bool,
    ) -> Result<Self, Failure> {
        let trusted = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let trusted = trusted.map_err(|error| Failure::from_error(Reason::Tls, "no way to verify anyone", &error))?;
        Ok(Self { trusted: Some(trusted), provider, lenient })
    }

    /// Creates a lenient verifier without authorities.
    pub(super) fn trusting_nobody(provider: Arc<CryptoProvider>) -> Self {
        Self { trusted: None, provider, lenient: true }
    }

    fn verification_error(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Error> {
        match &self.trusted {
            // Stapled OCSP responses are ignored.
            Some(trusted) => match chain::distinct_issuers(chain) {
                Ok(chain) => trusted.verify_server_cert(leaf, &chain, name, &[], now).err(),
                Err(error) => Some(error),
            },
            None => Some(CertificateError::UnknownIssuer.into()),
        }
    }

    fn accept_unless(&self, distrust: Option<Error>) -> Result<ServerCertVerified, Error> {
        match distrust {
            Some(error) if !self.lenient => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }
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
        self.accept_unless(self.verification_error(leaf, chain, name, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
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
        let distrust = self.verifier.verification_error(leaf, chain, name, now);
        let all = std::iter::once(leaf).chain(chain).map(|der| der.clone().into_owned()).collect();
        let _ = self.seen.set(Presented { chain: all, distrust: distrust.clone() });
        self.verifier.accept_unless(distrust)
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
