//! Faults of real programs: exactly the expected checks change their status, with the expected reasons.
//!
//! Every test has the same steps: all checks pass; a target breaks; exactly the listed checks change to the listed
//! statuses; the target is repaired; all checks pass again. Other checks must not change even for a moment. The tests
//! of paging use the same faults.

pub(crate) mod answers;
pub(crate) mod backups;
pub(crate) mod certificates;
mod crash;
pub(crate) mod metrics_page;
pub(crate) mod postgres;
mod recovery;
pub(crate) mod service;

use std::fs;

use crate::harness::{
    daemon::{Checks, Daemon, Home},
    service::Service,
    wait_until,
};

/// Probes of other targets without faults. A busy machine may delay one of their runs, but a fault that affects them
/// would last.
pub(crate) struct Bystanders {
    service: Service,
}

impl Bystanders {
    pub(crate) fn new() -> Self {
        Self { service: Service::start() }
    }

    /// A configuration with the probe of the faulty target and the other probes.
    pub(crate) fn beside(&self, probe: &str) -> Home {
        let home = Home::new(&[probe, &self.probes()]);
        fs::create_dir(home.path("other")).unwrap();
        home.write("other/one.dump", "x");
        home
    }

    /// Replaces the probe of the faulty target.
    pub(crate) fn replace(&self, home: &Home, probe: &str) {
        home.configure(&[probe, &self.probes()]);
    }

