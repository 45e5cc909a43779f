#![doc = include_str!("postgres.md")]

pub mod checks;
pub mod facts;
pub mod grants;
mod session;

use std::{path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

pub use self::session::dsn::SslMode;
use self::{
    facts::PostgresFacts,
    session::{Session, dsn::Target},
};
use crate::{
    io::{
        context::Context,
        resources::Resources,
        secret_file::{SecretFile, SecretSource},
    },
    kind::{CheckEntry, Kind},
    model::{
        failure::{Failure, Invalid},
        observation::{Incomplete, Timing},
        redaction::SentSecrets,
        secret::Secret,
        units::Period,
        words::{Phase, Reason},
    },
    probe::Probe,
};

/// Connection of a `postgres` probe: a connection string, or its parts under the names of libpq.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// Connection string: `postgres://USER:PASSWORD@HOST:PORT/DBNAME?sslmode=verify-full` or `host=.. user=..`. Other
    /// keys override its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsn: Option<Secret>,
    /// File that contains the connection string. The file is read at each connect.
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
    /// File that contains the password. The file is read at each connect.
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
}

/// What runs.
#[derive(Debug)]
pub struct PostgresProbe {
    settings: Postgres,
    host: Option<String>,
    link: Mutex<Link>,
}

/// What one run leaves for the next.
#[derive(Debug, Default)]
struct Link {
    session: Option<Session>,
    backoff: Backoff,
}

impl Kind for Postgres {
    const NAME: &'static str = "postgres";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Login, Phase::Query];
    const DOC: &'static str = include_str!("postgres.md");
    const CHECKS: &'static [CheckEntry<PostgresFacts>] = checks::CHECKS;
    type Probe = PostgresProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        if self.dsn.is_some() && self.dsn_file.is_some() {
            return Err(Invalid::at("dsn_file", "`dsn` is set too: remove one of them"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Err(Invalid::at("password_file", "`password` is set too: remove one of them"));
        }
        // What is in a file is only known when it is read.
        if self.dsn_file.is_none() {
            self.written(self.dsn.as_ref())?;
        }
        Ok(())
    }

    fn sent_secrets(&self) -> SentSecrets {
        let mut hidden = SentSecrets::default();
        let written = self.written(self.dsn.as_ref()).ok().and_then(|target| target.password);
        written.iter().chain(&self.password).for_each(|password| hidden.secret(password.expose()));
        hidden
    }

    fn build(self, _wants: Vec<()>, _shared: &Arc<Resources>) -> Result<PostgresProbe, Invalid> {
        let host = match &self.dsn_file {
            Some(_) => self.host.clone(),
            None => Some(self.written(self.dsn.as_ref())?.host),
        };
        Ok(PostgresProbe { settings: self, host, link: Mutex::default() })
    }
}

impl Postgres {
    /// Where to connect to, as far as it is written: a password in a file is not read here.
    fn written(&self, dsn: Option<&Secret>) -> Result<Target, Invalid> {
        let mut parts = match dsn {
            Some(dsn) => session::dsn::Parts::read(dsn).map_err(|message| Invalid::at("dsn", message))?,
            None => session::dsn::Parts::default(),
        };
        parts.override_with(self);
        parts.complete()
    }

    /// Where to connect to now.
    async fn target(&self, cx: &Context) -> Result<Target, Failure> {
        let file = match &self.dsn_file {
            Some(file) => Some(file.read(&cx.shared).await?),
            None => None,
        };
        // The message names the key at fault and never quotes what was written.
        let target = self.written(file.as_ref().or(self.dsn.as_ref()));
        let mut target = target.map_err(|invalid| Failure::new(Reason::Parse, format!("the DSN: {invalid}")))?;
        if let Some(source) = SecretSource::of(self.password.as_ref(), self.password_file.as_ref()) {
            target.password = Some(source.read(&cx.shared).await?);
        }
        if let Some(password) =
            target.password.as_ref().filter(|_| self.dsn_file.is_some() || self.password_file.is_some())
        {
            cx.hide(|hidden| hidden.secret(password.expose()));
        }
        Ok(target)
    }
}

impl Probe for PostgresProbe {
    type Facts = PostgresFacts;

    fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    async fn observe(&self, cx: &Context) -> Result<PostgresFacts, Incomplete<PostgresFacts>> {
        let mut link = self.link.lock().await;
        // Taken out: whatever goes wrong from here, also being dropped, ends the connection.
        if let Some(mut session) = link.session.take() {
            match session.query(cx).await {
                Ok(facts) => {
                    link.session = Some(session);
                    return Ok(facts);
                }
                // The server was restarted, or threw this connection out, while nobody looked: that it can be
                // reached now is what counts.
                Err(failure) if session.is_lost() || failure.reason == Reason::Canceled => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        link.backoff.begin(Instant::now())?;
        let connected = async {
            let target = self.settings.target(cx).await?;
            let mut session = Session::open(cx, target).await?;
            let facts = session.query(cx).await?;
            Ok((session, facts))
        };
        match connected.await {
            Ok((session, facts)) => {
                *link = Link { session: Some(session), backoff: Backoff::default() };
                Ok(facts)
            }
            Err(failure) => {
                link.backoff.last = Some(Failure::clone(&failure));
                Err(failure.into())
            }
        }
    }
}

/// Spaces the attempts to connect: the second comes as soon as the scheduler likes, later ones up to ten seconds after
/// the one before. With usual intervals nothing is ever held back; short retry intervals are.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
    next: Option<Instant>,
    last: Option<Failure>,
}

const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Backoff {
    /// Counts an attempt, or says again why the last one failed if it is too early for one.
    fn begin(&mut self, now: Instant) -> Result<(), Failure> {
        if let (Some(next), Some(last)) = (self.next, &self.last)
            && next > now
        {
            let wait = Period(Duration::from_millis((next - now).as_millis() as u64));
            return Err(Failure::new(last.reason, format!("{last}; next attempt to connect in {wait}")));
        }
        self.attempts = self.attempts.saturating_add(1);
        let wait = match self.attempts {
            1 => Duration::ZERO,
            n => Duration::from_secs(1 << (n - 2).min(8)).min(LONGEST_WAIT),
        };
        self.next = Some(now + wait);
        // What stands here if the run is dropped before it ends.
        self.last = Some(Failure::new(Reason::Timeout, "the last attempt to connect did not end in time"));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
