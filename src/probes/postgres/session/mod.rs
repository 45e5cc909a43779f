//! One login: a connection, the task that drives it, and the statement that is prepared on it.

mod allowance;
pub(super) mod dsn;
mod failure;
mod filter;
mod login;
mod transport;

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, Statement, config::SslMode as DriverMode, config::SslNegotiation};

use self::{
    allowance::ByteBudget,
    dsn::Target,
    transport::{Established, Transport},
};
use super::facts::{PostgresFacts, SQL, Unread};
use crate::{
    io::{context::Context, resources::Resources},
    model::{
        failure::Failure,
        words::{Phase, Reason},
    },
};

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    statement: Statement,
    target: Target,
    encrypted: bool,
    allowance: ByteBudget,
    /// A query is under way.
    busy: bool,
    driver: Guard,
    /// When it goes, the driver has a moment left to say goodbye.
    _leave: oneshot::Sender<()>,
    shared: Arc<Resources>,
}

/// How long saying goodbye or cancelling may take.
const MOMENT: Duration = Duration::from_secs(2);

impl Session {
    /// Connects, logs in and prepares the query.
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
            let statement = client.prepare(SQL).await;
            let statement = statement.map_err(|error| failure::of("preparing the query", &error, &allowance))?;
            Ok((client, statement, guard, leave))
        });
        let (client, statement, driver, leave) = login.await?;
        let shared = Arc::clone(&cx.shared);
        Ok(Self { client, statement, target, encrypted, allowance, busy: false, driver, _leave: leave, shared })
    }

    /// One run of the query.
    pub(super) async fn query(&mut self, cx: &Context) -> Result<PostgresFacts, Failure> {
        self.busy = true;
        self.allowance.renew();
        let row = cx.phase(Phase::Query, self.client.query_one(&self.statement, &[])).await;
        self.busy = false;
        let row = row.map_err(|error| failure::of("the query", &error, &self.allowance))?;
        PostgresFacts::read(&row, self.encrypted).map_err(|unread| match unread {
            Unread::Column(error) => failure::of("the answer", &error, &self.allowance),
            Unread::List(column, error) => {
                Failure::from_error(Reason::Parse, &format!("the answer: `{column}`"), &error)
            }
        })
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
