//! A session: a connection and the task that drives it.
//!
//! No statement depends on an earlier one: statements are unnamed, so that a pooler may execute each of them on another
//! connection to the server.

mod allowance;
pub(super) mod dsn;
mod failure;
mod filter;
mod login;
mod settings;
mod transport;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::{join_all, join3};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, Error, Row,
    config::{ChannelBinding as DriverBinding, SslMode as DriverMode, SslNegotiation},
    error::Severity,
};

use self::{
    allowance::ByteBudget,
    dsn::{ChannelBinding, PostgresTarget},
    settings::SettingsScope,
    transport::{Established, Transport},
};
use super::facts::{Section, SectionData, SectionEntry, server::ServerFacts};
use crate::{
    io::{
        context::Context,
        kept::{ConnectionAge, Renewal},
        resources::Resources,
        tls::Certificates,
    },
    model::{
        failure::Failure,
        units::Unit,
        words::{Phase, Reason},
    },
};

/// A connection after the login.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    /// Version of the server; `None` before the section `server` was read.
    version: Option<i32>,
    target: PostgresTarget,
    encrypted: bool,
    certificates: Option<Arc<Certificates>>,
    age: ConnectionAge,
    allowance: ByteBudget,
    /// Where the limits of the statements are set.
    scope: SettingsScope,
    /// Time limit of the statements on the server.
    time_limit: Duration,
    /// Whether the server may still execute a statement.
    busy: bool,
    driver: Guard,
    /// Dropping the sender gives the driver a short time to close the connection properly.
    _leave: oneshot::Sender<()>,
    shared: Arc<Resources>,
}

/// Result of one section. A failure of a section leaves the session usable.
pub(super) type SectionResult = Result<Arc<dyn SectionData>, Failure>;

