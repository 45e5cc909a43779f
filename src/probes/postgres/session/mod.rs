//! One login: a connection, the task that drives it, and the statements that are prepared on it.

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
    dsn::Target,
    transport::{Established, Transport},
};
use super::facts::{Section, SectionData, SectionEntry, server::ServerFacts};
use crate::{
    io::{context::Context, resources::Resources},
    model::{
        failure::Failure,
        units::Period,
        words::{Phase, Reason},
    },
};

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    /// The prepared statements by section: at most one for each requested section.
    statements: HashMap<&'static str, Statement>,
    /// Known once the section `server` was read.
    version: Option<i32>,
    target: Target,
    encrypted: bool,
    allowance: ByteBudget,
    /// A statement may still be executed on the server.
    busy: bool,
    driver: Guard,
    /// When it goes, the driver has a moment left to say goodbye.
    _leave: oneshot::Sender<()>,
    shared: Arc<Resources>,
}

/// The result of one section: the section, or its own failure, which leaves the session usable.
pub(super) type SectionResult = Result<Arc<dyn SectionData>, Failure>;

/// How long saying goodbye or cancelling may take.
const MOMENT: Duration = Duration::from_secs(2);

impl Session {
    /// Connects, logs in and prepares the statement of the section `server`.
    pub(super) async fn open(cx: &Context, target: Target) -> Result<Self, Failure> {
        let channel = Transport::open(cx, &target).await?;
        let (encrypted, allowance, gate) = (channel.is_encrypted(), channel.allowance(), channel.gate());
        let login = cx.phase(Phase::Login, async {
            let config = config(&target, cx.timeout);
            let login = async move { config.connect_raw(channel, Established).await };
            let (client, connection) = login::drive(login, &gate, &target.host, &cx.shared)
                .await?
                .map_err(|error| failure::of(&format!("logging in as {}", target.user), &error, &allowance))?;
            let (leave, left) = oneshot::channel::<()>();
            let driver = tokio::spawn(async move {
                tokio::pin!(connection);
                // The sender is never used: being dropped is the signal.
                tokio::select! {
                    _ = &mut connection => {}
                    _ = left => { let _ = timeout(MOMENT, connection).await; }
                }
            });
            // From here on the driver must end with this future.
            let guard = Guard(Some(driver));
            let statement = client.prepare(ServerFacts::SPEC.sql(0)?).await;
            let statement = statement.map_err(|error| failure::of("preparing the query", &error, &allowance))?;
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

    /// Executes the statements of several sections in one round trip; those that are not prepared yet take a second one.
    /// The results are in the order of the sections.
    ///
    /// # Errors
    /// The session is unusable: the connection ended, or the server broke the protocol or its limits.
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
                Err(Broken::Section(failure)) => Err(failure),
                Err(Broken::GivenUp(failure)) => {
                    is_given_up = true;
                    Err(failure)
                }
                Err(Broken::Session(failure)) => return Err(failure),
            });
        }
        self.busy = is_given_up;
        Ok(results)
    }

    async fn execute(
        &self,
        section: SectionEntry,
        remaining: Duration,
    ) -> (Option<Statement>, Result<Vec<Row>, Broken>) {
        let mut prepared = None;
        let execution = async {
            let statement = match self.statements.get(section.spec.name) {
                Some(statement) => statement,
                None => {
                    let sql = section.spec.sql(self.version.unwrap_or(0)).map_err(Broken::Section)?;
                    let statement = self.client.prepare(sql).await;
                    &*prepared.insert(statement.map_err(|error| self.broken(section, &error))?)
                }
            };
            self.client.query(statement, &[]).await.map_err(|error| self.broken(section, &error))
        };
        // An expensive statement that takes too long fails alone. Without `server`, the run fails anyway.
        let result = if section.spec.every.is_some() && section.spec.name != ServerFacts::SPEC.name {
            let limit = remaining.mul_f64(EXPENSIVE_SHARE);
            timeout(limit, execution).await.unwrap_or_else(|_| {
                let (name, limit) = (section.spec.name, Period(Duration::from_millis(limit.as_millis() as u64)));
                let text = format!("`{name}` was not answered within {limit}; increase the probe's `timeout`");
                Err(Broken::GivenUp(Failure::new(Reason::Timeout, text)))
            })
        } else {
            execution.await
        };
        (prepared, result)
    }

    /// Tells a failed statement from a failed session.
    fn broken(&self, section: SectionEntry, error: &Error) -> Broken {
        let failure = failure::of(&format!("`{}`", section.spec.name), error, &self.allowance);
        let is_response = error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error));
        if is_response && self.allowance.refusal().is_none() {
            Broken::Section(failure)
        } else {
            Broken::Session(failure)
        }
    }

    /// Grants the session the byte budget of another run.
    pub(super) fn begin_run(&self) {
        self.allowance.renew();
    }

    /// The server's version, once the section `server` was read.
    pub(super) fn version(&self) -> Option<i32> {
        self.version
    }

    /// Sets the server's version, which selects the statements.
    pub(super) fn set_version(&mut self, version: i32) {
        self.version = Some(version);
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the server is still at work on a statement that was given up.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The other end is gone. A server that was cut off is still there.
    pub(super) fn is_lost(&self) -> bool {
        self.client.is_closed() && self.allowance.refusal().is_none()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.busy || self.client.is_closed() {
            // Between two runs: the driver says goodbye and ends.
            self.driver.let_go();
            return;
        }
        // Closing the connection does not stop a backend that is at work: it is asked to stop, as Ctrl-C in psql does.
        let (token, target, shared) = (self.client.cancel_token(), self.target.clone(), Arc::clone(&self.shared));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(MOMENT, async move {
                let cx = Context::new(MOMENT, shared);
                if let Ok(channel) = Transport::open(&cx, &target).await {
                    // Nothing comes back from it, and if it does not arrive, statement_timeout ends the query.
                    let _ = token.cancel_query_raw(channel, Established).await;
                }
            }));
        }
    }
}

/// The share of the remaining time that an expensive statement may take.
const EXPENSIVE_SHARE: f64 = 0.8;

/// The failure of one statement.
enum Broken {
    /// The server refused or failed the statement.
    Section(Failure),
    /// The statement took too long and may still be executed.
    GivenUp(Failure),
    /// The session is unusable.
    Session(Failure),
}

/// Ends a task at once when it is dropped, unless it is let go before.
#[derive(Debug)]
struct Guard(Option<JoinHandle<()>>);

impl Guard {
    fn let_go(&mut self) {
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

fn config(target: &Target, limit: Duration) -> Config {
    let mut config = Config::new();
    config
        .user(&target.user)
        .dbname(&target.dbname)
        .application_name("readiness-exporter")
        .options(options(target.options.as_deref(), limit))
        // The channel stands already, encrypted or not: nothing is asked for before the login.
        .ssl_mode(DriverMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    if let Some(password) = &target.password {
        config.password(password.expose());
    }
    config
}

/// Session settings: limits on the server's side, so that nothing of a run that is given up goes on for long. Ours
/// come last and win.
fn options(own: Option<&str>, limit: Duration) -> String {
    let limit = limit.as_millis().max(1);
    let lock = (limit / 2).max(1);
    let own = own.map(|own| format!("{own} ")).unwrap_or_default();
    format!(
        "{own}-c default_transaction_read_only=on -c statement_timeout={limit} -c lock_timeout={lock} \
         -c idle_in_transaction_session_timeout={limit}"
    )
}
