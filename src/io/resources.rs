//! What probes share because it is costly: the system's TLS roots, TLS clients, and threads for what blocks.
//!
//! What blocks may hang, and nothing can cancel it then: a look-up at a dead nameserver, a file of a dead mount. Each
//! sort has room of its own, so that none takes the threads of another, nor those that write the state.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rustls::RootCertStore;
use tokio::sync::Semaphore;

pub(crate) use super::{lane::Lane, single_flight::SingleFlight};
use crate::{
    io::{secret_file::Exposed, tls},
    model::{failure::Failure, redaction::Registry, secret::Secret, words::Reason},
};

/// Names being looked up at once: so many less one may have a nameserver that is silent.
const LOOKUPS: usize = 128;
/// Small files (secrets, certificates) being read at once.
const FILES: usize = 64;
/// Runs of `backups` probes that list or read at once.
const BACKUPS: usize = 64;

/// Heavy facts being judged at once: this is computing, so that more threads would only take turns.
const MAX_JUDGING: usize = 2;

/// So many threads may block: all of the above, and some that write the state and read the configuration.
pub const THREADS: usize = LOOKUPS + FILES + BACKUPS + MAX_JUDGING + LANES + 16;
/// Lanes of [`Resources`]; each occupies a thread while it has work.
const LANES: usize = 3;

/// One for the process, handed to every probe.
#[derive(Debug)]
pub struct Resources {
    roots: OnceLock<Result<Arc<RootCertStore>, Failure>>,
    /// The addresses of names, with port 0.
    pub(crate) names: SingleFlight<String, Vec<SocketAddr>>,
    pub(crate) secrets: SingleFlight<PathBuf, Secret>,
    /// Secrets of all probes, hidden wherever a target is quoted.
    pub(crate) registry: Arc<Registry>,
    /// Files with secrets that everybody can read.
    pub(crate) exposed: Arc<Exposed>,
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) judging: Arc<Semaphore>,
    pub(crate) tls: tls::Cache,
    /// Key derivations of logins with a usual number of iterations.
    pub(crate) light_logins: Lane,
    /// Key derivations of logins with more iterations.
    pub(crate) heavy_logins: Lane,
    /// TLS handshakes.
    pub(crate) handshakes: Lane,
}

impl Default for Resources {
    fn default() -> Self {
        let room = |threads| Arc::new(Semaphore::new(threads));
        let files = room(FILES);
        Self {
            roots: OnceLock::new(),
            names: SingleFlight::new(room(LOOKUPS)),
            secrets: SingleFlight::new(Arc::clone(&files)),
            registry: Arc::default(),
            exposed: Arc::default(),
            backups: room(BACKUPS),
            judging: room(MAX_JUDGING),
            tls: tls::Cache::new(files),
            light_logins: Lane::default(),
            heavy_logins: Lane::default(),
            handshakes: Lane::default(),
        }
    }
}

impl Resources {
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
