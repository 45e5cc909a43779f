//! What probes share because it is costly: the system's TLS roots, TLS clients, and threads for what blocks.
//!
//! What blocks may hang, and nothing can cancel it then: a look-up at a dead nameserver, a file of a dead mount. Each
//! sort has room of its own, so that none takes the threads of another, nor those that write the state.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::sync::Semaphore;

pub(crate) use super::{lane::Lane, single_flight::SingleFlight, turn::Turns};
use crate::{
    io::{exposed_secrets::ExposedSecrets, tls},
    model::{redaction::Registry, secret::Secret},
};

/// Names being looked up at once: so many less one may have a nameserver that is silent.
const MAX_LOOKUPS: usize = 128;
/// Small files (secrets, certificates) being read at once.
const MAX_FILE_READS: usize = 64;
/// Runs of `backups` probes that list or read at once.
const MAX_BACKUP_READS: usize = 64;

/// Heavy facts being judged at once: this is computing, so that more threads would only take turns.
const MAX_JUDGING: usize = 2;

/// So many threads may block: all of the above, and some that write the state and read the configuration.
pub const THREADS: usize = MAX_LOOKUPS + MAX_FILE_READS + MAX_BACKUP_READS + MAX_JUDGING + LANES + 16;
/// Lanes of [`Resources`]; each occupies a thread while it has work.
const LANES: usize = 3;

/// One for the process, handed to every probe.
#[derive(Debug)]
pub struct Resources {
    /// The addresses of names, with port 0.
    pub(crate) names: SingleFlight<String, Vec<SocketAddr>>,
    pub(crate) secrets: SingleFlight<PathBuf, Secret>,
    /// Secrets of all probes, hidden wherever a target is quoted.
    pub(crate) registry: Arc<Registry>,
    /// Files with secrets that everybody can read.
    pub(crate) exposed: Arc<ExposedSecrets>,
    pub(crate) backups: Arc<Semaphore>,
    /// Turns at a decompressor with a large window, which takes 128 MiB.
    pub(crate) large_windows: Turns,
    pub(crate) judging: Arc<Semaphore>,
    /// TLS clients, the authorities that they trust, and the lane of their handshakes.
    pub(crate) tls: Arc<tls::Cache>,
    /// Key derivations of logins with a usual number of iterations.
    pub(crate) light_logins: Lane,
    /// Key derivations of logins with more iterations.
    pub(crate) heavy_logins: Lane,
}

impl Default for Resources {
    fn default() -> Self {
        let room = |threads| Arc::new(Semaphore::new(threads));
        let files = room(MAX_FILE_READS);
        let exposed = Arc::<ExposedSecrets>::default();
        Self {
            names: SingleFlight::new(room(MAX_LOOKUPS)),
            secrets: SingleFlight::new(Arc::clone(&files)),
            registry: Arc::default(),
            exposed: Arc::clone(&exposed),
            backups: room(MAX_BACKUP_READS),
            large_windows: Turns::default(),
            judging: room(MAX_JUDGING),
            tls: Arc::new(tls::Cache::new(files, exposed)),
            light_logins: Lane::default(),
            heavy_logins: Lane::default(),
        }
    }
}
