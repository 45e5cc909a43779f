//! Faults: something real is broken, and the right checks say so, for the right reason, and no others.
//!
//! Every test has the same shape: all is well; it breaks; exactly the listed checks turn to what is listed; it is
//! repaired; all is as before. What isn't listed must not have moved even for a moment. The tests of paging break the
//! same things.

pub(crate) mod answers;
pub(crate) mod backups;
pub(crate) mod certificates;
mod crash;
pub(crate) mod metrics_page;
pub(crate) mod postgres;
pub(crate) mod service;

use std::fs;

use crate::harness::{
    daemon::{Checks, Daemon, Home},
    service::Service,
    wait_until,
};

/// Probes beside the one that is broken, of other things that nothing is wrong with. A busy machine may make one of
/// their runs late; a fault that reaches them would last.
pub(crate) struct Bystanders {
    service: Service,
}

impl Bystanders {
    pub(crate) fn new() -> Self {
        Self { service: Service::start() }
    }

    /// A home with the probe to be broken and the others.
    pub(crate) fn beside(&self, probe: &str) -> Home {
        let home = Home::new(&[probe, &self.probes()]);
        fs::create_dir(home.path("other")).unwrap();
        home.write("other/one.dump", "x");
        home
    }

    /// Puts another probe in the place of the one to be broken.
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

/// What every check was while all was well.
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

    /// Since when a check passes.
    pub(crate) fn since(&self, check: &str) -> String {
        self.before[check].since.clone()
    }

    /// Waits until exactly these checks have turned to these statuses, with their reasons; every door says the same.
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

    /// Lets a probe run some more times, and nothing may move.
    pub(crate) fn holds(&self, probe: &str, runs: f64) {
        let enough = self.daemon.runs(probe) + runs;
        wait_until(&format!("{probe} runs"), || {
            let runs = self.daemon.runs(probe);
            if runs >= enough { Ok(()) } else { Err(runs.to_string()) }
        });
        self.assert_untouched(&self.daemon.checks(), &[]);
    }

    /// Waits until all is as it was before, but for what had turned.
    pub(crate) fn comes_back(self, turned: &[(&str, &str)]) {
        let seen = wait_until("everything passes again", || all_pass(self.daemon));
        self.assert_untouched(&seen, turned);
        for (check, _) in turned {
            assert!(seen[*check].since > self.before[*check].since, "{check} has turned and come back");
        }
        assert_eq!(self.daemon.get("/ready").status, 200);
    }

    /// Nothing else may have moved, not even between two looks: that would show in its `since`.
    fn assert_untouched(&self, seen: &Checks, turned: &[(&str, &str)]) {
        for (check, before) in self.before.iter().filter(|(name, _)| !turned.iter().any(|(t, _)| t == name)) {
            assert_eq!((&seen[check].status, &seen[check].since), (&before.status, &before.since), "{check} moved");
        }
    }

    /// The metrics and the gate say what the API says.
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

/// Something real that can be broken and repaired, and what a daemon beside it says meanwhile.
pub(crate) struct Fault {
    home: Home,
    turned: Vec<(&'static str, &'static str)>,
    says: Option<(&'static str, &'static str)>,
    act: Box<Acting>,
    /// The same thing as blackbox_exporter would watch it: a module of its configuration, and the target.
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
    /// A home with its probe, what turns while a thing is broken, and how that is done and undone.
    pub(crate) fn of<T: Send + 'static>(
        home: Home,
        turned: &[(&'static str, &'static str)],
        thing: T,
        mut breaks: impl FnMut(&mut T) + Send + 'static,
        mut repair: impl FnMut(&mut T) + Send + 'static,
    ) -> Self {
        Self::told(home, turned, thing, move |thing, _| breaks(thing), move |thing, _| repair(thing))
    }

    /// The same where the daemon has to be told something.
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

    /// What the summary of a check says while it is broken.
    fn says(self, check: &'static str, words: &'static str) -> Self {
        Self { says: Some((check, words)), ..self }
    }

    /// How blackbox_exporter would watch it.
    fn seen_by(self, module: impl Into<String>, target: impl Into<String>) -> Self {
        Self { blackbox: Some((module.into(), target.into())), ..self }
    }

    /// As a fault of another service.
    pub(crate) fn of_service(self, name: &str) -> Self {
        Self { home: self.home.with("SERVICE", name), ..self }
    }

    /// The daemon that watches it.
    pub(crate) fn serve(&self) -> Daemon {
        self.home.serve()
    }

    pub(crate) fn breaks(&mut self, daemon: &Daemon) {
        (self.act)(Act::Break, daemon);
    }

    pub(crate) fn repair(&mut self, daemon: &Daemon) {
        (self.act)(Act::Repair, daemon);
    }

    /// From end to end; gives the daemon for more questions.
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
