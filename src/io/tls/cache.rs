//! TLS clients, built once for equal settings, and again when one of their files has changed.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::sync::Semaphore;

use super::{
    Tls, Version,
    client_certificate::RecordingResolver,
    failure::tls_failure,
    handshakes::Handshakes,
    verifier::{Authorities, RecordingVerifier, ServerVerifier},
};
use crate::{
    io::{
        bounded_file::{self, FileVersion, Refusal},
        exposed_secrets::ExposedSecrets,
        single_flight::SingleFlight,
    },
    model::{failure::Failure, words::Reason},
};

/// TLS clients of the process. The cache grows with the number of different settings, not with the number of probes.
#[derive(Debug)]
pub struct Cache {
    clients: Mutex<HashMap<Tls, Arc<TlsClient>>>,
    builds: SingleFlight<Tls, Arc<TlsClient>>,
    roots: OnceLock<Result<Arc<Authorities>, Failure>>,
    exposed: Arc<ExposedSecrets>,
    pub(super) handshakes: Handshakes,
}

/// Client for one set of TLS settings.
#[derive(Debug)]
pub(super) struct TlsClient {
    pub(super) config: Arc<ClientConfig>,
    verifier: Arc<ServerVerifier>,
    file_versions: Vec<FileVersion>,
}

impl TlsClient {
    /// Configuration for one handshake, with the verifier that records the presented certificates.
    pub(super) fn recording_config(
        &self,
        alpn: &[&[u8]],
    ) -> (Arc<ClientConfig>, Arc<RecordingVerifier>, Arc<RecordingResolver>) {
        // The copy consists of pointers and costs about a thousandth of the handshake.
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let witness = Arc::new(RecordingVerifier::new(Arc::clone(&self.verifier)));
        config.dangerous().set_certificate_verifier(Arc::clone(&witness) as _);
        let resolver = Arc::new(RecordingResolver::new(Arc::clone(&config.client_auth_cert_resolver)));
        config.client_auth_cert_resolver = Arc::clone(&resolver) as _;
        (Arc::new(config), witness, resolver)
    }
}

impl Tls {
    pub(super) async fn client(&self, cache: &Arc<Cache>) -> Result<Arc<TlsClient>, Failure> {
        let without_files = self.configured_files().next().is_none();
        if without_files && let Some(client) = cache.cached_client(self) {
            return Ok(client);
        }
        let (tls, kept) = (self.clone(), Arc::clone(cache));
        cache.builds.run(self.clone(), move || kept.current_client(&tls)).await
    }

    fn configured_files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)]
            .into_iter()
            .filter_map(|(key, path)| Some((key, path.as_deref()?)))
    }
}

impl Cache {
    /// Creates an empty cache; `permits` bounds the number of threads that read files.
    pub(crate) fn new(room: Arc<Semaphore>, exposed: Arc<ExposedSecrets>) -> Self {
        Self {
            clients: Mutex::default(),
            builds: SingleFlight::new(room),
            roots: OnceLock::new(),
            exposed,
            handshakes: Handshakes::default(),
        }
    }

