//! `healthcheck`: asks the local daemon whether it is healthy, for container images without a shell. The result never
//! depends on the verdicts: a failing service is no reason to restart its monitor.

mod listeners;

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{anyhow, ensure};
use clap::Args;
use reqwest::{Client, StatusCode, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{Exit, GlobalArgs, print_error};
use crate::{
    server::HEALTHY,
    settings::{self, Flags},
};

/// Arguments of `healthcheck`.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// Address of the daemon. Default: where the only local daemon listens; if there are several, or if --config.file
    /// is given, the first address of the configuration
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Timeout of the whole request; container engines allow 30 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

impl HealthcheckArgs {
    pub(super) fn run(self, common: &GlobalArgs) -> anyhow::Result<Exit> {
        let addresses = self.addresses(common)?;
        let Some(first) = addresses.first() else {
            return Ok(print_error("no address to ask: expected --web.listen-address as in 127.0.0.1:10980"));
        };
        let mut failure = None;
        // The process of the demo also listens as its target service.
        for address in addresses.iter().map(|address| connect_address(*address)) {
            match request_health(address) {
                Ok(()) => {
                    writeln!(io::stdout().lock(), "the daemon at {address} is healthy")?;
                    return Ok(Exit::Good);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let why = failure.map(|error| format!(": {error:#}")).unwrap_or_default();
        print_error(&format!("the daemon at {} is not healthy{why}", connect_address(*first)));
        Ok(Exit::Fails)
    }

    /// Returns the addresses to try. The configuration file may be edited or missing while the daemon runs, so errors
    /// in it must neither fail the health check nor imply the default port.
    fn addresses(self, common: &GlobalArgs) -> anyhow::Result<Vec<SocketAddr>> {
        // An explicit file may belong to a daemon that doesn't run while another one does.
        if self.listen.is_some() || common.config_file.is_some() {
            return self
                .configured_addresses(common)
                .or_else(|error| non_empty(listeners::daemon_addresses()).ok_or(error));
        }
        non_empty(listeners::daemon_addresses()).map_or_else(|| self.configured_addresses(common), Ok)
    }

    /// The first address in flags, environment or configuration file.
    fn configured_addresses(self, common: &GlobalArgs) -> anyhow::Result<Vec<SocketAddr>> {
        let flags = Flags { listen: self.listen.into_iter().collect(), ..Flags::default() };
        let listen = settings::listen_addresses(&common.sources(flags)).map_err(|problems| {
            anyhow!(
                "can't tell where the daemon listens: {problems}\nset --web.listen-address or \
                 READINESS_SERVER__LISTEN, which go before the file"
            )
        })?;
        Ok(listen.into_iter().take(1).collect())
    }
}

fn non_empty(addresses: Vec<SocketAddr>) -> Option<Vec<SocketAddr>> {
    Some(addresses).filter(|addresses| !addresses.is_empty())
}

/// Replaces an unspecified address by the loopback address.
fn connect_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Sends one request over plain HTTP on a single-threaded runtime, because container engines run this every few
/// seconds. The first line of the body tells the daemon from another server at its address.
fn request_health(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut answer = http_client()?.get(format!("http://{address}/-/healthy")).send().await.map_err(|error| {
            if error.is_timeout() {
                return anyhow!("no answer within {} seconds", REQUEST_TIMEOUT.as_secs());
            }
            error.without_url().into()
        })?;
        let status = answer.status();
        ensure!(status == StatusCode::OK, "expected status 200 from /-/healthy, got {status}");
        let mut body = Vec::new();
        while body.len() <= HEALTHY.len()
            && let Some(piece) = answer.chunk().await.map_err(reqwest::Error::without_url)?
        {
            body.extend_from_slice(&piece);
        }
        let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
        ensure!(line == HEALTHY.as_bytes(), "another server answers there: expected `{HEALTHY}` from /-/healthy");
        Ok(())
    })
}

fn http_client() -> anyhow::Result<Client> {
    // Without an explicit TLS configuration reqwest requires an installed crypto provider.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let client =
        Client::builder().no_proxy().redirect(Policy::none()).timeout(REQUEST_TIMEOUT).tls_backend_preconfigured(tls);
    Ok(client.build()?)
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
            assert_eq!(connect_address(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
