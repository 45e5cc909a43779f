//! Name resolution and TCP connections, for all probe kinds.
//!
//! The addresses of a name are tried as by most clients (RFC 8305, "Happy Eyeballs", in short): IPv6 and IPv4 addresses
//! alternate, the next attempt starts 250 ms after the last one or when it has failed, and the first connection is used.
//! So a dead address costs a quarter of a second, and a broken address family does not fail the run.

mod address_family;

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

pub use self::address_family::AddressFamily;
use crate::{
    io::{
        context::Context,
        host_name::{ascii_host, split_zone},
        resources::Resources,
    },
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

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
    let addresses = resolve_addresses(cx, host, port, family, forbidden).await?;
    cx.phase(Phase::Connect, connect_first(cx, host, addresses)).await
}

/// Checks that every address of a host refuses connections. With `silence_passes`, addresses that do not answer count
/// as closed, too.
///
/// # Errors
/// `status`: an address accepts a connection. `timeout`: an address does not answer. The other failures of connecting.
pub(crate) async fn require_closed(
    cx: &Context,
    host: &str,
    port: u16,
    family: AddressFamily,
    silence_passes: bool,
) -> Result<(), Failure> {
    let addresses = resolve_addresses(cx, host, port, family, |_| None).await?;
    // A run that ends at its timeout has failed, so that the wait for an answer is shorter.
    let deadline = Instant::now() + cx.remaining() * 4 / 5;
    let attempts = addresses.into_iter().take(MAX_CLOSED_ADDRESSES).map(|address| connect_one(address, deadline));
    let tried: Vec<_> = cx.phase(Phase::Connect, futures_util::future::join_all(attempts)).await;
    if let Some((address, _)) = tried.iter().find(|(_, outcome)| outcome.is_ok()) {
        let text = format!("{address} accepts connections, but the port must be closed");
        return Err(Failure::new(Reason::Status, text));
    }
    let is_closed = |reason| reason == Reason::Refused || (silence_passes && reason == Reason::Timeout);
    let other = tried.into_iter().find_map(|(address, outcome)| {
        outcome.err().filter(|failure| !is_closed(failure.reason)).map(|failure| (address, failure))
    });
    let Some((address, failure)) = other else { return Ok(()) };
    if failure.reason == Reason::Timeout {
        let text = "a firewall may drop the packets, or the host may be down, so the port is not known to be closed; \
                    write `closed: or_silent` if silence is expected";
        return Err(Failure::new(Reason::Timeout, format!("no answer from {address}: {text}")));
    }
    Err(Failure::new(failure.reason, format!("{address}: {failure}; the port is not known to be closed")))
}

/// Maximum number of addresses that must be closed.
const MAX_CLOSED_ADDRESSES: usize = 32;

/// Addresses of a host in the order of the attempts.
async fn resolve_addresses(
    cx: &Context,
    host: &str,
    port: u16,
    family: AddressFamily,
    forbidden: impl Fn(IpAddr) -> Option<Failure>,
) -> Result<Vec<SocketAddr>, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => cx.phase(Phase::Resolve, resolve_host(bare, port, &cx.shared)).await?,
    };
    if let Some(failure) = found.iter().find_map(|address| forbidden(address.ip())) {
        return Err(failure);
    }
    let addresses = family.order(found);
    if addresses.is_empty() {
        return Err(Failure::new(Reason::Resolve, format!("{host} has no {family} address")));
    }
    Ok(addresses)
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
    let name = ascii_host(host).map_err(|text| Failure::new(Reason::Resolve, text))?.into_owned();
    let key = name.clone();
    let lookup = move || {
        let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| {
            if let Some((address, zone)) = split_zone(&name) {
                let text = if address.is_unicast_link_local() || address.is_multicast() {
                    format!("the zone `{zone}` of the address {address} is no network interface of this machine")
                } else {
                    format!("only link-local addresses (fe80::/10) have a zone: remove `%{zone}` from {address}")
                };
                return Failure::new(Reason::Resolve, text);
            }
            let text = error.to_string();
            let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
            Failure::new(Reason::Resolve, format!("the name {name} can't be resolved: {text}"))
        });
        found.map(Iterator::collect)
    };
    let mut found: Vec<SocketAddr> = shared.names.run(key, lookup).await?;
    found.iter_mut().for_each(|address| address.set_port(port));
    Ok(found)
}

/// Error numbers of Linux, macOS and the BSDs for a lack of file descriptors: of the system, and of this process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Time between the starts of two attempts (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Maximum number of concurrent attempts. With more addresses, each attempt has a part of the time.
const MAX_ATTEMPTS: usize = 8;

async fn connect_first(
    cx: &Context,
    host: &str,
    addresses: Vec<SocketAddr>,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let rounds = u32::try_from(addresses.len().div_ceil(MAX_ATTEMPTS)).unwrap_or(u32::MAX);
    let (share, end) = (cx.remaining() / rounds.max(1), Instant::now() + cx.remaining());
    // With many addresses, the delay is shorter, so that each address is tried.
    let delay = ATTEMPT_DELAY.min(cx.remaining() / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX));
    let (mut waiting, mut attempts, mut failures) = (addresses.into_iter(), FuturesUnordered::new(), Vec::new());
    loop {
        if attempts.len() < MAX_ATTEMPTS
            && let Some(address) = waiting.next()
        {
            attempts.push(connect_one(address, end.min(Instant::now() + share)));
        }
        let finished = match waiting.len() {
            0 => attempts.next().await,
            // After the delay, the next attempt starts beside the earlier ones.
            _ => match timeout(delay, attempts.next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            },
        };
        match finished {
            Some((address, Ok(stream))) => return Ok((stream, address)),
            Some((address, Err(failure))) => failures.push((address, failure)),
            None => return Err(summarize_failures(host, failures)),
        }
    }
}

async fn connect_one(address: SocketAddr, deadline: Instant) -> (SocketAddr, Result<TcpStream, Failure>) {
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| connect_failure(&error)),
        Err(_) => Err(Failure::new(Reason::Timeout, "no answer")),
    };
    if let Ok(stream) = &stream {
        // Otherwise, the second packet of a request waits for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
    }
    (address, stream)
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
    let failure =
        Failure::new(reason.unwrap_or(Reason::Unreachable), format!("no connection to {host} ({})", tried.join("; ")));
    match failure.reason {
        Reason::Timeout => failure.with_meaning("the target did not accept the connection within the timeout"),
        Reason::Limit => failure.of_exporter("this exporter has too many files open"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