    /// Certificate authorities of the system, read once.
    ///
    /// # Errors
    /// `certificate` if the system has none, as in an empty container.
    fn system_roots(&self) -> Result<Arc<Authorities>, Failure> {
        self.roots
            .get_or_init(|| {
                let found = rustls_native_certs::load_native_certs();
                let mut roots = Authorities::default();
                // As in other clients, unreadable certificates of the system are skipped.
                found.certs.iter().for_each(|certificate| drop(roots.add(certificate)));
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

    fn cached_client(&self, tls: &Tls) -> Option<Arc<TlsClient>> {
        self.clients.lock().get(tls).cloned()
    }

    /// Client for the current versions of the files. Reads files, so it must run on a thread for blocking calls.
    fn current_client(&self, tls: &Tls) -> Result<Arc<TlsClient>, Failure> {
        let stamp = |(key, path)| bounded_file::file_version(path).map_err(|refusal| file_failure(key, path, &refusal));
        let file_versions: Vec<_> = tls.configured_files().map(stamp).collect::<Result<_, _>>()?;
        if let Some(client) = self.cached_client(tls).filter(|client| client.file_versions == file_versions) {
            return Ok(client);
        }
        let client = Arc::new(build_client(tls, self, file_versions)?);
        self.clients.lock().insert(tls.clone(), Arc::clone(&client));
        Ok(client)
    }
}

fn build_client(tls: &Tls, cache: &Cache, file_versions: Vec<FileVersion>) -> Result<TlsClient, Failure> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(build_verifier(tls, cache, &provider)?);
    let versions: &[_] = match (tls.min_version, tls.max_version) {
        (Version::V1_2, Some(Version::V1_2)) => &[&rustls::version::TLS12],
        (Version::V1_2, _) => &[&rustls::version::TLS13, &rustls::version::TLS12],
        (Version::V1_3, _) => &[&rustls::version::TLS13],
    };
    let unfit = |error: rustls::Error| tls_failure("the TLS settings don't fit together", &error, tls);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(unfit)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let (chain, private) = (read_certificates("cert", cert)?, read_private_key(key, cache)?);
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                let what = format!("tls.cert {} and tls.key {} don't fit together", cert.display(), key.display());
                tls_failure(&what, &error, tls)
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(TlsClient { config: Arc::new(config), verifier, file_versions })
}

fn build_verifier(tls: &Tls, cache: &Cache, provider: &Arc<CryptoProvider>) -> Result<ServerVerifier, Failure> {
    let roots = match &tls.ca {
        None => cache.system_roots(),
        Some(path) => {
            let mut roots = Authorities::default();
            for (at, certificate) in read_certificates("ca", path)?.iter().enumerate() {
                roots.add(certificate).map_err(|error| {
                    let what = format!("certificate {} of tls.ca {}", at + 1, path.display());
                    Failure::new(Reason::Tls, format!("{what} {error}: remove or replace it"))
                })?;
            }
            Ok(Arc::new(roots))
        }
    };
    match roots {
        Ok(roots) => Ok(ServerVerifier::new(roots, Arc::clone(provider), tls.insecure_skip_verify)),
        Err(_) if tls.insecure_skip_verify => Ok(ServerVerifier::new(Arc::default(), Arc::clone(provider), true)),
        Err(failure) => Err(failure),
    }
}

fn read_certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = bounded_file::read_bounded(path, MAX_PEM_BYTES).map_err(|refusal| file_failure(key, path, &refusal))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| {
        Failure::from_error(Reason::Tls, &format!("tls.{key} {} is not a PEM file", path.display()), &error)
            .of_exporter(UNREADABLE_PEM)
    })?;
    if found.is_empty() {
        let failure = Failure::new(Reason::Tls, format!("tls.{key} {} holds no certificate", path.display()));
        return Err(failure.of_exporter(UNREADABLE_PEM));
    }
    Ok(found)
}

fn read_private_key(path: &Path, cache: &Cache) -> Result<PrivateKeyDer<'static>, Failure> {
    let (pem, found) =
        bounded_file::read_with_metadata(path, MAX_PEM_BYTES).map_err(|refusal| file_failure("key", path, &refusal))?;
    cache.exposed.warn_if_exposed(path, &found);
    // The error of the parser may quote the file, so only the path is displayed.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| Failure::new(Reason::Tls, format!("tls.key {} holds no private key in PEM", path.display())))
        .map_err(|failure| failure.of_exporter(UNREADABLE_PEM))
}

/// Meaning of a failure in alerts if a file of `tls` can't be used.
const UNREADABLE_PEM: &str = "this exporter cannot use a certificate or key file";

/// Maximum size of a PEM file; larger than any bundle of authorities.
const MAX_PEM_BYTES: u64 = 8 << 20;

fn file_failure(key: &str, path: &Path, refusal: &Refusal) -> Failure {
    let reason = match refusal {
        Refusal::Io(error) if error.kind() == io::ErrorKind::NotFound => Reason::NotFound,
        Refusal::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Reason::Permission,
        Refusal::Io(_) | Refusal::NotRegular(_) => Reason::Tls,
        Refusal::TooLarge(_) => Reason::TooLarge,
    };
    let meaning = match reason {
        Reason::NotFound => "a certificate or key file of this exporter does not exist",
        _ => UNREADABLE_PEM,
    };
    Failure::new(reason, format!("tls.{key} {} {refusal}", path.display())).of_exporter(meaning)
}
