//! Requests of servers for a client certificate.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rustls::{SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};

/// Presents the client certificate of the settings, and records whether the server requests one.
#[derive(Debug)]
pub(super) struct RecordingResolver {
    settings: Arc<dyn ResolvesClientCert>,
    is_requested: AtomicBool,
}

impl RecordingResolver {
    pub(super) fn new(settings: Arc<dyn ResolvesClientCert>) -> Self {
        Self { settings, is_requested: AtomicBool::new(false) }
    }

    /// Whether the server has requested a client certificate.
    pub(super) fn is_requested(&self) -> bool {
        self.is_requested.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for RecordingResolver {
    fn resolve(&self, root_hint_subjects: &[&[u8]], sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_requested.store(true, Ordering::Relaxed);
        self.settings.resolve(root_hint_subjects, sigschemes)
    }

    fn has_certs(&self) -> bool {
        self.settings.has_certs()
    }
}
