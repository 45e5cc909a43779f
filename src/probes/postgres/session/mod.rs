//! A session: a connection, the task that drives it, and its prepared statements.

mod allowance;
pub(super) mod dsn;
mod failure;
mod filter;
mod login;
mod transport;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, Error, Row, Statement,
    config::{SslMode as DriverMode, SslNegotiation},
    error::Severity,
};

use self::{
    allowance::ByteBudget,
    dsn::PostgresTarget,
    transport::{Established, Transport},
};
use super::facts::{Section, SectionData, SectionEntry, server::ServerFacts};
use crate::{
    io::{context::Context, resources::Resources},
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
    /// Prepared statements by section: at most one for each requested section.
    statements: HashMap<&'static str, Statement>,
    /// Version of the server; `None` before the section `server` was read.
    version: Option<i32>,
    target: PostgresTarget,
    encrypted: bool,
    allowance: ByteBudget,
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
    /// Connects, logs in and prepares the statement of the section `server`.
    pub(super) async fn open(cx: &Context, target: PostgresTarget) -> Result<Self, Failure> {
        let channel = Transport::open(cx, &target).await?;
        let (encrypted, allowance, gate) = (channel.is_encrypted(), channel.allowance(), channel.gate());
        let login = cx.phase(Phase::Login, async {
            let config = driver_config(&target, cx.timeout);
            let login = async move { config.connect_raw(channel, Established).await };
            let (client, connection) =
                login::drive_login(login, &gate, &target.host, &cx.shared).await?.map_err(|error| {
                    failure::statement_failure(&format!("logging in as {}", target.user), &error, &allowance)
                })?;
            let (leave, left) = oneshot::channel::<()>();
            let driver = tokio::spawn(async move {
                tokio::pin!(connection);
                // Dropping the sender is the signal; no value is sent.
                tokio::select! {
                    _ = &mut connection => {}
                    _ = left => { let _ = timeout(CANCEL_TIMEOUT, connection).await; }
                }
            });
            // The driver must end if this future is dropped.
            let guard = Guard(Some(driver));
            let statement = client.prepare(ServerFacts::SPEC.sql(0)?).await;
            let statement =
                statement.map_err(|error| failure::statement_failure("preparing the query", &error, &allowance))?;
            Ok((client, statement, guard, leave))
        });
        let (client, statement, driver, leave) = login.await?;
        Ok(Self {
            client,
            statements: HashMap::from([(ServerFacts::SPEC.name, statement)]),
            version: None,
            target,
            encrypted,
            allowance,
            busy: false,
            driver,
            _leave: leave,
            shared: Arc::clone(&cx.shared),
        })
    }

    /// Executes the statements of several sections in one round trip. Preparing statements takes a second one.
    /// Returns the results in the order of the sections.
    ///
    /// # Errors
    /// The session is unusable: the connection ended, or the server violated the protocol or a limit.
    pub(super) async fn read(
        &mut self,
        cx: &Context,
        sections: &[SectionEntry],
    ) -> Result<Vec<SectionResult>, Failure> {
        self.busy = true;
        // The driver sends all requests before it waits for the first response.
        let all = join_all(sections.iter().map(|section| self.execute(*section, cx.remaining())));
        let executed = cx.phase(Phase::Query, all).await;
        let (mut results, mut is_given_up) = (Vec::with_capacity(sections.len()), false);
        for (section, (statement, result)) in sections.iter().zip(executed) {
            if let Some(statement) = statement {
                self.statements.insert(section.spec.name, statement);
            }
            results.push(match result {
                Ok(rows) => (section.decode)(&rows),
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

    async fn execute(
        &self,
        section: SectionEntry,
        remaining: Duration,
    ) -> (Option<Statement>, Result<Vec<Row>, StatementError>) {
        let mut prepared = None;
        let execution = async {
            let statement = match self.statements.get(section.spec.name) {
                Some(statement) => statement,
                None => {
                    let sql = section.spec.sql(self.version.unwrap_or(0)).map_err(StatementError::Section)?;
                    let statement = self.client.prepare(sql).await;
                    &*prepared.insert(statement.map_err(|error| self.classify_error(section, &error))?)
                }
            };
            self.client.query(statement, &[]).await.map_err(|error| self.classify_error(section, &error))
        };
        // An expensive statement that takes too long fails alone. Without `server`, the run fails anyway.
        let result = if section.spec.every.is_some() && section.spec.name != ServerFacts::SPEC.name {
            let limit = remaining.mul_f64(EXPENSIVE_SHARE);
            timeout(limit, execution).await.unwrap_or_else(|_| {
                let (name, limit) = (section.spec.name, Unit::Seconds.format_value(limit.as_secs_f64()));
                let text = format!("`{name}` was not answered within {limit}; increase the probe's `timeout`");
                Err(StatementError::GivenUp(Failure::new(Reason::Timeout, text)))
            })
        } else {
            execution.await
        };
        (prepared, result)
    }

    /// Distinguishes a failed statement from a failed session.
    fn classify_error(&self, section: SectionEntry, error: &Error) -> StatementError {
        let failure = failure::statement_failure(&format!("`{}`", section.spec.name), error, &self.allowance);
        let is_response = error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error));
        if is_response && self.allowance.recorded_refusal().is_none() {
            StatementError::Section(failure)
        } else {
            StatementError::Session(failure)
        }
    }

    /// Restores the byte budget for another run.
    pub(super) fn begin_run(&self) {
        self.allowance.restore();
    }

    /// Version of the server; `None` before the section `server` was read.
    pub(super) fn version(&self) -> Option<i32> {
        self.version
    }

    /// Sets the version of the server, which selects the statements.
    pub(super) fn set_version(&mut self, version: i32) {
        self.version = Some(version);
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
                if let Ok(channel) = Transport::open(&cx, &target).await {
                    // The request has no response. If it is lost, statement_timeout ends the statement.
                    let _ = token.cancel_query_raw(channel, Established).await;
                }
            }));
        }
    }
}

/// Ratio of the remaining time that an expensive statement may take.
const EXPENSIVE_SHARE: f64 = 0.8;

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

fn driver_config(target: &PostgresTarget, limit: Duration) -> Config {
    let mut config = Config::new();
    config
        .user(&target.user)
        .dbname(&target.dbname)
        .application_name("readiness-exporter")
        .options(session_options(target.options.as_deref(), limit))
        // The transport is established, encrypted or not, so that no negotiation precedes the login.
        .ssl_mode(DriverMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    if let Some(password) = &target.password {
        config.password(password.expose());
    }
    config
}

/// Session settings: timeouts of the server, so that a statement of an abandoned run ends soon. They follow the
/// configured options and override them.
fn session_options(own: Option<&str>, limit: Duration) -> String {
    let limit = limit.as_millis().max(1);
    let lock = (limit / 2).max(1);
    let own = own.map(|own| format!("{own} ")).unwrap_or_default();
    format!(
        "{own}-c default_transaction_read_only=on -c statement_timeout={limit} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={limit}"
    )
}
