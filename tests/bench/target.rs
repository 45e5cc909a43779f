//! What is probed: small servers in threads of this process, whose CPU nobody counts.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};

/// A server that answers one connection after the other, and counts them.
pub(crate) struct Target {
    pub(crate) port: u16,
    served: Arc<AtomicU64>,
    authority: Option<(tempfile::TempDir, PathBuf)>,
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

impl Target {
    /// Accepts and hangs up.
    pub(crate) fn tcp() -> Self {
        Self::serve(None, drop)
    }

    /// Answers a request.
    pub(crate) fn http() -> Self {
        Self::serve(None, answer)
    }

    /// Answers a request over TLS 1.3; its certificate has an ECDSA key on P-256, as its authority has.
    pub(crate) fn https() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let config = Arc::new(certified(&path));
        Self::serve(Some((folder, path)), move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            answer(StreamOwned::new(connection, stream));
        })
    }

    /// Connections so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// The file with the authority to trust, where it encrypts.
    pub(crate) fn authority(&self) -> Option<&Path> {
        self.authority.as_ref().map(|(_, path)| &**path)
    }

    fn serve(authority: Option<(tempfile::TempDir, PathBuf)>, talk: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_nodelay(true);
                talk(stream);
            }
        });
        Self { port, served, authority }
    }
}

fn answer(mut stream: impl Read + Write) {
    let mut request = [0; 2048];
    if stream.read(&mut request).is_ok_and(|read| read > 0) {
        let _ = stream.write_all(ANSWER);
        let _ = stream.flush();
    }
}

fn certified(authority: &Path) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    std::fs::write(authority, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).expect("a version").with_no_client_auth();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    builder.with_single_cert(vec![certificate.der().clone()], key).expect("a server")
}
