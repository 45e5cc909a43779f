//! Name resolution and TCP connections, for all probe kinds.
//!
//! Addresses are tried one after the other in the order of the system resolver: a probe measures one path to its
//! target, not the fastest of several.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    io::{context::Context, resources::Resources},
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// Address family of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// Every address, in the order of the system resolver.
    #[default]
    Any,
    /// IPv4 addresses only.
    Ip4,
    /// IPv6 addresses only.
    Ip6,
}

/// Resolves a host and connects to it, in the phases `resolve` (not entered for an IP address) and `connect`. Returns
/// the connection and its remote address.
///
/// # Errors
/// `resolve`, `refused`, `unreachable`, `timeout` or, if this process is out of file descriptors, `limit`. The text
/// names every address that was tried.
pub async fn connect(
    cx: &Context,
    host: &str,
    port: u16,
    family: AddressFamily,
) -> Result<(TcpStream, SocketAddr), Failure> {
    connect_unless(cx, host, port, family, |_| None).await
}

/// Like [`connect`], but refuses a name if any of its addresses is forbidden: an attacker controls a name with a
/// forbidden and an allowed address. Then no connection is opened.
///
/// # Errors
/// As [`connect`], and the failure of a forbidden address.
pub(crate) async fn connect_unless(
    cx: &Context,
    host: &str,
    port: u16,
    family: AddressFamily,
    forbidden: impl Fn(IpAddr) -> Option<Failure>,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => cx.phase(Phase::Resolve, resolve_host(bare, port, &cx.shared)).await?,
    };
    if let Some(failure) = found.iter().find_map(|address| forbidden(address.ip())) {
        return Err(failure);
    }
    let addresses: Vec<_> = found.into_iter().filter(|address| family.includes(*address)).collect();
    if addresses.is_empty() {
        return Err(Failure::new(Reason::Resolve, format!("{host} has no {family} address")));
    }
    cx.phase(Phase::Connect, connect_first(cx, host, &addresses)).await
}

/// Converts an I/O error of an established connection.
#[must_use]
pub fn io_failure(what: &str, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => Reason::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::Unreachable,
        _ => Reason::Protocol,
    };
    Failure::from_error(reason, what, error)
}

/// Addresses of a name from the system resolver. Concurrent runs share one lookup of a name.
///
/// # Errors
/// `resolve`.
pub(crate) async fn resolve_host(host: &str, port: u16, shared: &Resources) -> Result<Vec<SocketAddr>, Failure> {
    let name = host.to_owned();
    let lookup = move || {
        let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| {
            let text = error.to_string();
            let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            Failure::new(Reason::Resolve, format!("the name {name} can't be resolved: {text}"))
        });
        found.map(Iterator::collect)
    };
    let mut found: Vec<SocketAddr> = shared.names.run(host.to_owned(), lookup).await?;
    found.iter_mut().for_each(|address| address.set_port(port));
    Ok(found)
}

/// Error numbers of Linux, macOS and the BSDs for a lack of file descriptors: of the system, and of this process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

async fn connect_first(cx: &Context, host: &str, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut failures = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        // Each address gets an equal share of the remaining time, so that an unreachable one leaves time for the next.
        let share = cx.remaining() / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        match connect_one(*address, share).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(failure) => failures.push((*address, failure)),
        }
    }
    Err(summarize_failures(host, failures))
}

async fn connect_one(address: SocketAddr, share: Duration) -> Result<TcpStream, Failure> {
    let stream = timeout(share, TcpStream::connect(address))
        .await
        .map_err(|_| Failure::new(Reason::Timeout, "no answer"))?
        .map_err(|error| connect_failure(&error))?;
    // Otherwise, the second packet of a request waits for the acknowledgement of the first.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn connect_failure(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, text) = match error.kind() {
        Kind::ConnectionRefused => (Reason::Refused, "connection refused".to_owned()),
        Kind::ConnectionReset | Kind::ConnectionAborted => (Reason::Refused, "connection reset".to_owned()),
        Kind::TimedOut => (Reason::Timeout, "no answer".to_owned()),
        _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => {
            let advice = "the exporter itself has too many files open: raise its limit (`ulimit -n`, LimitNOFILE)";
            (Reason::Limit, advice.to_owned())
        }
        // The remaining errors mean that no path exists: no route, no such network, a local firewall rule.
        _ => (Reason::Unreachable, error.to_string()),
    };
    Failure::new(reason, text)
}

/// Combines the failures of all addresses. A refusal tells more about the target than a timeout, and a timeout tells
/// more than an address family that this machine does not have.
fn summarize_failures(host: &str, failures: Vec<(SocketAddr, Failure)>) -> Failure {
    let telling = |reason| match reason {
        // The exporter could not try any address.
        Reason::Limit => 3,
        Reason::Refused => 2,
        Reason::Timeout => 1,
        _ => 0,
    };
    let reason = failures.iter().map(|(_, failure)| failure.reason).max_by_key(|reason| telling(*reason));
    let tried: Vec<_> = failures.iter().map(|(address, failure)| format!("{address}: {failure}")).collect();
    Failure::new(reason.unwrap_or(Reason::Unreachable), format!("no connection to {host} ({})", tried.join("; ")))
}

impl AddressFamily {
    fn includes(self, address: SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ip4 => address.is_ipv4(),
            Self::Ip6 => address.is_ipv6(),
        }
    }
}

impl std::fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Any => "IP",
            Self::Ip4 => "IPv4",
            Self::Ip6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    #[tokio::test]
    async fn names_that_hang_take_no_room_from_others() {
        let shared = Resources::default();
        let (answer, silence) = mpsc::channel::<()>();
        let silence = Arc::new(Mutex::new(silence));
        for _ in 0..3 {
            for host in 0..40 {
                let silence = Arc::clone(&silence);
                let hanging = shared.names.run(format!("{host}.dead.example"), move || {
                    let _ = silence.lock().map(|silence| silence.recv());
                    Ok(Vec::new())
                });
                assert!(timeout(Duration::from_millis(1), hanging).await.is_err());
            }
        }
        let found = timeout(Duration::from_secs(20), resolve_host("localhost", 80, &shared)).await;
        drop(answer);
        assert!(found.unwrap().unwrap().iter().all(|address| address.port() == 80 && address.ip().is_loopback()));
    }
}
