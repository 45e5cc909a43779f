//! `validate`: reads the configuration, says what is wrong with it, and touches nothing else.

use std::io::{self, Write};

use super::{Common, Exit, complain};
use crate::settings::Flags;

pub(super) fn run(common: &Common) -> anyhow::Result<Exit> {
    match common.load(Flags::default())() {
        Ok(settings) => {
            let checks: usize = settings.probes.iter().map(|probe| probe.info.checks.len()).sum();
            let path = common.config_path();
            let probes = settings.probes.len();
            writeln!(io::stdout().lock(), "{} is good: {probes} probes, {checks} checks", path.display())?;
            Ok(Exit::Good)
        }
        Err(problems) => Ok(complain(&problems.to_string())),
    }
}
