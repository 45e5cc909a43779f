//! The HTTP client of a probe, and what its errors mean.
//!
//! Made at the first run and again when a certificate or key has changed; until then it keeps its connection.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::connect::InLane;
use crate::{
    dial,
    probe::{Failure, Reason},
    shared::Shared,
    tls::{self, Tls},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    /// None for a connection in the clear.
    tls: Option<Tls>,
    host: Arc<str>,
    made: Mutex<Option<(Option<Arc<ClientConfig>>, reqwest::Client)>>,
}

impl Client {
    pub(super) fn new(tls: Option<Tls>, host: &str) -> Self {
        Self { tls, host: host.into(), made: Mutex::default() }
    }

    /// The client as the files are now.
    pub(super) async fn get(&self, shared: &Arc<Shared>) -> Result<reqwest::Client, Failure> {
        let config = match &self.tls {
            Some(tls) => Some(tls.client_config(shared).await?),
            None => None,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*made
            && of.as_ref().map(Arc::as_ptr) == config.as_ref().map(Arc::as_ptr)
        {
            return Ok(client.clone());
        }
        let client = build(config.as_deref(), &self.host, shared)?;
        *made = Some((config, client.clone()));
        Ok(client)
    }
}

fn build(config: Option<&ClientConfig>, host: &Arc<str>, shared: &Arc<Shared>) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .pool_max_idle_per_host(1)
        .dns_resolver(Arc::new(Resolver(Arc::clone(shared))));
    if config.is_some() {
        builder = builder.connector_layer(InLane { host: Arc::clone(host), shared: Arc::clone(shared) });
    }
    // Without a configuration of ours reqwest looks for a crypto provider that nobody has installed.
    let config = match config {
        Some(config) => config.clone(),
        None => trusting_nobody()?,
    };
    builder.tls_backend_preconfigured(config).build().map_err(|error| failure("making an HTTP client", error))
}

fn trusting_nobody() -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::from_error(Reason::Internal, "making a TLS client", &error))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Resolves as every probe does, within the bound on look-ups.
struct Resolver(Arc<Shared>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            // The port comes from the URL afterwards.
            let found: Vec<SocketAddr> = dial::resolve(name.as_str(), 0, &shared).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The failure behind an error of the client; the URL, which may hold a token, is taken out of it.
pub(super) fn failure(what: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if let Some(failure) = tls::failure_in(what, &error) {
        return failure;
    }
    let (mut next, mut reason) = (Some(&error as &(dyn std::error::Error + 'static)), None);
    while let Some(cause) = next {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.clone();
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            reason = Some(match error.kind() {
                io::ErrorKind::ConnectionRefused => Reason::Refused,
                io::ErrorKind::TimedOut => Reason::Timeout,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::Unreachable,
                _ => Reason::Protocol,
            });
        }
        next = cause.source();
    }
    // Deflated data that can't be inflated is no page; anything else is no HTTP.
    let otherwise = if error.is_decode() { Reason::Parse } else { Reason::Protocol };
    let reason = if error.is_decode() { otherwise } else { reason.unwrap_or(otherwise) };
    Failure::from_error(reason, what, &error)
}
