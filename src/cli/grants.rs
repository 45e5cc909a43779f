//! `grants`: prints the SQL for a monitoring role with the privileges that the configured postgres checks need, and no others.

use std::io::{self, Write};

use clap::Args;

use super::{Exit, GlobalArgs, print_error};
use crate::{
    kind::Kind,
    probes::postgres::{
        Postgres,
        grants::{Need, grants},
    },
    settings::Flags,
};

/// Arguments of `grants`.
#[derive(Debug, Args)]
pub(super) struct GrantsArgs {
    /// Name of the role
    #[arg(long, value_name = "NAME", default_value = "readiness")]
    role: String,
}

impl GrantsArgs {
    pub(super) fn run(self, common: &GlobalArgs) -> anyhow::Result<Exit> {
        let settings = common.load(Flags::default())()?;
        let postgres = settings.probes.iter().filter(|probe| probe.info.kind == Postgres::NAME);
        let needs: Vec<_> = postgres
            .map(|probe| {
                let names = probe.info.checks.iter().map(|check| &*check.name);
                Need { probe: &probe.info.name, checks: names.zip(probe.config.privileges()).collect() }
            })
            .collect();
        if needs.is_empty() {
            return Ok(print_error("the configuration has no postgres probe: no role is needed"));
        }
        write!(io::stdout().lock(), "{}", grants(&self.role, &needs))?;
        Ok(Exit::Good)
    }
}
