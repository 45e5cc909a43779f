//! Verifies a server's certificate and remembers what was presented: an expired certificate is refused, but until
//! when it was valid must not be lost with the connection.

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

/// What a server presented, and what came of verifying it.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The certificates as they came, the server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why they were not trusted; `None` if they were.
    pub distrust: Option<Error>,
}

/// Verification against a set of authorities. The provider does the signatures.
#[derive(Debug)]
pub(super) struct Verifier {
    trusted: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    lenient: bool,
}

/// A [`Verifier`] for one handshake that keeps what it saw.
#[derive(Debug)]
pub(super) struct RecordingVerifier {
    verifier: Arc<Verifier>,
    seen: OnceLock<Presented>,
}

impl Verifier {
    /// Trusts the given authorities; a lenient one accepts everything.
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        lenient: bool,
    ) -> Result<Self, Failure> {
        let trusted = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let trusted = trusted.map_err(|error| Failure::from_error(Reason::Tls, "no way to verify anyone", &error))?;
        Ok(Self { trusted: Some(trusted), provider, lenient })
    }

    /// Knows no authority and accepts everything.
    pub(super) fn trusting_nobody(provider: Arc<CryptoProvider>) -> Self {
        Self { trusted: None, provider, lenient: true }
    }

    fn distrust(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Error> {
        match &self.trusted {
            // Stapled OCSP answers are not looked at.
            Some(trusted) => match chain::plain(chain) {
                Ok(chain) => trusted.verify_server_cert(leaf, &chain, name, &[], now).err(),
                Err(error) => Some(error),
            },
            None => Some(CertificateError::UnknownIssuer.into()),
        }
    }

    fn accept(&self, distrust: Option<Error>) -> Result<ServerCertVerified, Error> {
        match distrust {
            Some(error) if !self.lenient => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }
}

impl RecordingVerifier {
    pub(super) fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier, seen: OnceLock::new() }
    }

    pub(super) fn presented(&self) -> Option<Presented> {
        self.seen.get().cloned()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.accept(self.distrust(leaf, chain, name, now))
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
        let distrust = self.verifier.distrust(leaf, chain, name, now);
        let all = std::iter::once(leaf).chain(chain).map(|der| der.clone().into_owned()).collect();
        let _ = self.seen.set(Presented { chain: all, distrust: distrust.clone() });
        self.verifier.accept(distrust)
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
