//! `healthcheck`: asks the daemon beside it whether it runs, for container engines that have no shell to do so. It
//! judges the daemon and never what the daemon watches: a service that fails is no reason to restart its watcher.

mod beside;

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail, ensure};
use clap::Args;

use super::{Common, Exit, complain};
use crate::settings::{self, Flags};

/// Arguments of `healthcheck`.
#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// Ask here. Default: where the only daemon beside it listens; where there are several, or --config.file says which
    /// one is meant, the first address of the configuration
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen: Option<String>,
}

/// For the whole conversation; container engines allow 30 seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// Far more than the first line of our answer has; who sends more without a line break is not our daemon.
const STATUS_LINE_BYTES: usize = 1 << 10;

impl Healthcheck {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<Exit> {
        let addresses = self.addresses(common)?;
        let Some(first) = addresses.first() else {
            return Ok(complain("no address to ask: expected --web.listen-address as in 127.0.0.1:10980"));
        };
        let mut failure = None;
        // The demo listens as the service that it watches, too.
        for address in addresses.iter().map(|address| reachable(*address)) {
            match ask(address) {
                Ok(()) => {
                    writeln!(io::stdout().lock(), "the daemon at {address} runs")?;
                    return Ok(Exit::Good);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let why = failure.map(|error| format!(": {error:#}")).unwrap_or_default();
        complain(&format!("the daemon at {} is not healthy{why}", reachable(*first)));
        Ok(Exit::Fails)
    }

    /// Where to ask. The daemon goes on with what it has read while somebody edits the file, or has taken it away: what is
    /// there now must not fail this, and never means the default port.
    fn addresses(self, common: &Common) -> anyhow::Result<Vec<SocketAddr>> {
        // Who names a file may mean a daemon that is dead, with another one beside it.
        if self.listen.is_some() || common.config_file.is_some() {
            return self.configured(common).or_else(|error| some(beside::addresses()).ok_or(error));
        }
        some(beside::addresses()).map_or_else(|| self.configured(common), Ok)
    }

    /// The first address that flags, environment or file give.
    fn configured(self, common: &Common) -> anyhow::Result<Vec<SocketAddr>> {
        let flags = Flags { listen: self.listen.into_iter().collect(), ..Flags::default() };
        let listen = settings::listen(&common.sources(flags)).map_err(|problems| {
            anyhow!(
                "can't tell where the daemon listens: {problems}\nset --web.listen-address or \
                 READINESS_SERVER__LISTEN, which go before the file"
            )
        })?;
        Ok(listen.into_iter().take(1).collect())
    }
}

fn some(addresses: Vec<SocketAddr>) -> Option<Vec<SocketAddr>> {
    Some(addresses).filter(|addresses| !addresses.is_empty())
}

/// Where a daemon that listens on every address can be asked from beside it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// One request over plain HTTP, without a runtime: this runs every few seconds for as long as the container does.
fn ask(address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /-/healthy HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < STATUS_LINE_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no answer within {} seconds", PATIENCE.as_secs());
        stream.set_read_timeout(Some(left))?;
        let mut part = [0; 128];
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend(part.iter().take(read)),
            // The time is over: said above.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200 ") {
        bail!("expected HTTP/1.1 200 from /-/healthy, got {status:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_on_every_address_is_asked_on_this_machine() {
        for (listens, asked) in [
            ("0.0.0.0:10980", "127.0.0.1:10980"),
            ("[::]:10980", "[::1]:10980"),
            ("10.1.2.3:9", "10.1.2.3:9"),
            ("[fd00::1]:9", "[fd00::1]:9"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