/// Timeout for closing the connection, and for cancelling a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Connects and logs in.
    ///
    /// A pooler can refuse the settings of the session. The second attempt then logs in without them.
    pub(super) async fn open(
        cx: &Context,
        target: PostgresTarget,
        presented: &mut Option<Arc<Certificates>>,
    ) -> Result<Self, Failure> {
        match Self::log_in(cx, target.clone(), SettingsScope::Session, presented).await {
            Err(LoginError::RefusedSettings(_)) if target.options.is_none() => {
                Self::log_in(cx, target, SettingsScope::Transaction, presented).await
            }
            result => result,
        }
        .map_err(LoginError::into_failure)
    }

    async fn log_in(
        cx: &Context,
        target: PostgresTarget,
        scope: SettingsScope,
        presented: &mut Option<Arc<Certificates>>,
    ) -> Result<Self, LoginError> {
        let channel = Transport::open(cx, &target, presented).await.map_err(LoginError::Other)?;
        // A Unix socket has an age but no address that could change.
        let age = ConnectionAge::start(channel.remote().unwrap_or(UNIX_SOCKET_ADDRESS));
        let (encrypted, allowance, gate) = (channel.is_encrypted(), channel.allowance(), channel.gate());
        let login = cx.phase(Phase::Login, async {
            let config = driver_config(&target, scope, cx.timeout);
            let login = async move { config.connect_raw(channel, Established).await };
            let connected = login::drive_login(login, &gate, &target.host, &cx.shared).await;
            connected.map_err(LoginError::Other)?.map_err(|error| {
                let failure = failure::statement_failure(&format!("logging in as {}", target.user), &error, &allowance);
                match failure::is_refused_setting(&error) {
                    true => LoginError::RefusedSettings(failure),
                    false => LoginError::Other(failure),
                }
            })
        });
        let (client, connection) = login.await?;
        let (leave, left) = oneshot::channel::<()>();
        let driver = tokio::spawn(async move {
            tokio::pin!(connection);
            // Dropping the sender is the signal; no value is sent.
            tokio::select! {
                _ = &mut connection => {}
                _ = left => { let _ = timeout(CANCEL_TIMEOUT, connection).await; }
            }
        });
        Ok(Self {
            client,
            version: None,
            target,
            encrypted,
            certificates: presented.clone(),
            age,
            allowance,
            scope,
            time_limit: cx.timeout,
            busy: false,
            driver: Guard(Some(driver)),
            _leave: leave,
            shared: Arc::clone(&cx.shared),
        })
    }

    /// Executes the statements of several sections. On a connection of its own, the session sends all of them before it
    /// waits for the first response, so they take one round trip. Returns the results in the order of the sections.
    ///
    /// # Errors
    /// The session is unusable: the connection ended, or the server violated the protocol or a limit.
    pub(super) async fn read(
        &mut self,
        cx: &Context,
        sections: &[SectionEntry],
    ) -> Result<Vec<SectionResult>, Failure> {
        self.busy = true;
        let executed = cx.phase(Phase::Query, async {
            match self.scope {
                SettingsScope::Session => {
                    join_all(sections.iter().map(|section| self.execute(section, cx.remaining()))).await
                }
                SettingsScope::Transaction => {
                    let mut executed = Vec::with_capacity(sections.len());
                    for section in sections {
                        executed.push(self.execute(section, cx.remaining()).await);
                    }
                    executed
                }
            }
        });
        let executed = executed.await;
        let (mut results, mut is_given_up) = (Vec::with_capacity(sections.len()), false);
        for (section, result) in sections.iter().zip(executed) {
            results.push(match result {
                Ok(rows) => section.decode(&rows),
                Err(StatementError::Section(failure)) => Err(failure),
                Err(StatementError::GivenUp(failure)) => {
                    is_given_up = true;
                    Err(failure)
                }
                Err(StatementError::Session(failure)) => return Err(failure),
            });
        }
        self.busy = is_given_up;
        Ok(results)
    }

    async fn execute(&self, section: &SectionEntry, remaining: Duration) -> Result<Vec<Row>, StatementError> {
        let sql = section.sql(self.version.unwrap_or(0)).map_err(StatementError::Section)?;
        let execution = async {
            let rows = match (section, self.scope) {
                (SectionEntry::BuiltIn { .. }, SettingsScope::Session) => self.client.query_typed(sql, &[]).await,
                // A query of the configuration could change settings, so its transaction is always rolled back.
                (SectionEntry::Query(_), SettingsScope::Session) => {
                    let begin = self.client.batch_execute("BEGIN READ ONLY");
                    let rows = self.client.query_typed(sql, &[]);
                    let (begun, rows, ended) = join3(begin, rows, self.client.batch_execute("ROLLBACK")).await;
                    begun.and(rows).and_then(|rows| ended.map(|()| rows))
                }
                (_, SettingsScope::Transaction) => self.execute_in_transaction(sql).await,
            };
            rows.map_err(|error| self.classify_error(section, &error))
        };
        // An expensive statement that takes too long fails alone. Without `server`, the run fails anyway.
        if section.every().is_some() && section.name() != ServerFacts::SPEC.name {
            let limit = remaining.mul_f64(EXPENSIVE_SHARE);
            timeout(limit, execution).await.unwrap_or_else(|_| {
                let (name, limit) = (section.name(), Unit::Seconds.format_value(limit.as_secs_f64()));
                let text = format!("`{name}` was not answered within {limit}; increase the probe's `timeout`");
                Err(StatementError::GivenUp(Failure::new(Reason::Timeout, text)))
            })
        } else {
            execution.await
        }
    }

    /// Executes a statement in a transaction that sets its limits. The statement is sent only after the transaction has
    /// begun: a pooler without transactions must not execute it without the limits.
    async fn execute_in_transaction(&self, sql: &str) -> Result<Vec<Row>, Error> {
        self.client.batch_execute(&settings::transaction_start(self.time_limit)).await?;
        let rows = self.client.query_typed(sql, &[]).await;
        let ended = self.client.batch_execute("ROLLBACK").await;
        let rows = rows?;
        ended?;
        Ok(rows)
    }

    /// Distinguishes a failed statement from a failed session.
    fn classify_error(&self, section: &SectionEntry, error: &Error) -> StatementError {
        let failure = failure::statement_failure(&format!("`{}`", section.name()), error, &self.allowance);
        let is_response = error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error));
        if is_response && self.allowance.recorded_refusal().is_none() {
            StatementError::Section(failure)
        } else {
            StatementError::Session(failure)
        }
    }

    /// Whether the connection may be used for another run, or a new one must replace it.
    pub(super) async fn admits_run(&mut self, cx: &Context, renewal: Renewal) -> bool {
        let address = UNIX_SOCKET_ADDRESS.ip().to_string();
        let host = if self.target.socket_path().is_some() { &address } else { self.target.address() };
        self.age.admits_run(cx, host, renewal).await
    }

    /// The certificates that the server presented.
    pub(super) fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// Restores the byte budget for another run.
    pub(super) fn begin_run(&self) {
        self.allowance.restore();
    }

    /// Version of the server; `None` before the section `server` was read.
    pub(super) fn version(&self) -> Option<i32> {
        self.version
    }

    /// Registers the first reading of the section `server`. Its version selects the statements, and its settings show
    /// whether the server applies those of the session.
    ///
    /// # Errors
    /// `protocol`: a pooler ignores the configured `options`.
    pub(super) fn register_server(&mut self, server: &ServerFacts) -> Result<(), Failure> {
        self.version = Some(server.version_number);
        if self.scope == SettingsScope::Session && !settings::are_applied(server.session, self.time_limit) {
            if self.target.options.is_some() {
                let text = "a pooler ignores the `options` of the DSN: remove them, or connect to the server itself";
                return Err(Failure::new(Reason::Protocol, text));
            }
            self.scope = SettingsScope::Transaction;
        }
        Ok(())
    }

    /// Whether a pooler did not pass on the settings of the session.
    pub(super) fn is_pooled(&self) -> bool {
        self.scope == SettingsScope::Transaction
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the server may still execute a statement that was given up.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether the server has closed the connection. A connection that was closed because of a limit does not count.
    pub(super) fn is_lost(&self) -> bool {
        self.client.is_closed() && self.allowance.recorded_refusal().is_none()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.busy || self.client.is_closed() {
            // Between two runs, the driver closes the connection properly.
            self.driver.detach();
            return;
        }
        // Closing the connection does not stop the execution of a statement. The statement is cancelled, as Ctrl-C in
        // psql does.
        let (token, target, shared) = (self.client.cancel_token(), self.target.clone(), Arc::clone(&self.shared));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(CANCEL_TIMEOUT, async move {
                let cx = Context::new(CANCEL_TIMEOUT, shared);
                if let Ok(channel) = Transport::open(&cx, &target, &mut None).await {
                    // The request has no response. If it is lost, statement_timeout ends the statement.
                    let _ = token.cancel_query_raw(channel, Established).await;
                }
            }));
        }
    }
}

