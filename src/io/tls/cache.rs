//! TLS clients made once for equal settings, and again when one of their files has changed.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::sync::Semaphore;

use super::{
    Tls, Version,
    verifier::{RecordingVerifier, Verifier},
};
use crate::{
    io::{
        bounded_file::{self, FileVersion, Refusal},
        exposed_secrets::ExposedSecrets,
        lane::Lane,
        single_flight::SingleFlight,
    },
    model::{failure::Failure, words::Reason},
};

/// One for the process. It grows with the number of different settings, not with the number of probes.
#[derive(Debug)]
pub struct Cache {
    made: Mutex<HashMap<Tls, Arc<Client>>>,
    making: SingleFlight<Tls, Arc<Client>>,
    roots: OnceLock<Result<Arc<RootCertStore>, Failure>>,
    exposed: Arc<ExposedSecrets>,
    /// Every handshake runs here: a peer chooses how much it computes.
    pub(super) handshakes: Lane,
}

/// What one set of TLS settings comes to.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    stamps: Vec<FileVersion>,
}

impl Client {
    /// A configuration for one handshake and the witness of what is presented in it.
    pub(super) fn witnessed(&self, alpn: &[&[u8]]) -> (Arc<ClientConfig>, Arc<RecordingVerifier>) {
        // A copy of pointers: about a thousandth of what the handshake costs.
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let witness = Arc::new(RecordingVerifier::new(Arc::clone(&self.verifier)));
        config.dangerous().set_certificate_verifier(Arc::clone(&witness) as _);
        (Arc::new(config), witness)
    }
}

impl Tls {
    pub(super) async fn client(&self, cache: &Arc<Cache>) -> Result<Arc<Client>, Failure> {
        let without_files = self.files().next().is_none();
        if without_files && let Some(client) = cache.get(self) {
            return Ok(client);
        }
        let (tls, kept) = (self.clone(), Arc::clone(cache));
        cache.making.run(self.clone(), move || kept.current(&tls)).await
    }

    fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)]
            .into_iter()
            .filter_map(|(key, path)| Some((key, path.as_deref()?)))
    }
}

impl Cache {
    /// Nothing made yet; `room` bounds how many threads read files.
    pub(crate) fn new(room: Arc<Semaphore>, exposed: Arc<ExposedSecrets>) -> Self {
        Self {
            made: Mutex::default(),
            making: SingleFlight::new(room),
            roots: OnceLock::new(),
            exposed,
            handshakes: Lane::default(),
        }
    }

    /// The certificate authorities that this system trusts, read once.
    ///
    /// # Errors
    /// `certificate` where the system has none, as in a bare container.
    fn roots(&self) -> Result<Arc<RootCertStore>, Failure> {
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

    fn get(&self, tls: &Tls) -> Option<Arc<Client>> {
        self.made.lock().get(tls).cloned()
    }

    /// The client as the files are now. Reads files, so it must run where blocking is allowed.
    fn current(&self, tls: &Tls) -> Result<Arc<Client>, Failure> {
        let stamp = |(key, path)| bounded_file::stamp(path).map_err(|refusal| file_failure(key, path, &refusal));
        let stamps: Vec<_> = tls.files().map(stamp).collect::<Result<_, _>>()?;
        if let Some(client) = self.get(tls).filter(|client| client.stamps == stamps) {
            return Ok(client);
        }
        let client = Arc::new(build(tls, self, stamps)?);
        self.made.lock().insert(tls.clone(), Arc::clone(&client));
        Ok(client)
    }
}

fn build(tls: &Tls, cache: &Cache, stamps: Vec<FileVersion>) -> Result<Client, Failure> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(verifier(tls, cache, &provider)?);
    let versions: &[_] = match tls.min_version {
        Version::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Version::V1_3 => &[&rustls::version::TLS13],
    };
    let unfit = |error: rustls::Error| Failure::from_error(Reason::Tls, "the TLS settings don't fit together", &error);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(unfit)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let (chain, private) = (certificates("cert", cert)?, private_key(key, cache)?);
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                let what = format!("tls.cert {} and tls.key {} don't fit together", cert.display(), key.display());
                Failure::from_error(Reason::Tls, &what, &error)
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(Client { config: Arc::new(config), verifier, stamps })
}

fn verifier(tls: &Tls, cache: &Cache, provider: &Arc<CryptoProvider>) -> Result<Verifier, Failure> {
    let roots = match &tls.ca {
        None => cache.roots(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("ca", path)? {
                roots.add(certificate).map_err(|error| {
                    let what = format!("tls.ca {} holds a certificate that can't be trusted", path.display());
                    Failure::from_error(Reason::Tls, &what, &error)
                })?;
            }
            Ok(Arc::new(roots))
        }
    };
    match roots {
        Ok(roots) => Verifier::new(roots, Arc::clone(provider), tls.insecure_skip_verify),
        Err(_) if tls.insecure_skip_verify => Ok(Verifier::trusting_nobody(Arc::clone(provider))),
        Err(failure) => Err(failure),
    }
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = bounded_file::read(path, MAX_PEM_BYTES).map_err(|refusal| file_failure(key, path, &refusal))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| {
        Failure::from_error(Reason::Tls, &format!("tls.{key} {} is not a PEM file", path.display()), &error)
    })?;
    if found.is_empty() {
        return Err(Failure::new(Reason::Tls, format!("tls.{key} {} holds no certificate", path.display())));
    }
    Ok(found)
}

fn private_key(path: &Path, cache: &Cache) -> Result<PrivateKeyDer<'static>, Failure> {
    let (pem, found) =
        bounded_file::read_found(path, MAX_PEM_BYTES).map_err(|refusal| file_failure("key", path, &refusal))?;
    cache.exposed.warn(path, &found);
    // The error of the parser could quote the file: only its place is told.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| Failure::new(Reason::Tls, format!("tls.key {} holds no private key in PEM", path.display())))
}

/// Larger than any bundle of authorities.
const MAX_PEM_BYTES: u64 = 8 << 20;

fn file_failure(key: &str, path: &Path, refusal: &Refusal) -> Failure {
    let reason = match refusal {
        Refusal::Io(error) if error.kind() == io::ErrorKind::NotFound => Reason::NotFound,
        Refusal::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Reason::Permission,
        Refusal::Io(_) | Refusal::NotRegular(_) => Reason::Tls,
        Refusal::TooLarge(_) => Reason::TooLarge,
    };
    Failure::new(reason, format!("tls.{key} {} {refusal}", path.display()))
}
