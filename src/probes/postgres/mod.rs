#![doc = include_str!("postgres.md")]

pub mod checks;
pub mod facts;
pub mod grants;
mod probe;
mod session;

use std::{path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    facts::{PostgresFacts, PostgresRequest, SectionEntry},
    session::dsn::PostgresTarget,
};
pub use self::{probe::PostgresProbe, session::dsn::SslMode};
use crate::{
    io::{
        context::Context,
        kept::Renewal,
        resources::Resources,
        secret_file::{SecretFile, SecretSource},
    },
    kind::{CheckEntry, Kind},
    model::{
        failure::{Failure, Invalid},
        observation::Timing,
        privilege::Privilege,
        redaction::SentSecrets,
        secret::Secret,
        units::Period,
        words::{Phase, Reason},
    },
};

/// Connection of a `postgres` probe: a connection string, or its parts under the names that libpq uses.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// Connection string: `postgres://USER:PASSWORD@HOST:PORT/DBNAME?sslmode=verify-full` or `host=.. user=..`. The
    /// other keys override parts of the connection string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsn: Option<Secret>,
    /// File that contains the connection string. The file is read for each new connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsn_file: Option<SecretFile>,
    /// Host name, IP address, or directory of a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port. Default: 5432.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Role to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Database. Default: the name of the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dbname: Option<String>,
    /// Password of the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File that contains the password. The file is read for each new connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<SecretFile>,
    /// TLS mode, as in libpq. Default: `prefer`. `require` encrypts but accepts any certificate; production systems
    /// need `verify-full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<SslMode>,
    /// PEM file with the certificate authorities to trust. Default: the certificate authorities of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<PathBuf>,
    /// PEM file with the client certificate. Requires `sslkey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslcert: Option<PathBuf>,
    /// PEM file with the private key of the client certificate. Requires `sslcert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslkey: Option<PathBuf>,
    /// Maximum age of the kept connection. A run after this time opens a new one, so that the name, the address, the
    /// password and the certificate are checked again. The name is also resolved every 30 s, and the connection is
    /// replaced if the name no longer has its address. Default: 1h; with a `certificate` check 1m or 10 runs, whichever
    /// ends first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_age: Option<Period>,
}

impl Kind for Postgres {
    const NAME: &'static str = "postgres";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Login, Phase::Query];
    const DOC: &'static str = include_str!("postgres.md");
    const CHECKS: &'static [CheckEntry<PostgresFacts>] = checks::CHECKS;
    type Probe = PostgresProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        Renewal::validate(self.max_connection_age)?;
        if self.dsn.is_some() && self.dsn_file.is_some() {
            return Err(Invalid::at("dsn_file", "`dsn` is set too: remove one of them"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Err(Invalid::at("password_file", "`password` is set too: remove one of them"));
        }
        // A connection string in a file is validated when the file is read.
        if self.dsn_file.is_none() {
            self.configured_target(self.dsn.as_ref())?;
        }
        Ok(())
    }

    fn target(&self) -> Option<String> {
        match &self.dsn_file {
            Some(_) => self.host.clone(),
            None => Some(self.configured_target(self.dsn.as_ref()).ok()?.name()),
        }
    }

    fn sent_secrets(&self) -> SentSecrets {
        let mut secrets = SentSecrets::default();
        let written = self.configured_target(self.dsn.as_ref()).ok().and_then(|target| target.password);
        written.iter().chain(&self.password).for_each(|password| secrets.add_credential(password.expose()));
        secrets
    }

    fn privileges(requests: &[PostgresRequest]) -> Vec<Privilege> {
        requests.iter().filter_map(PostgresRequest::section).filter_map(SectionEntry::privilege).collect()
    }

    fn validate_requests(&self, requests: &[PostgresRequest]) -> Result<(), Invalid> {
        let judges_certificate = requests.iter().any(|request| matches!(request, PostgresRequest::Certificates));
        let target = self.configured_target(self.dsn.as_ref()).ok();
        match target {
            Some(target) if judges_certificate && target.sslmode == SslMode::Disable => {
                Err(Invalid::at("sslmode", "a `certificate` check needs an encrypted connection: set `verify-full`"))
            }
            _ => Ok(()),
        }
    }

    fn build(self, requests: Vec<PostgresRequest>, _shared: &Arc<Resources>) -> Result<PostgresProbe, Invalid> {
        let host = match &self.dsn_file {
            Some(_) => self.host.clone(),
            None => Some(self.configured_target(self.dsn.as_ref())?.host),
        };
        Ok(PostgresProbe::new(self, host, requests))
    }
}

impl Postgres {
    /// Target according to the configuration and a connection string. Files are not read.
    fn configured_target(&self, dsn: Option<&Secret>) -> Result<PostgresTarget, Invalid> {
        let mut parts = match dsn {
            Some(dsn) => session::dsn::Parts::parse(dsn).map_err(|message| Invalid::at("dsn", message))?,
            None => session::dsn::Parts::default(),
        };
        parts.override_with(self);
        parts.into_target()
    }

    /// Current target. Reads the secret files.
    async fn current_target(&self, cx: &Context) -> Result<PostgresTarget, Failure> {
        let file = match &self.dsn_file {
            Some(file) => Some(file.read(&cx.shared).await?),
            None => None,
        };
        // The message names the invalid key and never quotes the connection string.
        let target = self.configured_target(file.as_ref().or(self.dsn.as_ref()));
        let mut target = target.map_err(|invalid| {
            let failure = Failure::new(Reason::Parse, format!("the DSN: {invalid}"));
            failure.of_exporter("this exporter cannot parse the connection string in its secret file")
        })?;
        if let Some(source) = SecretSource::from_settings(self.password.as_ref(), self.password_file.as_ref()) {
            target.password = Some(source.read(&cx.shared).await?);
        }
        if let Some(password) =
            target.password.as_ref().filter(|_| self.dsn_file.is_some() || self.password_file.is_some())
        {
            cx.register_secrets(|secrets| secrets.add_credential(password.expose()));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests;
