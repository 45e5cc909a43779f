//! Trusted certificate authorities of a client.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::io::tls::certificate::Certificate;

/// Trusted authorities, with the authority that expires last first.
///
/// The search for a path tries authorities in this order. So if an authority is trusted in an old and in a renewed
/// form, the renewed form is used and judged.
#[derive(Debug, Default)]
pub(in crate::io::tls) struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// The certificate of each anchor, at the same position.
    certificates: Vec<Arc<Certificate>>,
}

/// Reason why a certificate can't be an authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't be read as an X.509 certificate")]
pub(in crate::io::tls) struct UnreadableAuthority;

impl Authorities {
    /// Adds an authority.
    ///
    /// # Errors
    /// The certificate is unreadable.
    pub(in crate::io::tls) fn add(&mut self, der: &CertificateDer<'_>) -> Result<(), UnreadableAuthority> {
        let certificate = Certificate::from_der(der).ok_or(UnreadableAuthority)?;
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(|_| UnreadableAuthority)?.to_owned();
        let at = self.certificates.partition_point(|other| other.not_after >= certificate.not_after);
        self.anchors.insert(at, anchor);
        self.certificates.insert(at, Arc::new(certificate));
        Ok(())
    }

    /// Whether there is no authority.
    pub(in crate::io::tls) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Anchors for the search of a path.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Certificate of an anchor, which must be one of [`Authorities::anchors`].
    pub(super) fn certificate_of(&self, anchor: &TrustAnchor<'_>) -> Option<&Arc<Certificate>> {
        let address = std::ptr::from_ref(anchor).cast::<()>();
        let at = self.anchors.iter().position(|other| std::ptr::from_ref(other).cast::<()>() == address)?;
        self.certificates.get(at)
    }

    /// Whether a certificate is itself among the authorities.
    pub(super) fn contains(&self, certificate: &Certificate) -> bool {
        self.certificates.iter().any(|other| other.fingerprint_sha256 == certificate.fingerprint_sha256)
    }

    /// Authority with a distinguished name.
    pub(super) fn named(&self, subject: &str) -> Option<&Certificate> {
        self.certificates.iter().map(|certificate| &**certificate).find(|certificate| certificate.subject == subject)
    }
}

/// Whether a certificate is valid at a time.
pub(super) fn is_valid_at(certificate: &Certificate, now: Timestamp) -> bool {
    certificate.not_before <= now && now <= certificate.not_after
}
