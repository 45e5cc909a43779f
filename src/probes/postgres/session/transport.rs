//! Transport to a server: a TCP connection or a Unix socket, with optional encryption.
//!
//! TLS is negotiated here and not by the driver, so that TLS is a separate phase, its failures have specific reasons,
//! and `verify-ca` differs from `verify-full`.

use std::{
    future::{Ready, ready},
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};

use bytes::BytesMut;
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::UnixStream,
};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::{
    allowance::ByteBudget,
    dsn::{PostgresTarget, SslMode},
    filter::Filter,
    login::Gate,
};
use crate::{
    io::{
        context::Context,
        dial::{self, AddressFamily},
        tls::{self, Certificates, Presented},
    },
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// Transport with a filter: the driver receives only messages that pass it.
pub(super) struct Transport {
    stream: Pin<Box<dyn AsyncStream>>,
    /// Hash of the certificate for the channel binding of SCRAM; `None` without encryption.
    binding: Option<Vec<u8>>,
    encrypted: bool,
    /// Remote address; `None` for a Unix socket.
    remote: Option<SocketAddr>,
    filter: Filter,
    /// Bytes that passed the filter and that the driver has not read yet.
    screened: BytesMut,
    allowance: ByteBudget,
    gate: Gate,
}

/// Maximum number of bytes of one read.
const MAX_READ_BYTES: usize = 8 << 10;

trait AsyncStream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> AsyncStream for T {}

/// SSLRequest message: its length and its code (PostgreSQL manual, chapter "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

impl Transport {
    /// Connects, and negotiates TLS according to the settings. `presented` receives the certificates of the server, also
    /// if the handshake fails.
    pub(super) async fn open(
        cx: &Context,
        target: &PostgresTarget,
        presented: &mut Option<Arc<Certificates>>,
    ) -> Result<Self, Failure> {
        if let Some(path) = target.socket_path() {
            let stream = cx.phase(Phase::Connect, UnixStream::connect(&path)).await;
            let stream = stream.map_err(|error| no_socket(&path, &error))?;
            return Ok(Self::unencrypted(stream, None));
        }
        let (mut stream, remote) = dial::connect(cx, target.address(), target.port, AddressFamily::Any).await?;
        if target.sslmode == SslMode::Disable {
            return Ok(Self::unencrypted(stream, Some(remote)));
        }
        let encrypted = cx.phase(Phase::Tls, async {
            if !offers_tls(&mut stream, target).await? {
                return Ok(Self::unencrypted(stream, Some(remote)));
            }
            let handshake = target.tls.handshake(stream, &target.host, &[], &cx.shared.tls).await;
            let seen = handshake.presented;
            *presented = seen.as_ref().and_then(Certificates::from_presented).map(Arc::new);
            let stream = handshake.stream?;
            if target.sslmode == SslMode::VerifyCa {
                must_be_issued(seen.as_ref())?;
            }
            let binding = seen.as_ref().and_then(|seen| channel_binding(seen.chain.first()?));
            Ok(Self { binding, encrypted: true, ..Self::unencrypted(stream, Some(remote)) })
        });
        encrypted.await
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// Byte budget; the session restores it for each run.
    pub(super) fn allowance(&self) -> ByteBudget {
        self.allowance.clone()
    }

    /// Gate of the login.
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    fn unencrypted(stream: impl AsyncStream + 'static, remote: Option<SocketAddr>) -> Self {
        Self {
            stream: Box::pin(stream),
            binding: None,
            encrypted: false,
            remote,
            filter: Filter::default(),
            screened: BytesMut::new(),
            allowance: ByteBudget::default(),
            gate: Gate::default(),
        }
    }
}

async fn offers_tls<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &PostgresTarget,
) -> Result<bool, Failure> {
    let what = format!("asking {} for TLS", target.host);
    let mut answer = [0];
    let asked = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    asked.await.map_err(|error| dial::io_failure(&what, &error))?;
    match (answer, target.sslmode) {
        ([b'S'], _) => Ok(true),
        ([b'N'], SslMode::Prefer) => Ok(false),
        ([b'N'], _) => Err(Failure::new(
            Reason::Tls,
            format!("{what}: it has TLS switched off; set `ssl = on` there, or another `sslmode` here"),
        )),
        _ => Err(Failure::new(Reason::Protocol, format!("{what}: the answer is not PostgreSQL's; is the port right?"))),
    }
}

/// Verification for `verify-ca`: requires a trusted authority and accepts any name. The path is verified
/// before the name, so that a distrust of the name means a trusted path.
fn must_be_issued(presented: Option<&Presented>) -> Result<(), Failure> {
    match presented.and_then(|presented| presented.distrust.as_ref()) {
        Some(distrust) if !distrust.is_name_mismatch() => Err(tls::distrust_failure("TLS handshake", distrust)),
        _ => Ok(()),
    }
}

/// Hash of a certificate for the channel binding `tls-server-end-point` (RFC 5929): the hash function is that of the
/// signature, but SHA-256 instead of MD5 and SHA-1. Signatures without a hash function (Ed25519) have no binding.
fn channel_binding(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => {
            Some(Sha256::digest(certificate).to_vec())
        }
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Sha384::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

fn no_socket(path: &std::path::Path, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => Reason::Permission,
        // The socket does not exist, or no server listens. The reason is the same as for a closed port.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Reason::Refused,
        _ => Reason::Unreachable,
    };
    Failure::from_error(reason, &format!("no connection to {}", path.display()), error)
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let channel = &mut *self;
        loop {
            if channel.gate.is_closed() {
                // The login polls again when the gate opens, so that no waker is needed.
                return Poll::Pending;
            }
            if !channel.screened.is_empty() {
                let part = channel.screened.split_to(channel.screened.len().min(buffer.remaining()));
                buffer.put_slice(&part);
                if channel.screened.is_empty() {
                    // An idle connection keeps no buffer.
                    channel.screened = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            let mut space = [MaybeUninit::uninit(); MAX_READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(channel.stream.as_mut().poll_read(task, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            match channel.filter.filter_bytes(read.filled(), &channel.allowance, &mut channel.screened) {
                Ok(Some(iterations)) => channel.gate.close(iterations),
                Ok(None) => {}
                Err(refusal) => {
                    channel.allowance.record_refusal(&refusal);
                    return Poll::Ready(Err(io::Error::other(refusal)));
                }
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(task, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(task)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(task)
    }
}

impl TlsStream for Transport {
    fn channel_binding(&self) -> ChannelBinding {
        self.binding.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// Passes the established transport to the driver. With `sslmode=require` and direct negotiation, the driver sends
/// nothing before.
pub(super) struct Established;

impl TlsConnect<Transport> for Established {
    type Stream = Transport;
    type Error = io::Error;
    type Future = Ready<io::Result<Transport>>;

    fn connect(self, channel: Transport) -> Self::Future {
        ready(Ok(channel))
    }
}