/// Stands for the address of a Unix socket.
const UNIX_SOCKET_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Ratio of the remaining time that an expensive statement may take.
const EXPENSIVE_SHARE: f64 = 0.8;

/// The failure of a login.
enum LoginError {
    /// The server refused the settings of the session, as poolers do.
    RefusedSettings(Failure),
    /// Any other failure.
    Other(Failure),
}

impl LoginError {
    fn into_failure(self) -> Failure {
        match self {
            Self::RefusedSettings(failure) | Self::Other(failure) => failure,
        }
    }
}

/// The failure of one statement.
enum StatementError {
    /// The server refused or failed the statement.
    Section(Failure),
    /// The statement took too long and may still be executed.
    GivenUp(Failure),
    /// The session is unusable.
    Session(Failure),
}

/// Aborts a task when dropped, unless the task was detached before.
#[derive(Debug)]
struct Guard(Option<JoinHandle<()>>);

impl Guard {
    fn detach(&mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

fn driver_config(target: &PostgresTarget, scope: SettingsScope, limit: Duration) -> Config {
    let mut config = Config::new();
    config
        .user(&target.user)
        .dbname(&target.dbname)
        .application_name(target.application_name.as_deref().unwrap_or("readiness-exporter"))
        .channel_binding(match target.channel_binding {
            ChannelBinding::Disable => DriverBinding::Disable,
            ChannelBinding::Prefer => DriverBinding::Prefer,
            ChannelBinding::Require => DriverBinding::Require,
        })
        // The transport is established, encrypted or not, so that no negotiation precedes the login.
        .ssl_mode(DriverMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    if scope == SettingsScope::Session {
        config.options(settings::session_options(target.options.as_deref(), limit));
    }
    if let Some(password) = &target.password {
        config.password(password.expose());
    }
    config
}
