//! What probes share because it is costly: the system's TLS roots, TLS clients and the right to resolve names.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use tokio::sync::Semaphore;

use crate::{
    probe::{Failure, Reason},
    tls,
};

/// One for the process, handed to every probe.
#[derive(Debug)]
pub struct Shared {
    roots: OnceLock<Result<Arc<RootCertStore>, Failure>>,
    /// Name look-ups that may run at once: they occupy threads that nothing can cancel, and a dead DNS server must
    /// not use up those that read files.
    pub lookups: Arc<Semaphore>,
    pub(crate) tls: tls::Cache,
}

impl Default for Shared {
    fn default() -> Self {
        Self { roots: OnceLock::new(), lookups: Arc::new(Semaphore::new(16)), tls: tls::Cache::default() }
    }
}

impl Shared {
    /// The certificate authorities that this system trusts, read once.
    ///
    /// # Errors
    /// `certificate` where the system has none, as in a bare container.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, Failure> {
        self.roots
            .get_or_init(|| {
                let found = rustls_native_certs::load_native_certs();
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                    return Err(Failure::new(
                        Reason::Certificate,
                        format!(
                            "this system has no trusted certificate authorities{why}; install ca-certificates, mount \
                             them, or set `tls.ca`"
                        ),
                    ));
                }
                Ok(Arc::new(roots))
            })
            .clone()
    }
}
