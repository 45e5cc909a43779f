//! Renewal of kept connections.
//!
//! A kept connection hides changes of its target: the name may lead to another address, and new clients may see another
//! certificate or get no connection at all. Therefore every kept connection has a maximum age, and the address of a
//! named host is looked up again in between.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    io::{context::Context, dial},
    model::{failure::Invalid, units::Period, words::Phase},
};

/// Maximum age of a kept connection without a setting.
const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);
/// Maximum age of a kept connection without a setting, if a check judges the certificate.
const DEFAULT_MAX_CERTIFICATE_AGE: Duration = Duration::from_secs(60);
/// Maximum number of runs on such a connection. It makes the renewal of probes with a short interval faster.
const MAX_CERTIFICATE_RUNS: u32 = 10;
/// Time after which the name of the host is resolved again.
const NAME_LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// Rules for the renewal of a kept connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Renewal {
    max_age: Duration,
    max_runs: u32,
}

/// The age of one kept connection.
#[derive(Debug)]
pub(crate) struct ConnectionAge {
    remote: IpAddr,
    established: Instant,
    resolved: Instant,
    runs: u32,
}

impl Renewal {
    /// Selects the rules: the setting `max_connection_age`, or the default. The default is shorter if a check judges the
    /// certificate of the connection.
    pub(crate) fn from_settings(max_age: Option<Period>, judges_certificate: bool) -> Self {
        match max_age {
            Some(Period(max_age)) => Self { max_age, max_runs: u32::MAX },
            None if judges_certificate => Self { max_age: DEFAULT_MAX_CERTIFICATE_AGE, max_runs: MAX_CERTIFICATE_RUNS },
            None => Self { max_age: DEFAULT_MAX_CONNECTION_AGE, max_runs: u32::MAX },
        }
    }

    /// Rejects a maximum age that no connection can have.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    pub(crate) fn validate(max_age: Option<Period>) -> Result<(), Invalid> {
        if max_age.is_some_and(|Period(age)| age.is_zero()) {
            let text = "every kept connection is older than 0s: write a duration such as 1h";
            return Err(Invalid::at("max_connection_age", text));
        }
        Ok(())
    }
}

impl ConnectionAge {
    /// Starts the age of a connection that was just established.
    pub(crate) fn start(remote: SocketAddr) -> Self {
        let now = Instant::now();
        Self { remote: remote.ip(), established: now, resolved: now, runs: 1 }
    }

    /// Whether the next run may use the connection. The name of the host is resolved again after some time, in the phase
    /// `resolve`. If the name does not have the address of the connection any longer, or can't be resolved, the run must
    /// open a new connection, which reports the failure.
    pub(crate) async fn admits_run(&mut self, cx: &Context, host: &str, renewal: Renewal) -> bool {
        if self.established.elapsed() >= renewal.max_age || self.runs >= renewal.max_runs {
            return false;
        }
        if self.resolved.elapsed() >= NAME_LOOKUP_INTERVAL {
            if !self.is_address_of(cx, host).await {
                return false;
            }
            self.resolved = Instant::now();
        }
        self.runs = self.runs.saturating_add(1);
        true
    }

    async fn is_address_of(&self, cx: &Context, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.parse::<IpAddr>().is_ok() {
            return true;
        }
        let found = cx.phase(Phase::Resolve, dial::resolve_host(bare, 0, &cx.shared)).await;
        found.is_ok_and(|found| found.iter().any(|address| address.ip() == self.remote))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn minutes(count: u64) -> Option<Period> {
        Some(Period(Duration::from_secs(60 * count)))
    }

    async fn admits_after(seconds: u64, age: &mut ConnectionAge, host: &str, renewal: Renewal) -> bool {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        age.admits_run(&Context::new(Duration::from_secs(5), Arc::default()), host, renewal).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_renewed_at_its_maximum_age() {
        for (setting, seconds) in [(None, 3_600), (minutes(2), 120)] {
            let renewal = Renewal::from_settings(setting, false);
            let mut age = ConnectionAge::start("127.0.0.1:80".parse().unwrap());
            assert!(admits_after(seconds - 1, &mut age, "127.0.0.1", renewal).await, "{setting:?}");
            assert!(!admits_after(1, &mut age, "127.0.0.1", renewal).await, "{setting:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_judged_certificate_is_at_most_a_minute_or_ten_runs_old() {
        let renewal = Renewal::from_settings(None, true);
        let start = || ConnectionAge::start("127.0.0.1:80".parse().unwrap());
        let mut age = start();
        assert!(admits_after(59, &mut age, "127.0.0.1", renewal).await);
        assert!(!admits_after(1, &mut age, "127.0.0.1", renewal).await);
        let mut age = start();
        for run in 2..=10 {
            assert!(admits_after(1, &mut age, "127.0.0.1", renewal).await, "run {run}");
        }
        assert!(!admits_after(1, &mut age, "127.0.0.1", renewal).await, "run 11");
        assert_eq!(Renewal::from_settings(minutes(5), true), Renewal::from_settings(minutes(5), false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_leads_elsewhere_or_nowhere_ends_the_connection() {
        let renewal = Renewal::from_settings(None, false);
        for (remote, host, lasts) in [
            ("127.0.0.1:80", "localhost", true),
            ("127.0.0.9:80", "localhost", false),
            ("127.0.0.1:80", "no-such-name.invalid", false),
            ("[::1]:80", "[::1]", true),
        ] {
            let mut age = ConnectionAge::start(remote.parse().unwrap());
            assert!(admits_after(29, &mut age, host, renewal).await, "{host}: not yet resolved again");
            assert_eq!(admits_after(1, &mut age, host, renewal).await, lasts, "{remote} {host}");
        }
    }

    #[test]
    fn an_age_of_zero_is_refused() {
        assert_eq!(Renewal::validate(minutes(0)).unwrap_err().key, Some("max_connection_age"));
        Renewal::validate(minutes(1)).unwrap();
        Renewal::validate(None).unwrap();
    }
}
