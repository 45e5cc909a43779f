//! A generation is one loaded configuration with its probes. A reload replaces it as a whole.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use jiff::Timestamp;

use crate::{
    board::Board,
    document::{Diagnostics, Location},
    io::resources::Resources,
    model::check::CheckLimits,
    settings::{Concurrency, EffectiveConfig, ProbeInfo, ProbeSettings, Server, Settings},
    state::RunningProbe,
};

/// One loaded configuration; see the module documentation.
pub(super) struct Generation {
    pub(super) server: Server,
    pub(super) state: Option<PathBuf>,
    pub(super) concurrency: Concurrency,
    pub(super) effective: Arc<EffectiveConfig>,
    members: Vec<Member>,
    by_name: HashMap<String, usize>,
}

/// Settings that apply from start to stop.
pub(super) struct StartSettings {
    server: Server,
    state: Option<PathBuf>,
}

/// A probe of a generation.
pub(super) struct Member {
    pub(super) info: Arc<ProbeInfo>,
    pub(super) running: RunningProbe,
    fingerprint: [u8; 32],
}

impl Generation {
    /// Builds new and changed probes, and takes unchanged probes from the previous generation with their connections
    /// and windows.
    pub(super) fn build(
        settings: Settings,
        before: Option<&Self>,
        shared: &Arc<Resources>,
    ) -> Result<Self, Diagnostics> {
        let Settings { server, state, concurrency, probes, effective } = settings;
        let mut problems = Diagnostics::default();
        let mut members = Vec::with_capacity(probes.len());
        for probe in probes {
            let same = before.and_then(|before| before.find_member(&probe.info.name));
            match same.filter(|same| same.fingerprint == probe.fingerprint) {
                Some(same) => members.push(Member {
                    info: Arc::clone(&same.info),
                    running: same.running.clone(),
                    fingerprint: same.fingerprint,
                }),
                None => members.extend(Member::build(probe, shared, &mut problems)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let by_name = members.iter().enumerate().map(|(at, member)| (member.info.name.clone(), at)).collect();
        Ok(Self { server, state, concurrency, effective, members, by_name })
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The settings with which the daemon starts.
    pub(super) fn start_settings(&self) -> StartSettings {
        StartSettings { server: self.server.clone(), state: self.state.clone() }
    }

    /// Whether the generation contains the same job.
    pub(super) fn contains(&self, member: &Member) -> bool {
        self.find_member(&member.info.name).is_some_and(|other| Arc::ptr_eq(&other.running.job, &member.running.job))
    }

    /// Settings that differ from those of the start and take effect only after a restart.
    pub(super) fn settings_needing_restart(&self, before: &StartSettings) -> Vec<&'static str> {
        let mut keys = Vec::new();
        if self.server.listen != before.server.listen {
            keys.push("server.listen");
        }
        if self.server.lifecycle != before.server.lifecycle {
            keys.push("server.lifecycle");
        }
        if self.server.external_url != before.server.external_url {
            keys.push("server.external_url");
        }
        if self.server.allowed_hosts != before.server.allowed_hosts {
            keys.push("server.allowed_hosts");
        }
        if self.state != before.state {
            keys.push("state");
        }
        keys
    }

    /// Puts the probes on the board. Unchanged probes retain their state.
    pub(super) fn publish_probes(&self, board: &Board, before: Option<&Self>, now: Timestamp) {
        let limits = |member: &Member| -> (Arc<ProbeInfo>, Vec<CheckLimits>) {
            (Arc::clone(&member.info), member.running.job.limits())
        };
        let keep = |name: &str| {
            let unchanged = |before: &Self| self.find_member(name).is_some_and(|member| before.contains(member));
            before.is_some_and(unchanged)
        };
        board.replace_probes(self.members.iter().map(limits).collect(), keep, now);
    }

    /// The running probes, for saving and restoring their state.
    pub(super) fn running_probes(&self) -> Vec<RunningProbe> {
        self.members.iter().map(|member| member.running.clone()).collect()
    }

    fn find_member(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).and_then(|at| self.members.get(*at))
    }
}

impl Member {
    fn build(probe: ProbeSettings, shared: &Arc<Resources>, problems: &mut Diagnostics) -> Option<Self> {
        let ProbeSettings { info, config, fingerprint, identity } = probe;
        match config.build(shared) {
            Ok(job) => {
                let running = RunningProbe { info: Arc::clone(&info), identity, job, left_out: Arc::default() };
                Some(Self { info, running, fingerprint })
            }
            Err(invalid) => {
                problems.push(Location::default(), format!("probe `{}`: {invalid}", info.name), None);
                None
            }
        }
    }
}
