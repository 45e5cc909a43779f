//! Resources that all probes share: TLS clients, and bounded threads for blocking calls.
//!
//! A blocking call may hang and can't be cancelled: a lookup at a dead nameserver, a read from a dead mount. Each sort
//! of call has its own permits, so that hanging calls of one sort leave the threads of the other sorts free.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::sync::Semaphore;

pub(crate) use super::{lane::Lane, single_flight::SingleFlight, turn::Turns};
use crate::{
    io::{exposed_secrets::ExposedSecrets, tls},
    model::{redaction::SecretRegistry, secret::Secret},
};

/// Maximum number of concurrent DNS lookups. All but one may hang without blocking the others.
const MAX_LOOKUPS: usize = 128;
/// Maximum number of concurrent reads of small files (secrets, certificates).
const MAX_FILE_READS: usize = 64;
/// Maximum number of concurrent runs of `backups` probes.
const MAX_BACKUP_READS: usize = 64;

/// Maximum number of threads that judge large facts. Judging is CPU-bound, so that more threads would not help.
const MAX_JUDGING: usize = 2;

/// Maximum number of blocking threads: all of the above, and a reserve for the state file and the configuration.
pub const THREADS: usize = MAX_LOOKUPS + MAX_FILE_READS + MAX_BACKUP_READS + MAX_JUDGING + LANES + 16;
/// Number of lanes of [`Resources`]. A lane occupies a thread while it has work.
const LANES: usize = 3;

/// Shared resources of the process.
#[derive(Debug)]
pub struct Resources {
    /// DNS lookups. The addresses have port 0.
    pub(crate) names: SingleFlight<String, Vec<SocketAddr>>,
    pub(crate) secrets: SingleFlight<PathBuf, Secret>,
    /// Secrets of all probes, for redaction.
    pub(crate) registry: Arc<SecretRegistry>,
    /// Warnings about secret files that every user can read.
    pub(crate) exposed: Arc<ExposedSecrets>,
    pub(crate) backups: Arc<Semaphore>,
    /// Turns for the decompressor with a large window, which takes 128 MiB.
    pub(crate) large_windows: Turns,
    pub(crate) judging: Arc<Semaphore>,
    /// TLS clients, trusted authorities, and the lane of handshakes.
    pub(crate) tls: Arc<tls::Cache>,
    /// Key derivations of logins with a usual number of iterations.
    pub(crate) light_logins: Lane,
    /// Key derivations of logins with more iterations.
    pub(crate) heavy_logins: Lane,
}

impl Default for Resources {
    fn default() -> Self {
        let permits = |threads| Arc::new(Semaphore::new(threads));
        let files = permits(MAX_FILE_READS);
        let exposed = Arc::<ExposedSecrets>::default();
        Self {
            names: SingleFlight::new(permits(MAX_LOOKUPS)),
            secrets: SingleFlight::new(Arc::clone(&files)),
            registry: Arc::default(),
            exposed: Arc::clone(&exposed),
            backups: permits(MAX_BACKUP_READS),
            large_windows: Turns::default(),
            judging: permits(MAX_JUDGING),
            tls: Arc::new(tls::Cache::new(files, exposed)),
            light_logins: Lane::default(),
            heavy_logins: Lane::default(),
        }
    }
}