    fn probes(&self) -> String {
        format!(
            "
            - name: other
              interval: 2s
              http: {{url: \"{}\"}}
              checks: [{{health: {{failure_threshold: 2}}}}]
            - name: other-port
              interval: 2s
              tcp: {{address: \"{}\"}}
              checks: [{{health: {{failure_threshold: 2}}}}, {{error_rate: {{max: 50%, window: 1m}}}}]
            - name: other-dumps
              interval: 2s
              backups: {{files: \"${{HOME_FOLDER}}/other/*.dump\", stable_for: 0s}}
              checks: [{{health: {{failure_threshold: 2}}}}, {{freshness: {{max_age: 1h, failure_threshold: 2}}}}]
            ",
            self.service.url(),
            self.service.address
        )
    }
}

/// Statuses of all checks before the fault.
pub(crate) struct Calm<'a> {
    daemon: &'a Daemon,
    before: Checks,
}

impl<'a> Calm<'a> {
    /// Waits until every check passes.
    pub(crate) fn of(daemon: &'a Daemon) -> Self {
        let before = wait_until("everything passes", || all_pass(daemon));
        assert_eq!(daemon.get("/ready").status, 200);
        Self { daemon, before }
    }

    /// Time of the last status change of a check.
    pub(crate) fn since(&self, check: &str) -> String {
        self.before[check].since.clone()
    }

    /// Waits until exactly these checks have these statuses and reasons, in the API, the metrics and the gate.
    pub(crate) fn turns(&self, turned: &[(&str, &str)]) {
        for (check, _) in turned {
            assert!(self.before.contains_key(*check), "there is no check {check} among {:?}", self.before.keys());
        }
        let expected =
            |check: &str| turned.iter().find(|(name, _)| *name == check).map_or("pass", |(_, status)| status);
        let seen = wait_until(&format!("{turned:?} and nothing else"), || {
            let now = self.daemon.checks();
            let wrong: Vec<_> = now.iter().filter(|(check, seen)| seen.status != expected(check)).collect();
            if wrong.is_empty() { Ok(now.clone()) } else { Err(format!("{wrong:#?}")) }
        });
        self.assert_untouched(&seen, turned);
        self.assert_exposed(turned);
    }

    /// Waits for further runs of a probe, during which no status may change.
    pub(crate) fn holds(&self, probe: &str, runs: f64) {
        let enough = self.daemon.runs(probe) + runs;
        wait_until(&format!("{probe} runs"), || {
            let runs = self.daemon.runs(probe);
            if runs >= enough { Ok(()) } else { Err(runs.to_string()) }
        });
        self.assert_untouched(&self.daemon.checks(), &[]);
    }

    /// Waits until all checks pass again. Only the changed checks may have a new time of their last change.
    pub(crate) fn comes_back(self, turned: &[(&str, &str)]) {
        let seen = wait_until("everything passes again", || all_pass(self.daemon));
        self.assert_untouched(&seen, turned);
        for (check, _) in turned {
            assert!(seen[*check].since > self.before[*check].since, "{check} has turned and come back");
        }
        assert_eq!(self.daemon.get("/ready").status, 200);
    }

    /// Checks that no other check has changed, even between two requests: its `since` would be newer.
    fn assert_untouched(&self, seen: &Checks, turned: &[(&str, &str)]) {
        for (check, before) in self.before.iter().filter(|(name, _)| !turned.iter().any(|(t, _)| t == name)) {
            assert_eq!((&seen[check].status, &seen[check].since), (&before.status, &before.since), "{check} moved");
        }
    }

    /// Checks that the metrics and the gate agree with the API.
    fn assert_exposed(&self, turned: &[(&str, &str)]) {
        for (check, status) in turned {
            let (probe, check) = check.split_once('/').unwrap();
            let (status, reason) = status.split_once(' ').unwrap_or((status, ""));
            let series = format!("readiness_check_status{{probe=\"{probe}\",check=\"{check}\",status=\"{status}\"}}");
            assert_eq!(self.daemon.value(&series), Some(1.0), "{series}");
            if check == "health" {
                let series = format!("readiness_probe_failures_total{{probe=\"{probe}\",reason=\"{reason}\"}}");
                assert!(self.daemon.value(&series) >= Some(1.0), "{series}");
            }
        }
        let blocks = turned.iter().any(|(_, status)| !status.starts_with("warn"));
        assert_eq!(self.daemon.get("/ready").status, if blocks { 503 } else { 200 });
    }
}

fn all_pass(daemon: &Daemon) -> Result<Checks, String> {
    let now = daemon.checks();
    let wrong: Vec<_> = now.iter().filter(|(_, seen)| seen.status != "pass").collect();
    if wrong.is_empty() { Ok(now) } else { Err(format!("{wrong:#?}")) }
}

/// A real target that can be broken and repaired, with the expected statuses.
pub(crate) struct Fault {
    home: Home,
    turned: Vec<(&'static str, &'static str)>,
    says: Option<(&'static str, &'static str)>,
    act: Box<Acting>,
    /// The equivalent probe of blackbox_exporter: a module of its configuration, and the target.
    pub(crate) blackbox: Option<(String, String)>,
}

/// A module of blackbox_exporter that sends a request.
pub(crate) const HTTP: &str = "{prober: http, http: {preferred_ip_protocol: ip4}}";
/// A module of blackbox_exporter that connects.
pub(crate) const TCP: &str = "{prober: tcp, tcp: {preferred_ip_protocol: ip4}}";

type Acting = dyn FnMut(Act, &Daemon) + Send;

#[derive(Clone, Copy)]
enum Act {
    Break,
    Repair,
}

impl Fault {
    /// Creates a fault from a configuration, the expected statuses, and the functions that break and repair the target.
    pub(crate) fn of<T: Send + 'static>(
        home: Home,
        turned: &[(&'static str, &'static str)],
        thing: T,
        mut breaks: impl FnMut(&mut T) + Send + 'static,
        mut repair: impl FnMut(&mut T) + Send + 'static,
    ) -> Self {
        Self::told(home, turned, thing, move |thing, _| breaks(thing), move |thing, _| repair(thing))
    }

    /// Creates a fault whose functions need the daemon.
    fn told<T: Send + 'static>(
        home: Home,
        turned: &[(&'static str, &'static str)],
        mut thing: T,
        mut breaks: impl FnMut(&mut T, &Daemon) + Send + 'static,
        mut repair: impl FnMut(&mut T, &Daemon) + Send + 'static,
    ) -> Self {
        let act = move |act, daemon: &Daemon| match act {
            Act::Break => breaks(&mut thing, daemon),
            Act::Repair => repair(&mut thing, daemon),
        };
        Self { home, turned: turned.to_vec(), says: None, act: Box::new(act), blackbox: None }
    }

    /// Adds an expected text in the finding of a check.
    fn says(self, check: &'static str, words: &'static str) -> Self {
        Self { says: Some((check, words)), ..self }
    }

    /// Adds the equivalent probe of blackbox_exporter.
    fn seen_by(self, module: impl Into<String>, target: impl Into<String>) -> Self {
        Self { blackbox: Some((module.into(), target.into())), ..self }
    }

    /// Assigns the probe to another service.
    pub(crate) fn of_service(self, name: &str) -> Self {
        Self { home: self.home.with("SERVICE", name), ..self }
    }

    /// Starts the daemon.
    pub(crate) fn serve(&self) -> Daemon {
        self.home.serve()
    }

    pub(crate) fn breaks(&mut self, daemon: &Daemon) {
        (self.act)(Act::Break, daemon);
    }

    pub(crate) fn repair(&mut self, daemon: &Daemon) {
        (self.act)(Act::Repair, daemon);
    }

    /// Performs all steps; returns the daemon.
    fn endure(mut self) -> Daemon {
        let daemon = self.serve();
        let calm = Calm::of(&daemon);
        self.breaks(&daemon);
        calm.turns(&self.turned);
        if let Some((check, words)) = self.says {
            let summary = daemon.check(check).summary;
            assert!(summary.contains(words), "{summary}");
        }
        self.repair(&daemon);
        calm.comes_back(&self.turned);
        daemon
    }
}
